"""The chunked transfer coding (RFC 9112 section 7.1), read to the letter.

llhttp reads it as strictly, but does not say where a message ends within what it was fed. That
place has to be known: what follows it is another request.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from daemon.http.head import too_large
from daemon.http.limits import Limits, Refused

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'

_SIZE_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16}+)(?:;" + _TOKEN + rb"(?:=(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?)*+\r\n"
)
"""A chunk's size and extensions. The blanks that RFC 9110 calls bad are refused as well."""

_TRAILER_LINE: Final = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+\r\n")

_LONGEST_LINE: Final = 4096
"""Bytes of a size line or of a trailer field; nobody sends more in good faith."""

_AROUND: Final = 16
"""Bytes of size lines for a byte of data: a chunk for each byte needs five."""

_CRLF: Final = b"\r\n"

_Read = Callable[[bytearray, int], int]
"""Reads on from a place; gives how many bytes it took, 0 when it has to wait for more."""


class ChunkedBody:
    """Takes the bytes after a head, and gives the body.

    :param limits: the largest body; the trailer section may be as large as a header.
    :ivar body: the body, whole once :meth:`feed` has said that it ended.
    """

    def __init__(self, limits: Limits) -> None:
        self.body = bytearray()
        self._limits = limits
        self._around = 0
        self._most_around = _AROUND * limits.body_bytes + limits.header_bytes
        self._left = 0
        self._read: _Read | None = self._size_line

    @property
    def begun(self) -> bool:
        """Whether anything of the body has come."""
        return self._around > 0

    def feed(self, data: bytearray) -> bool:
        """Take bytes from the front of ``data``, as many as can be used now.

        :returns: True when the body has ended; what is left of ``data`` follows it.
        :raises Refused: 400 for anything that is not to the letter, 413 for too large a body.
        """
        used = 0
        while self._read is not None:
            taken = self._read(data, used)
            if not taken:
                break
            used += taken
        del data[:used]
        return self._read is None

    def _size_line(self, data: bytearray, start: int) -> int:
        line = self._line(data, start)
        if line:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise _malformed()
            self._left = int(match[1], 16)
            if len(self.body) + self._left > self._limits.body_bytes:
                raise too_large(self._limits)
            if self._left:
                self._read = self._data
            else:
                self._read = self._trailer_line
                self._most_around = self._around + self._limits.header_bytes
        return len(line)

    def _data(self, data: bytearray, start: int) -> int:
        piece = data[start : start + self._left]
        self.body += piece
        self._left -= len(piece)
        if not self._left:
            self._read = self._data_end
        return len(piece)

    def _data_end(self, data: bytearray, start: int) -> int:
        end = data[start : start + len(_CRLF)]
        if not _CRLF.startswith(end):
            raise _malformed()
        if len(end) < len(_CRLF):
            return 0
        self._read = self._size_line
        return len(end)

    def _trailer_line(self, data: bytearray, start: int) -> int:
        """Section 7.1.2: trailer fields may be thrown away, and are; they still have a form."""
        line = self._line(data, start)
        if line == _CRLF:
            self._read = None
        elif line and not _TRAILER_LINE.fullmatch(line):
            raise _malformed()
        return len(line)

    def _line(self, data: bytearray, start: int) -> bytes:
        """Give the next line with its end; nothing while the end has not come."""
        end = data.find(b"\n", start) + 1
        length = (end or len(data)) - start
        if length > _LONGEST_LINE or self._around + length > self._most_around:
            raise Refused(HTTPStatus.BAD_REQUEST, "too much beside the data in the chunks")
        if not end:
            return b""
        self._around += length
        return bytes(data[start:end])


def _malformed() -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "malformed chunk")
