"""The head of an answer: what llhttp reads, and what it lets pass that the RFCs do not.

Pure functions of bytes. RFC 9112 is meant by section numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from daemon.http.answer import AnswerTooLargeError, MalformedAnswerError

HEADER_BYTES: Final = 16 * 1024
"""The head of an answer, the interim answers before it included, may have so many bytes."""

REMEMBERED_HEADS: Final = 1024
REMEMBERED_BYTES: Final = 1024
"""So many heads are remembered, of so many bytes at most: some 2 MB."""

_STATUS_LINE: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*+)?\r\n"
)
"""Section 4. Some servers leave the blank before an empty reason away."""

_FIELD: Final = re.compile(rb"\r\n([^:\r\n]++):[ \t]*+([^\r\n]*+)")
"""A field of a head that llhttp has checked, white space before the value left away."""

_START: Final = b"HTTP/1."
_BARE_END: Final = re.compile(rb"(?<!\r)\n|\r[^\n]")

_FINAL: Final = 200
_SWITCHING: Final = 101
_WITHOUT_BODY: Final = frozenset({204, 304})


class AnswerHead:
    """The head of one answer; never changed, since equal heads share one object.

    :ivar status: the three digits of the status line.
    :ivar fields: the last value of each field, by its name in lower case.
    :ivar length: bytes of the body; None when the chunks tell, or the end of the connection.
    :ivar chunked: the chunks tell.
    :ivar keep_alive: the server goes on with the connection after this answer.
    """

    __slots__ = ("chunked", "fields", "keep_alive", "length", "status")

    def __init__(self, status: int, fields: dict[bytes, bytes], *, is_1_0: bool) -> None:
        self.status = status
        self.fields: Mapping[bytes, bytes] = MappingProxyType(fields)
        self.chunked = False
        self.length: int | None = None
        options = fields.get(b"connection", b"").lower().replace(b" ", b"").split(b",")
        self.keep_alive = b"close" not in options and (not is_1_0 or b"keep-alive" in options)

    @property
    def interim(self) -> bool:
        """Whether another answer to the same request follows."""
        return self.status < _FINAL


def parse(data: bytes) -> AnswerHead:
    """Read a head.

    :param data: the bytes of one head, :data:`daemon.http.head.END` included.
    :raises MalformedAnswerError: it is none.
    :raises AnswerTooLargeError: its Content-Length is beyond all numbers.
    """
    line = _STATUS_LINE.match(data)
    if line is None:
        raise MalformedAnswerError("malformed status line")
    _check(data)
    found = _FIELD.findall(data)
    fields: dict[bytes, bytes] = {}
    for name, value in found:
        key = name.lower()
        if key == b"connection" and key in fields:
            value = fields[key] + b"," + value  # noqa: PLW2901  # one list, on several lines
        fields[key] = value.rstrip(b" \t")
    head = AnswerHead(int(line[2]), fields, is_1_0=line[1] == b"0")
    _set_framing(head, found, is_1_0=line[1] == b"0")
    return head


def check_unfinished(data: bytes | bytearray, checked: int) -> None:
    """Refuse at once what cannot become a head, however it goes on.

    :param data: the bytes so far.
    :param checked: so many of them were there at the last check.
    :raises MalformedAnswerError: it cannot.
    """
    bare_end = _BARE_END.search(data, max(0, checked - 1), HEADER_BYTES)
    if bare_end or not data.startswith(_START[: len(data)]):
        raise MalformedAnswerError("what came is not HTTP/1.1")


class RememberedHeads:
    """Reads heads, and remembers what they read as: a source sends the same ones over and over.

    A head's ``Date`` makes it another one each second, which is seldom enough.

    :param body_bytes: the largest body.
    :ivar get: gives a head that is remembered, or None. Only heads are that have a body of known
        length within the limit, and after which the connection goes on.
    """

    def __init__(self, body_bytes: int) -> None:
        self._body_bytes = body_bytes
        self._heads: dict[bytes, AnswerHead] = {}
        self.get = self._heads.get

    def read(self, data: bytes) -> AnswerHead:
        """Read a head.

        :raises MalformedAnswerError: it is none.
        :raises AnswerTooLargeError: it says that the body is too large.
        """
        head = self._heads.get(data)
        if head is None:
            head = parse(data)
            if head.length is not None and not head.interim:
                if head.length > self._body_bytes:
                    raise AnswerTooLargeError(f"a body of {head.length} bytes")
                if head.keep_alive and len(data) <= REMEMBERED_BYTES:
                    self._remember(data, head)
        return head

    def _remember(self, data: bytes, head: AnswerHead) -> None:
        if len(self._heads) >= REMEMBERED_HEADS:
            self._heads.clear()
        self._heads[data] = head


class _Events:
    """What llhttp tells: nothing that is not to be seen in the bytes as well."""


def _check(data: bytes) -> None:
    try:
        HttpResponseParser(_Events()).feed_data(data)
    except HttpParserUpgrade as upgrade:
        raise MalformedAnswerError("another protocol, which nobody asked for") from upgrade
    except HttpParserError as error:
        reason = str(error)
        if reason == "Content-Length overflow":
            raise AnswerTooLargeError("a body of endless length") from error
        raise MalformedAnswerError(reason or "malformed header") from error


def _set_framing(head: AnswerHead, found: list[tuple[bytes, bytes]], *, is_1_0: bool) -> None:
    """Section 6.3: how long the body is. llhttp has refused both fields, and two lengths."""
    if head.status == _SWITCHING:
        raise MalformedAnswerError("another protocol, which nobody asked for")
    codings = [value for name, value in found if name.lower() == b"transfer-encoding"]
    if head.interim or head.status in _WITHOUT_BODY:
        head.length = 0
    elif codings:
        if is_1_0 or len(codings) > 1 or codings[0].rstrip(b" \t").lower() != b"chunked":
            raise MalformedAnswerError("a transfer coding other than chunked")
        head.chunked = True
    elif b"content-length" in head.fields:
        head.length = int(head.fields[b"content-length"])
    else:
        head.keep_alive = False
