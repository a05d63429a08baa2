"""The fields of replies, as they go over the wire."""

from __future__ import annotations

from typing import Final, NamedTuple

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


class Field(NamedTuple):
    """One field of a reply.

    :ivar key: the name in lower case.
    :ivar name: the name.
    :ivar value: the value, in one line.
    :ivar line: the bytes to send; none for a field that a handler has no say in.
    """

    key: bytes
    name: bytes
    value: bytes
    line: bytes


_fields: dict[tuple[str | bytes, str | bytes], Field] = {}


def reply_field(name: str | bytes, value: str | bytes) -> Field:
    """Make a field. Line ends in its value become blanks, so that no field ends early.

    :param name: text is encoded as Latin-1.
    :param value: text is encoded as UTF-8.
    """
    field = _fields.get((name, value))
    if field is None:
        field = _field(name, value)
        if len(field.line) <= _REMEMBERED_BYTES:
            if len(_fields) >= _REMEMBERED:
                _fields.clear()
            _fields[name, value] = field
    return field


def _field(name: str | bytes, value: str | bytes) -> Field:
    name = name.encode("latin-1") if isinstance(name, str) else name
    value = value.encode() if isinstance(value, str) else value
    value = b" ".join(value.splitlines())
    key = name.lower()
    line = b"" if key in _OURS else b"%b: %b\r\n" % (_NAMES.get(key, name), value)
    return Field(key, name, value, line)
