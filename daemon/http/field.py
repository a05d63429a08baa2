"""The fields of replies, as they go over the wire."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

_REMEMBERED: Final = 1024
_REMEMBERED_BYTES: Final = 128
"""So many fields are kept, of so many bytes at most: most replies carry the same few."""

_OURS: Final = frozenset(
    {b"connection", b"content-length", b"date", b"keep-alive", b"transfer-encoding"}
)
"""Fields that say how the reply is carried: the connection's affair, not a handler's."""

_NAMES: Final = {
    name.lower(): name
    for name in (
        b"Accept-Ranges",
        b"Allow",
        b"Cache-Control",
        b"Content-Disposition",
        b"Content-Encoding",
        b"Content-Language",
        b"Content-Security-Policy",
        b"Content-Type",
        b"ETag",
        b"Expires",
        b"Last-Modified",
        b"Link",
        b"Location",
        b"Retry-After",
        b"Vary",
        b"WWW-Authenticate",
        b"X-Content-Type-Options",
    )
}
"""How names are usually written; any other goes out as its handler wrote it."""


_lines: dict[tuple[str | bytes, str | bytes], tuple[bytes, bytes]] = {}
_starts: dict[str | bytes, tuple[bytes, bytes]] = {}


def field_line(name: str | bytes, value: str | bytes) -> tuple[bytes, bytes]:
    """Make a field. Line ends in its value become blanks, so that no field ends early.

    :param name: text is encoded as Latin-1.
    :param value: text is encoded as UTF-8.
    :returns: the name in lower case, and the line to send; no line for a field that a handler has
        no say in.
    :raises ValueError: the name is no token.
    """
    line = _lines.get((name, value))
    if line is None:
        line = _line(name, value)
        if len(line[1]) <= _REMEMBERED_BYTES:
            if len(_lines) >= _REMEMBERED:
                _lines.clear()
            _lines[name, value] = line
    return line


def _line(name: str | bytes, value: str | bytes) -> tuple[bytes, bytes]:
    start = _starts.get(name)
    if start is None:
        start = _start(name)
        if len(_starts) >= _REMEMBERED:
            _starts.clear()
        _starts[name] = start
    key, before = start
    if not before:
        return start
    if isinstance(value, str):
        value = value.encode()
    if b"\n" in value or b"\r" in value:
        value = b" ".join(value.splitlines())
    return key, before + value + b"\r\n"


def _start(name: str | bytes) -> tuple[bytes, bytes]:
    """Give a name in lower case, and the start of its lines."""
    if isinstance(name, str):
        name = name.encode("latin-1")
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is no name of a field")
    key = name.lower()
    return key, b"" if key in _OURS else _NAMES.get(key, name) + b": "
