"""What the body of a callback may be: a rule, without I/O."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from itertools import compress, count
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
_TOO_DEEP: Final = "not a callback: nested too deeply"

_EXPLAINED_BYTES: Final = 65_536
"""Bodies up to this size are read once more to say best what is wrong with them. With a larger one
that would keep everybody else waiting: half a second for 1 MiB."""


class NotACallbackError(ValueError):
    """A body is no callback; the text says in one line what is wrong with it."""


class _Callback(msgspec.Struct, gc=False):
    object_ids: list[int]


class _RepeatedError(Exception):
    """A key is there more than once."""


class _Ids:
    """Stands for the ids where only their key is of interest."""


class _Keyed(msgspec.Struct, gc=False):
    object_ids: _Ids


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
        raise _refusal(body, error) from error
    if not body.isascii():
        _text(body)
    if (body.count(_BARE_KEY) != 1 or b"\\" in body) and _is_key_repeated(body):
        raise NotACallbackError(f"{_KEY} is given more than once")
    if len(ids) > max_ids:
        raise NotACallbackError(f"{_KEY} has {len(ids)} elements, more than {max_ids}")
    try:
        packed = array("q", ids)
    except OverflowError as error:
        raise _out_of_range(next(compress(count(), map(_is_too_large, ids)))) from error
    return packed if len(set(ids)) == len(ids) else array("q", dict.fromkeys(ids))


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise NotACallbackError(f"not UTF-8: wrong at byte {error.start}") from error


def _is_key_repeated(body: bytes) -> bool:
    """Count the key in the outermost object, however it is escaped; the body is good otherwise.

    All that is under other keys is passed over, so that much of it costs little.
    """
    found = 0

    def note(*_: object) -> _Ids:
        nonlocal found
        found += 1
        if found > 1:
            raise _RepeatedError  # the others, maybe thousands, change nothing
        return _Ids()

    try:
        msgspec.json.decode(body, type=_Keyed, dec_hook=note)
    except _RepeatedError:
        return True
    return False


def _refusal(body: bytes, error: Exception) -> NotACallbackError:
    """Say what is wrong with a body that was not taken.

    :param error: what the fast reader has against it.
    """
    if not body.strip(b" \t\r\n"):
        return NotACallbackError("the body is empty")
    for mark, why in _MARKS.items():
        if body.startswith(mark):
            return NotACallbackError(f"not JSON in UTF-8: {why}")
    try:
        text = _text(body)
        if len(body) > _EXPLAINED_BYTES:
            return _in_short(error)
        # Python's own reader takes integers of any size and says where it stumbled. Of bytes it
        # would guess the encoding.
        value = json.loads(text, parse_int=_integer, parse_constant=_no_json)
    except NotACallbackError as refusal:
        return refusal
    except json.JSONDecodeError as stumble:
        return NotACallbackError(
            f"not JSON: {stumble.msg[:1].lower()}{stumble.msg[1:]} at character {stumble.pos}"
        )
    except RecursionError:
        return NotACallbackError(_TOO_DEEP)
    return _misfit(value)


def _in_short(error: Exception) -> NotACallbackError:
    """Say it in the words of the fast reader, which name the place as well."""
    if isinstance(error, RecursionError):
        return NotACallbackError(_TOO_DEEP)
    what = "a callback" if isinstance(error, msgspec.ValidationError) else "JSON"
    text = str(error).removeprefix("JSON is malformed: ")
    return NotACallbackError(f"not {what}: {text[:1].lower()}{text[1:]}")


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
        if _is_too_large(each):
            return _out_of_range(place)
    # The two readers disagree, on an escaped half of a surrogate pair for one.
    return NotACallbackError("not JSON: it cannot be read")


def _out_of_range(place: int) -> NotACallbackError:
    return NotACallbackError(f"element {place} of {_KEY} is out of range: not an int64")


def _is_too_large(number: int) -> bool:
    return not INT64_MIN <= number <= INT64_MAX


def _integer(digits: str) -> int:
    """Read an integer; of one that is far too long, the length is all that counts."""
    return int(digits[:_SHOWN_DIGITS])


def _no_json(constant: str) -> None:
    raise NotACallbackError(f"not JSON: {constant} is no number")


def _name(value: Any) -> str:
    return _NAMES.get(type(value), "a number")
