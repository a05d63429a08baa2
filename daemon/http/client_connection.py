"""One connection to a source: one request at a time, one answer for each."""

from __future__ import annotations

import socket
from typing import Any, Final
from typing import Protocol as Structure

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from daemon.http.answer import Answer, ConnectionFailedError, FetchError
from daemon.http.answer_head import RememberedHeads
from daemon.http.answer_reader import AnswerReader
from daemon.http.head import END
from daemon.http.limits import Limits
from daemon.http.outlet import Outlet, SocketOutlet, outlet

READ_BYTES: Final = 64 * 1024
"""So much is read at a time; a read that gives less has emptied the socket."""

_END_BYTES: Final = len(END)


class Holder(Structure):
    """What a request is bound to: a connection, or the attempt to make one."""

    def abandon(self) -> None:
        """Learn that nobody waits for the request any more."""


class Fetch:
    """A request, and who waits for its answer.

    :ivar request: its bytes.
    :ivar deadline_s: when the answer must be whole, in seconds of the clock.
    :ivar answer: fires with the answer.
    :ivar holder: what it is bound to; None while it waits.
    :ivar retried: it was sent on a connection that turned out to be closed.
    """

    __slots__ = ("answer", "deadline_s", "holder", "request", "retried")

    def __init__(self, request: bytes, deadline_s: float, answer: Deferred[Answer]) -> None:
        self.request = request
        self.deadline_s = deadline_s
        self.answer = answer
        self.holder: Holder | None = None
        self.retried = False


class Owner(Structure):
    """Whom a connection tells what becomes of it."""

    def answered(self, connection: ClientConnection, fetch: Fetch, answer: Answer) -> None:
        """An answer is whole, and the connection can take the next request."""

    def answered_last(self, connection: ClientConnection, fetch: Fetch, answer: Answer) -> None:
        """An answer is whole, and it was the last one of the connection, which is ending."""

    def failed(self, connection: ClientConnection, fetch: Fetch, error: FetchError) -> None:
        """There will be no answer, and the connection is ending."""

    def ending(self, connection: ClientConnection) -> None:
        """The connection, which has no request, can take none any more."""

    def gone(self, connection: ClientConnection, stale: Fetch | None) -> None:
        """The connection has ended.

        :param stale: a request that the server has most likely never seen: it closed the
            connection, which it had kept open after an answer, without a byte of the next.
        """


class ClientConnection(Protocol):
    """Sends a request, reads the answer.

    :param owner: is told what becomes of it.
    :param heads: reads heads.
    :param limits: the largest body.
    :ivar idle_since_s: left to the owner.
    """

    transport: Any

    def __init__(self, owner: Owner, heads: RememberedHeads, limits: Limits) -> None:
        self.idle_since_s = 0.0
        self._owner = owner
        self._reader = AnswerReader(heads, limits)
        self._remembered = heads.get
        self._fetch: Fetch | None = None
        self._kept = False
        self._ending = False

    def connectionMade(self) -> None:
        """Find the way out."""
        self.transport.bufferSize = READ_BYTES
        self._out: Outlet = outlet(self.transport, _nothing, _nothing)

    def start(self, fetch: Fetch) -> None:
        """Send a request; the one before must have been answered."""
        self._fetch = fetch
        fetch.holder = self
        self._out.write(fetch.request)

    def is_silent(self) -> bool:
        """Whether the server has neither sent anything nor closed, as far as this system knows."""
        if not isinstance(self._out, SocketOutlet):
            return True
        try:
            self.transport.getHandle().recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def dataReceived(self, data: bytes) -> None:
        """Take bytes."""
        fetch = self._fetch
        reader = self._reader
        if fetch is not None and not reader.begun:
            # What nearly all reads are: one answer, whole, its head known.
            end = data.find(END) + _END_BYTES
            head = self._remembered(data[:end])
            if head is not None and len(data) - end == head.length and len(data) < READ_BYTES:
                self._fetch = None
                self._kept = True
                self._owner.answered(self, fetch, Answer(head.status, head.fields, data[end:]))
                return
        if fetch is None:
            self._unasked()
            return
        try:
            answer = reader.feed(data)
        except FetchError as error:
            self._fetch = None
            self.drop()
            self._owner.failed(self, fetch, error)
            return
        if answer is None:
            return
        self._fetch = None
        quiet = len(data) < READ_BYTES or self.is_silent()
        if reader.keep_alive and quiet and not self._out.blocked:
            self._kept = True
            self._owner.answered(self, fetch, answer)
        else:
            self.close()
            self._owner.answered_last(self, fetch, answer)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell what becomes of the request under way."""
        fetch, self._fetch = self._fetch, None
        ending, self._ending = self._ending, True
        if fetch is None:
            if not ending:
                self._owner.ending(self)
            self._owner.gone(self, None)
        elif self._kept and not self._reader.begun:
            self._owner.gone(self, fetch)
        else:
            self._end(fetch, reason)
            self._owner.gone(self, None)

    def abandon(self) -> None:
        """Learn that nobody waits for the answer any more: the connection is of no use then."""
        self._fetch = None
        self.drop()

    def close(self) -> None:
        """Close in good order; there is no request under way."""
        if self._out.blocked:
            self.drop()
        elif not self._ending:
            self._ending = True
            self._out.close()

    def drop(self) -> None:
        """Close at once."""
        self._ending = True
        self.transport.abortConnection()

    def _unasked(self) -> None:
        """Take bytes that belong to no request; they must not become the next one's answer."""
        if not self._ending:
            self.drop()
            self._owner.ending(self)

    def _end(self, fetch: Fetch, reason: Failure) -> None:
        """Take the end of the connection, while an answer is under way."""
        try:
            if not reason.check(ConnectionDone):
                raise ConnectionFailedError(f"the connection broke: {reason.getErrorMessage()}")
            answer = self._reader.end()
        except FetchError as error:
            self._owner.failed(self, fetch, error)
        else:
            self._owner.answered_last(self, fetch, answer)


def _nothing() -> None:
    """Learn that a request that had to wait is on its way, which changes nothing."""
