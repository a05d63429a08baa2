"""Reads what a server sends, to the letter: a client that forgives nothing.

Independent of the server's own code, and of every HTTP library. Sections are those of RFC 9110
where no other document is named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)\r\n")
_FIELD_LINE: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*"
    rb"((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[\t ]*\r\n"
)
_DATE: Final = re.compile(
    rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] "
    rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    rb"[0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT"
)
_SINGLE: Final = (b"content-length", b"content-type", b"date", b"etag", b"location", b"retry-after")
_WITHOUT_BODY: Final = frozenset({204, 304})
_NEEDED: Final = {401: b"www-authenticate", 405: b"allow", 426: b"upgrade"}
"""Fields that a reply of some status has to have (sections 15.5.2, 15.5.6 and 15.5.22)."""


class MalformedReplyError(Exception):
    """What the server has sent is not what it may send."""


@dataclass(frozen=True)
class Response:
    """One reply, an interim one too.

    :ivar status: the status code.
    :ivar headers: names as sent and values, in the order sent.
    :ivar body: the content; empty where a reply has none.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def all(self, name: bytes) -> list[bytes]:
        """Give all values of a field, whatever the case of its name."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def get(self, name: bytes) -> bytes | None:
        """Give the first value of a field, None without one."""
        return next(iter(self.all(name)), None)

    @property
    def is_interim(self) -> bool:
        """Whether another reply to the same request follows (section 15.2)."""
        return self.status < 200

    @property
    def closes(self) -> bool:
        """Whether it says that it is the connection's last (RFC 9112 section 9.6)."""
        options = b",".join(self.all(b"connection")).lower().split(b",")
        return b"close" in [option.strip() for option in options]


def read_responses(raw: bytes, methods: Sequence[bytes] = ()) -> list[Response]:
    """Read all that one connection got.

    :param raw: the bytes from the server, whole replies.
    :param methods: the methods of the requests, in order; a request of which nothing is said here
        counts as a GET. An interim reply uses none up.
    :returns: the replies in order, interim ones among them.
    :raises MalformedReplyError: a byte is not as it has to be.
    """
    found: list[Response] = []
    asked = iter(methods)
    start = 0
    while start < len(raw):
        if found and found[-1].closes:
            raise MalformedReplyError(f"bytes behind the last reply: {raw[start : start + 80]!r}")
        response, start = _read_one(raw, start, asked)
        found.append(response)
    return found


def _read_one(raw: bytes, start: int, asked: Iterator[bytes]) -> tuple[Response, int]:
    line = _STATUS_LINE.match(raw, start)
    if line is None:
        raise MalformedReplyError(f"no status line: {raw[start : start + 80]!r}")
    status = int(line[1])
    headers, start = _read_fields(raw, line.end())
    response = Response(status, headers, b"")
    if response.is_interim:
        _check_interim(response)
        return response, start
    length = _content_length(response)
    if next(asked, b"GET") == b"HEAD" or status in _WITHOUT_BODY:
        return response, start
    if start + length > len(raw):
        raise MalformedReplyError(f"{start + length - len(raw)} bytes of the body are missing")
    return Response(status, headers, raw[start : start + length]), start + length


def _read_fields(raw: bytes, start: int) -> tuple[list[tuple[bytes, bytes]], int]:
    headers: list[tuple[bytes, bytes]] = []
    while not raw.startswith(b"\r\n", start):
        line = _FIELD_LINE.match(raw, start)
        if line is None:
            raise MalformedReplyError(f"no field line: {raw[start : start + 80]!r}")
        headers.append((line[1], line[2]))
        start = line.end()
    return headers, start + 2


def _check_interim(response: Response) -> None:
    """Section 15.2; nothing but 100 is of use here, and 101 would change the protocol."""
    if response.status != 100:
        raise MalformedReplyError(f"status {response.status} was not asked for")
    if response.get(b"content-length") is not None or response.get(b"transfer-encoding"):
        raise MalformedReplyError("an interim reply has no content")


def _content_length(response: Response) -> int:
    """Check the fields of a final reply, and give the length of what a GET would get."""
    for name in _SINGLE:
        if len(response.all(name)) > 1:
            raise MalformedReplyError(f"more than one {name.decode()}")
    if not _DATE.fullmatch(response.get(b"date") or b""):
        raise MalformedReplyError("no Date, or none of the fixed form (section 6.6.1)")
    needed = _NEEDED.get(response.status)
    if needed is not None and response.get(needed) is None:
        raise MalformedReplyError(f"status {response.status} without {needed.decode()}")
    if response.get(b"transfer-encoding") is not None:
        raise MalformedReplyError("every body of ours has a known length")
    length = response.get(b"content-length")
    if response.status == 204 and length is not None:
        raise MalformedReplyError("status 204 with Content-Length (section 8.6)")
    if length is None:
        if response.status in _WITHOUT_BODY:
            return 0
        raise MalformedReplyError("no Content-Length")
    if not re.fullmatch(rb"0|[1-9][0-9]{0,17}", length):
        raise MalformedReplyError(f"Content-Length {length!r}")
    return int(length)
