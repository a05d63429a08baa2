"""The body of a callback, beside a reader that goes by Python's own JSON."""

from __future__ import annotations

import json
from array import array
from typing import Any, Final, NoReturn

from daemon.callback.body import INT64_MAX, INT64_MIN, NotACallbackError, parse_ids

MAX_IDS: Final = 6


class _Object(list[tuple[str, Any]]):
    """The pairs of an object, those that come twice too."""


def run(data: bytes) -> None:
    """Read a body, and say what is wrong with it."""
    expected = _expected(data)
    try:
        ids = parse_ids(data, MAX_IDS)
    except NotACallbackError as error:
        assert expected is None or _readers_differ(data), (str(error), expected)
        assert str(error)
        assert "\n" not in str(error)
        assert len(str(error)) < 200
    else:
        assert isinstance(ids, array)
        assert expected == list(ids), (expected, ids)


def _expected(data: bytes) -> list[int] | None:
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_Object, parse_constant=_refuse, parse_float=_float
        )
    except (ValueError, RecursionError):
        return None
    if type(value) is not _Object:
        return None
    found = [inner for key, inner in value if key == "object_ids"]
    if len(found) != 1 or type(found[0]) is not list or len(found[0]) > MAX_IDS:
        return None
    ids = found[0]
    if not all(type(each) is int and INT64_MIN <= each <= INT64_MAX for each in ids):
        return None
    return list(dict.fromkeys(ids))


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _float(_digits: str) -> str:
    """Give no integer."""
    return ""


def _readers_differ(data: bytes) -> bool:
    r"""Whether Python takes what JSON does not allow: control characters it does not, but halves
    of surrogate pairs (``\ud800``) and white space that is none of JSON's four."""
    return b"\\u" in data.lower()


WORDS: Final = (
    b'{"object_ids":[',
    b'"object_ids"',
    b'"object\\u005fids"',
    b'"x":{"object_ids":[1]},',
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"1.0",
    b"1e3",
    b"-0",
    b"null",
    b"true",
    b"NaN",
    b"\\ud800",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"[[[[",
)
SEEDS: Final = (
    b'{"object_ids":[1,2,1,0,-5]}',
    b'{"object_ids":[]}',
    b'{"object_ids":[1],"object_ids":[2]}',
    b'{"object_ids":[1],"object\\u005fids":[2]}',
    b'{"a":{"object_ids":[1]},"object_ids":[9223372036854775807,-9223372036854775808]}',
    b'{"object_ids":[9223372036854775808]}',
    b'{"object_ids":[1.0]}',
    b'{"object_ids":[1,2,3,4,5,6,7]}',
    b'{"object_ids":"1"}',
    b"[1]",
    b"",
    b"\xef\xbb\xbf{}",
    b'{"object_ids":[1]} x',
    b"[" * 2000,
)
