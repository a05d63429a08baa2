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
    """

    __slots__ = ("_body", "_buffer", "_head", "_limits", "_parse", "_told", "awaiting")

    def __init__(self, parse: ParseHead, limits: Limits) -> None:
        self._parse = parse
        self._limits = limits
        self._buffer = bytearray()
        self._head: Head | None = None
        self._body: ChunkedBody | None = None
        self._told = False
        self.awaiting = Awaiting.REQUEST

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
    def is_head(self) -> bool:
        """Whether it is a HEAD request that is under way: no reply to it has a body."""
        if self._head is not None:
            return self._head.method == b"HEAD"
        return self._buffer.startswith(_HEAD)

    def continue_sent(self) -> None:
        """Note that the client need not wait any more."""
        self._told = True

    def feed(self, data: bytes) -> list[Received | Refused]:
        """Take bytes; give the requests that are whole now, a refusal last if there is one."""
        found: list[Received | Refused] = []
        if (
            self.awaiting is Awaiting.REQUEST
            and data.find(END) == len(data) - len(END)
            and not data.startswith(_LINE_END)
        ):
            # Most reads are one request without a body: nothing need be kept.
            try:
                head = self._parse(data)
            except Refused as refused:
                refused.to_head = data.startswith(_HEAD)
                self.stop()
                return [refused]
            if head.length == 0:
                return [Received(head, b"")]
            self._begin(head)
            self.awaiting = Awaiting.BODY
            return found
        self._buffer += data
        try:
            while self.awaiting is not Awaiting.NOTHING:
                request = self._next()
                if request is None:
                    break
                found.append(request)
        except Refused as refused:
            refused.to_head = self.is_head
            self.stop()
            found.append(refused)
        return found

    def stop(self) -> None:
        """Throw away what there is, and all that will come."""
        self._buffer = bytearray()
        self._head = self._body = None
        self.awaiting = Awaiting.NOTHING

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
        end = buffer.find(END)
        if end < 0:
            if buffer and buffer != b"\r":
                check_unfinished(buffer, self._limits)
            self.awaiting = Awaiting.HEAD if buffer else self.awaiting
            return None
        end += len(END)
        head = self._parse(bytes(buffer[:end]))
        del buffer[:end]
        self._begin(head)
        return head

    def _begin(self, head: Head) -> None:
        self._head = head
        self._told = False
        if head.length is None:
            self._body = ChunkedBody(self._limits)

    def _next_body(self, head: Head) -> bytes | None:
        if self._body is not None:
            return bytes(self._body.body) if self._body.feed(self._buffer) else None
        length = head.length or 0
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body
