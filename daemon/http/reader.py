"""Cuts what a client sends into requests. No sockets, no clock: bytes in, requests out."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple

from daemon.http.chunked import ChunkedBody
from daemon.http.head import END, Head, check_unfinished
from daemon.http.limits import Limits, Refused


class Received(NamedTuple):
    """A request that is whole."""

    head: Head
    body: bytes


class Awaiting(Enum):
    """What has to come next."""

    REQUEST = "the first byte of a request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    NOTHING = "nothing: what followed an error has no meaning"


ParseHead = Callable[[bytes], Head]

_LINE_END: Final = b"\r\n"
_HEAD: Final = b"HEAD "


class RequestReader:
    """Takes the bytes of one connection.

    :param parse: reads a head; raises :class:`Refused`.
    :param limits: what is too large.
    :ivar awaiting: what has to come next.
    :ivar has_more: there are bytes that may hold whole requests: see :meth:`feed`.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_checked",
        "_head",
        "_limits",
        "_parse",
        "_told",
        "awaiting",
        "has_more",
    )

    def __init__(self, parse: ParseHead, limits: Limits) -> None:
        self._parse = parse
        self._limits = limits
        self._buffer = bytearray()
        self._head: Head | None = None
        self._body: ChunkedBody | None = None
        self._told = False
        self._checked = 0
        self.awaiting = Awaiting.REQUEST
        self.has_more = False

    @property
    def wants_continue(self) -> bool:
        """Whether the client waits for ``100 Continue``, and nothing of the body has come."""
        head = self._head
        return (
            head is not None
            and head.expects_continue
            and not self._told
            and not self._buffer
            and not (self._body and self._body.begun)
        )

    @property
    def is_fresh(self) -> bool:
        """Whether the next byte is the first of a request, or of an empty line before it."""
        return self.awaiting is Awaiting.REQUEST and not self._buffer

    @property
    def is_head(self) -> bool:
        """Whether it is a HEAD request that is under way: no reply to it has a body."""
        if self._head is not None:
            return self._head.method == b"HEAD"
        return self._buffer.startswith(_HEAD)

    def continue_sent(self) -> None:
        """Note that the client need not wait any more."""
        self._told = True

    def feed(self, data: bytes, at_most: int | None = None) -> list[Received | Refused]:
        """Take bytes; give the requests that are whole now, a refusal last if there is one.

        A request takes many times its bytes once it is read, and time to be read. So who cannot
        answer a thousand at once takes a few, and the next ones by another call without bytes.

        :param at_most: so many requests; all of them if None.
        """
        if self.awaiting is Awaiting.REQUEST and not self._buffer:
            found = self._feed_whole(data)
            if found is not None:
                return found
        found = []
        self._buffer += data
        try:
            while self.awaiting is not Awaiting.NOTHING:
                if len(found) == at_most:
                    self.has_more = bool(self._buffer)
                    return found
                request = self._next()
                if request is None:
                    break
                found.append(request)
        except Refused as refused:
            refused.to_head = self.is_head
            self.stop()
            found.append(refused)
        self.has_more = False
        return found

    def stop(self) -> None:
        """Throw away what there is, and all that will come."""
        self._buffer = bytearray()
        self._head = self._body = None
        self.has_more = False
        self.awaiting = Awaiting.NOTHING

    def _feed_whole(self, data: bytes) -> list[Received | Refused] | None:
        """Take what most reads are: one request, whole. Nothing of it need be kept.

        :returns: None when it is anything else.
        """
        end = data.find(END) + len(END)
        if end < len(END) or data.startswith(_LINE_END):
            return None
        try:
            head = self._parse(data[:end])
        except Refused as refused:
            refused.to_head = data.startswith(_HEAD)
            self.stop()
            return [refused]
        if head.length is None or end + head.length != len(data):
            return None
        return [Received(head, data[end:])]

    def _next(self) -> Received | None:
        head = self._head or self._next_head()
        if head is None:
            return None
        body = self._next_body(head)
        if body is None:
            self.awaiting = Awaiting.BODY
            return None
        self._head = self._body = None
        self.awaiting = Awaiting.REQUEST
        return Received(head, body)

    def _next_head(self) -> Head | None:
        buffer = self._buffer
        while buffer.startswith(_LINE_END):  # RFC 9112 section 2.2: before a request line
            del buffer[: len(_LINE_END)]
        end = buffer.find(END, max(0, self._checked - len(END)))
        if end < 0:
            if buffer and buffer != b"\r":
                check_unfinished(buffer, self._limits, self._checked)
                self.awaiting = Awaiting.HEAD
            self._checked = len(buffer)
            return None
        end += len(END)
        self._head = self._parse(bytes(buffer[:end]))
        self._told = False
        self._checked = 0
        del buffer[:end]
        if self._head.length is None:
            self._body = ChunkedBody(self._limits)
        return self._head

    def _next_body(self, head: Head) -> bytes | None:
        if self._body is not None:
            return bytes(self._body.body) if self._body.feed(self._buffer) else None
        length = head.length or 0
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body
