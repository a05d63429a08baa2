"""Cuts what a server sends into answers. No sockets, no clock: bytes in, answers out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from daemon.http.answer import (
    Answer,
    AnswerTooLargeError,
    ConnectionFailedError,
    MalformedAnswerError,
)
from daemon.http.answer_head import HEADER_BYTES, AnswerHead, RememberedHeads, check_unfinished
from daemon.http.chunked import ChunkedBody
from daemon.http.head import END
from daemon.http.limits import Limits, Refused

_OVERLAP: Final = len(END) - 1


class AnswerReader:
    """Takes the bytes of one connection, on which one answer is awaited at a time.

    :param heads: reads heads.
    :param limits: the largest body.
    :ivar begun: something of the answer has come, and not all of it.
    :ivar keep_alive: the connection can go on after the answer that :meth:`feed` has just given:
        the server says so, and nothing came behind it.
    """

    __slots__ = (
        "_buffer",
        "_chunks",
        "_head",
        "_heads",
        "_interim_bytes",
        "_limits",
        "begun",
        "keep_alive",
    )

    def __init__(self, heads: RememberedHeads, limits: Limits) -> None:
        self._heads = heads
        self._limits = limits
        self._buffer = bytearray()
        self._head: AnswerHead | None = None
        self._chunks: ChunkedBody | None = None
        self._interim_bytes = 0
        self.begun = False
        self.keep_alive = False

    def feed(self, data: bytes) -> Answer | None:
        """Take bytes; give the answer when it is whole.

        What comes behind it is thrown away: nobody has asked for it.

        :raises MalformedAnswerError: this cannot become an answer.
        :raises AnswerTooLargeError: it is larger than the limit.
        """
        self.begun = True
        self._buffer += data
        head = self._head or self._next_head(len(data))
        if head is None:
            return None
        body = self._body(head)
        if body is None:
            return None
        self.keep_alive = head.keep_alive and not self._buffer
        return self._whole(head, body)

    def end(self) -> Answer:
        """Take the orderly end of the connection, which can be the end of an answer.

        :raises ConnectionFailedError: the answer is not whole.
        """
        head = self._head
        if head is None or head.chunked or head.length is not None:
            raise ConnectionFailedError("the connection ended before the answer did")
        self.keep_alive = False
        return self._whole(head, bytes(self._buffer))

    def _whole(self, head: AnswerHead, body: bytes) -> Answer:
        self._buffer = bytearray()
        self._head = self._chunks = None
        self._interim_bytes = 0
        self.begun = False
        return Answer(head.status, head.fields, body)

    def _next_head(self, fresh: int) -> AnswerHead | None:
        """Read the head of the answer, behind any interim ones.

        :param fresh: so many bytes at the end of the buffer are new.
        """
        buffer = self._buffer
        checked = len(buffer) - fresh
        while True:
            end = buffer.find(END, max(0, checked - _OVERLAP)) + len(END)
            if end < len(END):
                check_unfinished(buffer, checked)
                self._check_size(len(buffer))
                return None
            data = bytes(buffer[:end])
            check_unfinished(data, checked)
            self._check_size(end)
            head = self._heads.read(data)
            del buffer[:end]
            if not head.interim:
                break
            self._interim_bytes += end
            checked = 0
        self._head = head
        if head.chunked:
            self._chunks = ChunkedBody(self._limits)
        return head

    def _check_size(self, size_bytes: int) -> None:
        if self._interim_bytes + size_bytes > HEADER_BYTES:
            raise AnswerTooLargeError(f"a header of more than {HEADER_BYTES} bytes")

    def _body(self, head: AnswerHead) -> bytes | None:
        """Give the body when it is whole, and leave in the buffer what follows it."""
        buffer, length = self._buffer, head.length
        if self._chunks is not None:
            return self._chunked_body(self._chunks)
        if length is None:
            if len(buffer) > self._limits.body_bytes:
                raise AnswerTooLargeError(f"a body of more than {self._limits.body_bytes} bytes")
            return None
        if len(buffer) < length:
            return None
        body = bytes(buffer[:length])
        del buffer[:length]
        return body

    def _chunked_body(self, chunks: ChunkedBody) -> bytes | None:
        try:
            return bytes(chunks.body) if chunks.feed(self._buffer) else None
        except Refused as refused:
            if refused.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                limit = self._limits.body_bytes
                raise AnswerTooLargeError(f"a body of more than {limit} bytes") from refused
            raise MalformedAnswerError(str(refused)) from refused
