"""What the body of a callback may be: a rule, without I/O."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from typing import Any, Final

import msgspec

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1

_KEY: Final = "object_ids"
_BARE_KEY: Final = _KEY.encode()
_MARKS: Final = {
    b"\xef\xbb\xbf": "it begins with a byte order mark",
    b"\xff\xfe": "it is UTF-16 or UTF-32",
    b"\xfe\xff": "it is UTF-16 or UTF-32",
}
_NAMES: Final = {
    bool: "a boolean",
    dict: "an object",
    float: "a number with a fraction or an exponent",
    list: "an array",
    str: "a string",
    type(None): "null",
}
_SHOWN_DIGITS: Final = 24


class NotACallbackError(ValueError):
    """A body is no callback; the text says in one line what is wrong with it."""


class _Callback(msgspec.Struct, gc=False):
    object_ids: list[int]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was sent."""


_decoder: Final = msgspec.json.Decoder(_Callback)


def parse_ids(body: bytes, max_ids: int) -> Sequence[int]:
    """Read the object ids of a callback: ``{"object_ids": [3, 1, 3]}`` in JSON.

    An id is any int64, written as an integer: ``1.0`` and ``1e3`` are not, since through a float
    a large id could become another one. Other keys are ignored. ``object_ids`` given twice is
    refused: which of them counts is open, and ids would be lost.

    :param max_ids: how many ids there may be, counted as they were sent.
    :returns: an ``array('q')`` of the distinct ids, in the order in which each came first.
    :raises NotACallbackError: it is anything else.
    """
    try:
        ids = _decoder.decode(body).object_ids
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _refusal(body) from error
    if not body.isascii():
        _require_utf8(body)
    if (body.count(_BARE_KEY) != 1 or b"\\" in body) and _is_key_repeated(body):
        raise NotACallbackError(f"{_KEY} is given more than once")
    if len(ids) > max_ids:
        raise NotACallbackError(f"{_KEY} has {len(ids)} elements, more than {max_ids}")
    if len(set(ids)) != len(ids):
        ids = list(dict.fromkeys(ids))
    try:
        return array("q", ids)
    except OverflowError as error:
        raise _refusal(body) from error


def _require_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise NotACallbackError(f"not UTF-8: wrong at byte {error.start}") from error


def _is_key_repeated(body: bytes) -> bool:
    """Look at the keys of the outermost object one by one; the body is good JSON otherwise."""
    pairs = json.loads(body, object_pairs_hook=_Pairs, parse_int=str)
    return [key for key, _ in pairs].count(_KEY) > 1


def _refusal(body: bytes) -> NotACallbackError:
    """Say what is wrong with a body that was not taken; may be slow."""
    if not body.strip(b" \t\r\n"):
        return NotACallbackError("the body is empty")
    for mark, why in _MARKS.items():
        if body.startswith(mark):
            return NotACallbackError(f"not JSON in UTF-8: {why}")
    try:
        _require_utf8(body)
        # Python's own reader takes integers of any size and says where it stumbled.
        value = json.loads(body, parse_int=_integer, parse_constant=_no_json)
    except NotACallbackError as error:
        return error
    except json.JSONDecodeError as error:
        return NotACallbackError(
            f"not JSON: {error.msg[:1].lower()}{error.msg[1:]} at character {error.pos}"
        )
    except RecursionError:
        return NotACallbackError("not a callback: nested too deeply")
    return _misfit(value)


def _misfit(value: Any) -> NotACallbackError:
    """Say why something that is JSON is no callback."""
    if not isinstance(value, dict):
        return NotACallbackError(f"an object with {_KEY} is wanted, not {_name(value)}")
    if _KEY not in value:
        return NotACallbackError(f"{_KEY} is missing")
    ids = value[_KEY]
    if not isinstance(ids, list):
        return NotACallbackError(f"{_KEY} must be an array of integers, not {_name(ids)}")
    for place, each in enumerate(ids):
        if type(each) is not int:
            return NotACallbackError(
                f"element {place} of {_KEY} is {_name(each)}; integers are wanted"
            )
        if not INT64_MIN <= each <= INT64_MAX:
            return NotACallbackError(f"element {place} of {_KEY} is out of range: not an int64")
    # The two readers disagree, on an escaped half of a surrogate pair for one.
    return NotACallbackError("not JSON: it cannot be read")


def _integer(digits: str) -> int:
    """Read an integer; of one that is far too long, the length is all that counts."""
    return int(digits[:_SHOWN_DIGITS])


def _no_json(constant: str) -> None:
    raise NotACallbackError(f"not JSON: {constant} is no number")


def _name(value: Any) -> str:
    return _NAMES.get(type(value), "a number")
