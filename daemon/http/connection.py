"""One connection: requests in, replies out in the same order."""

from __future__ import annotations

from collections import deque
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from daemon.http.head import END, Head
from daemon.http.limits import Refused
from daemon.http.outlet import Outlet, outlet
from daemon.http.patience import HALF_CLOSED_S, LINGER_S, Patience
from daemon.http.reader import Awaiting, Received, RequestReader
from daemon.http.reply import CONTINUE, compose, compose_ordinary
from daemon.http.request import Request

if TYPE_CHECKING:
    from daemon.http.server import KleinFactory

FLUSH_BYTES: Final = 64 * 1024
"""Replies to pipelined requests are sent together, up to about this many bytes."""

READ_AT_ONCE: Final = 16
"""So many pipelined requests are read ahead: in memory each takes many times what was sent."""


@implementer(IHalfCloseableProtocol)
class Connection(Patience, Protocol):
    """Answers the requests of one client, one after another.

    :param factory: the server.
    """

    transport: Any

    def __init__(self, factory: KleinFactory) -> None:
        super().__init__(factory)
        self._reader = RequestReader(factory.parse_head, factory.limits)
        self._queue: deque[Received | Refused] = deque()
        self._replies: list[bytes] = []
        self._replies_bytes = 0
        self._current: Request | None = None
        self._result: Deferred[Any] | None = None
        self._closing = False
        self._half_closed = False
        self._paused = False
        self._starting = False
        self._quiet = False

    @property
    def idle(self) -> bool:
        """Whether the next byte to come is the first of a request that can be answered at once."""
        return (
            self._current is None
            and not self._queue
            and self._reader.is_fresh
            and not self._out.blocked
            and not self._closing
            and not self._half_closed
        )

    @property
    def _has_backlog(self) -> bool:
        """Whether requests have come that are not answered, beside the current one."""
        return bool(self._queue) or self._reader.has_more

    @property
    def is_recent(self) -> bool:
        """Whether it is idle, and was made or used within the current tick of the deadlines."""
        return self.idle and self.deadline >= self.server.idle_deadline

    # --- what the transport tells

    def connectionMade(self) -> None:
        """Join the server, or hear that there is no room."""
        self._out: Outlet = outlet(self.transport, self._progressed, self._drained)
        refused = self.server.join(self)
        if refused is None:
            self._settle(None)
        else:
            self._refuse(refused)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the handler at work that nobody waits for it any more."""
        self.server.leave(self)
        self._closing = True
        self._quiet = False
        self._reader.stop()
        self._queue.clear()
        request, self._current = self._current, None
        if request is not None:
            request.end(reason)
            if self._result is not None:
                # As Klein does. Work that must survive the client is another Deferred.
                self._result.cancel()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes, and answer what is whole."""
        if self._quiet:
            head = self.server.remembered_head(data)
            if head is not None and head.length == 0:
                self._answer_at_once(head, b"")
                return
            end = data.find(END) + len(END)
            head = self.server.remembered_head(data[:end])
            if head is not None and head.length == len(data) - end:
                self._answer_at_once(head, data[end:])
                return
        reader = self._reader
        before = reader.awaiting
        if before is Awaiting.NOTHING:
            return
        received = reader.feed(data, READ_AT_ONCE)
        if self._quiet and len(received) == 1 and reader.awaiting is Awaiting.REQUEST:
            request = received[0]
            if isinstance(request, Received):
                self._answer_at_once(*request)
                return
        if not received and reader.awaiting is before is Awaiting.REQUEST:
            # Empty lines, which are no reason to wait any longer for a request.
            self._quiet = self.idle
            return
        self._queue.extend(received)
        self._advance()
        self._settle(None if received else before)

    def readConnectionLost(self) -> None:
        """Answer what was asked, then close: the client may have closed its side only."""
        self._half_closed = True
        self._quiet = False
        if self._reader.has_more:
            self._queue.extend(self._reader.feed(b""))
        if self._reader.awaiting is not Awaiting.NOTHING:
            self._reader.stop()
        if self._current is None and not self._queue and not self._out.blocked:
            self._close()
        else:
            self.must_move_within(HALF_CLOSED_S)

    def writeConnectionLost(self) -> None:
        """Learn that our own half-close is done."""

    # --- what the server tells

    def overdue(self) -> None:
        """Act on a deadline that has passed."""
        awaiting = self._reader.awaiting
        if self._closing or self._half_closed or self._out.blocked:
            self.transport.abortConnection()
        elif awaiting is Awaiting.REQUEST:
            self._close()
        elif self.server.ending:
            self._refuse(Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the server is stopping"))
        else:
            late = "header" if awaiting is Awaiting.HEAD else "body"
            self._refuse(Refused(HTTPStatus.REQUEST_TIMEOUT, f"the {late} did not come in time"))

    def drain(self) -> bool:
        """End the connection as soon as it owes no reply.

        :returns: whether it owes none, and waits for the client's end or :meth:`let_go`. A request
            that crosses our end is read and dropped meanwhile; closed at once, the connection
            would be reset by it.
        """
        if self.idle:
            self._quiet = False
            self._end(linger=True)
            return True
        if not self._closing and not self._half_closed:
            self._settle(None)
        else:
            self.shorten()
        return False

    def let_go(self) -> None:
        """Wait no longer for the client's end."""
        self._out.close()

    def go_on(self) -> None:
        """Answer more of what was asked, after others had their turn."""
        self._advance()
        self._settle(None)

    def give_up(self) -> None:
        """End the connection at once."""
        self.transport.abortConnection()

    # --- requests and replies

    def _advance(self) -> None:
        """Answer what waits, as far as it can be answered now."""
        queue = self._queue
        ends_s = None
        while self._current is None and not self._closing and not self._out.blocked:
            if not queue:
                if not self._reader.has_more:
                    break
                queue.extend(self._reader.feed(b"", READ_AT_ONCE))
                continue
            if ends_s is None:
                ends_s = self.server.turns.slice_end_s()
            elif self.server.clock.seconds() >= ends_s:
                self.server.turns.put_off(self)
                break
            item = queue.popleft()
            if isinstance(item, Refused):
                self._reply_refusal(item)
            else:
                self._answer(*item)
            if self._replies_bytes > FLUSH_BYTES:
                self._send()
        if self._current is None and self._reader.wants_continue and not queue:
            self._reader.continue_sent()
            self._replies.append(CONTINUE)
        self._send()
        self._pause_or_resume()

    def _answer_at_once(self, head: Head, body: bytes) -> None:
        """Answer in as few steps as there can be: this is what most requests come to."""
        server = self.server
        request = Request(head, body, self)
        result = server.routes.handle(request)
        if (
            type(result) is bytes
            and head.ordinary
            and request.written is None
            and request.phrase is None
            and request.headers_to_send is None
            and not server.draining
        ):
            code = request.code
            start = server.reply_starts.get(code) or server.reply_start(code)
            server.replies[code] += 1
            self._out.write(compose_ordinary(request, result, start))
            if request.is_awaited:
                request.end()
            self.deadline = server.idle_deadline
            if not self._out.blocked:
                return
        else:
            self._take_result(request, result)
        self._advance()
        self._settle(None)

    def _answer(self, head: Head, body: bytes) -> None:
        """Run the handler of one request."""
        request = Request(head, body, self)
        self._take_result(request, self.server.routes.handle(request))

    def _take_result(self, request: Request, result: bytes | Deferred[bytes]) -> None:
        if isinstance(result, Deferred):
            self._current = request
            self._result = result
            self._starting = True
            request.when_finished(self._finished_early)
            result.addCallback(self._answered, request)
            self._starting = False
        else:
            self._reply(request, result)

    def _answered(self, body: bytes, request: Request) -> None:
        """Go on: the handler has done its work."""
        if self._current is not request:
            return
        self._reply(request, body)
        if not self._starting:  # else whoever started the handler goes on
            self._advance()
            self._settle(None)

    def _finished_early(self, request: Request) -> None:
        """Go on: the handler has called ``request.finish()`` itself."""
        self._answered(b"", request)

    def _reply(self, request: Request, body: bytes) -> None:
        self._current = self._result = None
        keep_alive = request.head.keep_alive and not self._ends_with(request)
        try:
            reply = compose(request, body, self.server.date_line, keep_alive=keep_alive)
        except Exception:  # noqa: BLE001  # what a handler has set cannot be sent
            refused = self.server.incident()
            refused.to_head = request.head.method == b"HEAD"
            self._reply_refusal(refused)
            request.end()
            return
        self._put(reply)
        self.server.replies[request.code] += 1
        request.end()
        if not keep_alive:
            self._end(linger=self._has_backlog)

    def _ends_with(self, request: Request) -> bool:
        """Whether the server drains, and the reply to a request is the last on the connection."""
        server = self.server
        return server.draining and (server.ending or not request.keeps_open)

    def _reply_refusal(self, refused: Refused) -> None:
        self._put(self.server.refusal(refused))
        self._end(linger=True)

    def _refuse(self, refused: Refused) -> None:
        """Refuse what is under way, after the replies to what came before it."""
        refused.to_head = self._reader.is_head
        self._reader.stop()
        self._queue.append(refused)
        self._advance()

    def _put(self, reply: bytes) -> None:
        self._replies.append(reply)
        self._replies_bytes += len(reply)

    def _send(self) -> None:
        replies = self._replies
        if replies:
            self._out.write(replies[0] if len(replies) == 1 else b"".join(replies))
            self._replies = []
            self._replies_bytes = 0

    # --- the end, and the time until then

    def _end(self, *, linger: bool) -> None:
        """Send what is there, and close."""
        self._send()
        self._closing = True
        self._reader.stop()
        self._queue.clear()
        if linger and not self._half_closed and self._out.half_close():
            if self._paused:
                self._paused = False
                self.transport.resumeProducing()
            if self._out.blocked:
                self.await_reading()
            else:
                self.must_move_within(LINGER_S)
        else:
            self._close()

    def _close(self) -> None:
        self._closing = True
        self._quiet = False
        if self._paused:
            # An orderly end of TLS has to be read.
            self._paused = False
            self.transport.resumeProducing()
        self._out.close()
        self.await_reading()

    def _progressed(self) -> None:
        """Give a client more time that reads, though slowly; not while the server stops."""
        if not self.server.ending:
            self.await_reading()

    def _drained(self) -> None:
        """Go on: the client has read what waited for it."""
        if self._closing:
            self.must_move_within(LINGER_S)
            return
        self._advance()
        self._settle(None)

    def _pause_or_resume(self) -> None:
        """Read on only when all that was read is on its way to be answered."""
        if self._closing or self._half_closed:
            return
        pause = self._has_backlog or self._out.blocked
        if pause != self._paused:
            self._paused = pause
            if pause:
                self.transport.pauseProducing()
            else:
                self.transport.resumeProducing()

    def _settle(self, before: Awaiting | None) -> None:
        """Give the client the time that is right for what it has to do next.

        :param before: what was awaited before bytes came that were no whole request; None when
            nothing came, or more than that.
        """
        self._quiet = self.idle
        if self._closing:
            return
        if self._out.blocked:
            self.await_reading()
        elif self._half_closed:
            if self._current is None and not self._queue:
                self._close()
        elif self._current is not None or self._has_backlog:
            self.deadline = inf
        else:
            self.await_sending(self._reader.awaiting, before)
