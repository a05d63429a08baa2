"""An HTTP/1.1 server for Klein applications: llhttp reads, Klein's handlers answer.

Serve an application with it instead of ``twisted.web.server.Site(app.resource())``::

    endpoint.listen(KleinFactory(app, reactor))

The replies are the same; docs/http.rst lists where they are not, and why.
"""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from collections.abc import Callable
from http import HTTPStatus
from math import inf
from typing import Any, Final
from uuid import uuid4

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from daemon.http.access import AccessLog, LoggedConnection
from daemon.http.connection import Connection
from daemon.http.deadlines import TICK_S, Deadlines
from daemon.http.head import Head, parse
from daemon.http.limits import Limits, Refused, RenderRefusal, plain_text
from daemon.http.reply import compose_refusal, date_line, status_line
from daemon.http.routes import Routes
from daemon.http.turns import Turns

REMEMBERED_HEADS: Final = 1024
REMEMBERED_BYTES: Final = 1024
"""So many heads are remembered, of so many bytes at most: some 3 MB."""

OVERFLOW: Final = 256
"""So many connections beyond the limit hear why they are refused; more are just closed."""

SPARE_DESCRIPTORS: Final = 64
"""So many descriptors are not for connections: files, lookups and the next accept want some. Of a
limit that is low, a quarter."""

RECENT_S: Final = 0.25
"""How much longer a server that stops waits for requests on connections that are new or were in
use a moment ago: their clients may be about to ask, and would get no reply."""

FAREWELL_S: Final = 0.05
"""How long a server that stops waits for the clients of idle connections to close their side."""

FINISH_S: Final = 1.0
"""How long after the stop has begun a client may take to finish a request; then it gets its 503."""

DRAIN_S: Final = 1.5
"""How long after that moment any client may take to do anything: to read, or to see the end. Who
waits for a handler that is still at work is not bounded by it."""

LATE_S: Final = 0.5
"""How long a client may take to read the reply of a handler that took longer than that."""

RETRY_AFTER: Final = (b"Retry-After", b"1")


class KleinFactory(Factory):
    """Serves a Klein application.

    :param app: the application, bound to its instance if it is an attribute of a class.
    :param clock: schedules (:class:`twisted.internet.interfaces.IReactorTime`).
    :param limits: what clients may ask for.
    :param render_refusal: gives the media type and body of replies that the server makes itself:
        to requests that do not reach the application, and to handlers that fail.
    :param now: the time of day in seconds since the epoch, for ``Date``.
    :param access: is told of every request; None: nobody is.
    :ivar draining: replies end their connections; see :meth:`wind_down`.
    :ivar ending: so do all of them, and clients have little time; see :meth:`end_with_replies`.
    :ivar request_deadline: when requests must be whole then, in seconds of the clock.
    :ivar replies: how many there were of each status.
    :ivar turned_away: how many connections there was no room for.
    """

    log = Logger()
    noisy = False

    def __init__(
        self,
        app: Klein,
        clock: Any,
        *,
        limits: Limits = Limits(),  # noqa: B008  # it is frozen
        render_refusal: RenderRefusal = plain_text,
        now: Callable[[], float] = time.time,
        access: AccessLog | None = None,
    ) -> None:
        self.clock = clock
        self.limits = limits
        self.routes = Routes(app, render_refusal)
        self.deadlines = Deadlines(clock, self._set_idle_deadline)
        self.turns = Turns(clock)
        self.idle_deadline = 0.0
        self.draining = False
        self.ending = False
        self.request_deadline = inf
        self._end_deadline = inf
        self._emptying = False
        self.date_line = b""
        self.reply_starts: dict[int, bytes] = {}
        self.replies: defaultdict[int, int] = defaultdict(int)
        self.turned_away = 0
        self._render_refusal = render_refusal
        self._now = now
        self._access = access
        self._connections: set[Connection] = set()
        self._refused: set[Connection] = set()
        self._heads: dict[bytes, Head] = {}
        self._seen = [0] * REMEMBERED_HEADS
        self.remembered_head = self._heads.get
        self._when_empty: list[Deferred[None]] = []
        self._partings: list[IDelayedCall] = []
        self._date_loop = LoopingCall(self._set_date)
        self._date_loop.clock = clock

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def startFactory(self) -> None:
        """Begin to keep time; Twisted calls this when a port listens."""
        self.deadlines.start()
        self._date_loop.start(1.0)

    def stopFactory(self) -> None:
        """Keep time no longer; Twisted calls this when no port listens any more.

        Connections may be open still: while they are, :meth:`drain` keeps it going.
        """
        if not self._connections and not self._refused:
            self._stop_timers()

    def buildProtocol(self, addr: IAddress | None) -> Connection:  # noqa: ARG002  # Twisted's
        """Give the protocol of a new connection."""
        if self._access is not None:
            return LoggedConnection(self, self._access)
        return Connection(self)

    def wind_down(self) -> None:
        """From now on, have every reply end its connection, unless its handler asks otherwise.

        Connections that owe no reply stay open, until :meth:`end_with_replies` or :meth:`drain`:
        so clients can still fetch what they were promised. See
        :func:`daemon.http.request.keep_open`.
        """
        self.draining = True

    def end_with_replies(self) -> None:
        """From now on, have every reply end its connection, whatever its handler asks.

        The time that clients have is counted from here: :data:`FINISH_S` and :data:`DRAIN_S`.
        """
        self.draining = True
        if not self.ending:
            self.ending = True
            now_s = self.clock.seconds()
            self.request_deadline = now_s + FINISH_S
            self._end_deadline = now_s + DRAIN_S
            # The tick of the deadlines is too coarse for times as short as these.
            for delay_s in (FINISH_S, DRAIN_S):
                self._partings.append(self.clock.callLater(delay_s, self._look_at_all))

    def drain(self) -> Deferred[None]:
        """End every connection as soon as it owes no reply; fires when none is left.

        Call it when no port listens any more. What clients had sent before is still answered:
        connections that seem idle are closed only after the reactor has read everything that had
        arrived. Clients cannot put it off for longer than :data:`DRAIN_S`, handlers can.
        """
        self.end_with_replies()
        if not self._when_empty and not self._emptying:
            self.clock.callLater(0, self.clock.callLater, 0, self._drain_connections)
        empty: Deferred[None] = Deferred()
        self._when_empty.append(empty)
        if self._emptying:
            self._end_drain_when_empty()
        return empty

    # --- for connections

    def parse_head(self, data: bytes) -> Head:
        """Read a head, or remember what it read as: clients send the same ones over and over.

        Heads that hold credentials are not kept in memory.

        :raises Refused: it is malformed, or asks for what the server does not do.
        """
        head = self._heads.get(data)
        if head is None:
            head = parse(data, self.limits)
            if head.method == b"CONNECT":
                allow = self.routes.allowed().encode()
                raise Refused(
                    HTTPStatus.METHOD_NOT_ALLOWED, "this is no proxy", ((b"Allow", allow),)
                )
            if len(data) <= REMEMBERED_BYTES and not head.secret:
                self._remember(data, head)
        return head

    def end_of_patience(self, now_s: float) -> float:
        """Give the time by which a client must have done what it has to do.

        :returns: seconds of the clock; :data:`math.inf` as long as the server does not stop.
        """
        return self._end_deadline if now_s < self._end_deadline else now_s + LATE_S

    def reply_start(self, code: int) -> bytes:
        """Give the status line and the date of a reply, which :attr:`reply_starts` keeps.

        They are made anew every second.
        """
        start = self.reply_starts[code] = status_line(code) + self.date_line
        return start

    def incident(self) -> Refused:
        """Log an exception that is being handled, and give what its client gets."""
        incident = uuid4().hex
        self.log.failure("a reply could not be made; incident {incident}", incident=incident)
        return Refused(HTTPStatus.INTERNAL_SERVER_ERROR, f"incident {incident}")

    def refusal(self, refused: Refused) -> bytes:
        """Give the reply to what does not reach the application."""
        self.replies[refused.status.value] += 1
        media_type, body = self._render_refusal(refused.status, refused.why)
        return compose_refusal(refused, media_type, body, self.date_line)

    def join(self, connection: Connection) -> Refused | None:
        """Take a connection in; gives the reason when there is no room for it."""
        spare, wanted = _descriptors_beside(connection.transport)
        if len(self._connections) < self.limits.connections and spare >= wanted:
            self._connections.add(connection)
            return None
        self._refused.add(connection)
        self.turned_away += 1
        if len(self._refused) > OVERFLOW or spare < wanted // 2:
            connection.transport.abortConnection()
            return None
        return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", (RETRY_AFTER,))

    def leave(self, connection: Connection) -> None:
        """Let a connection go."""
        self._connections.discard(connection)
        self._refused.discard(connection)
        self.deadlines.forget(connection)
        self.turns.forget(connection)
        if self.draining:
            self._end_drain_when_empty()

    # --- inside

    def _remember(self, data: bytes, head: Head) -> None:
        """Keep a head that comes for the second time: most that differ at all never come again."""
        fingerprint = hash(data)
        place = fingerprint % REMEMBERED_HEADS
        if self._seen[place] != fingerprint:
            self._seen[place] = fingerprint
            return
        if len(self._heads) >= REMEMBERED_HEADS:
            self._heads.clear()
        self._heads[data] = head

    def _set_idle_deadline(self, now_s: float) -> None:
        self.idle_deadline = now_s + self.limits.idle_s + TICK_S

    def _set_date(self) -> None:
        self.date_line = date_line(self._now())
        self.reply_starts.clear()

    def _stop_timers(self) -> None:
        self.deadlines.stop()
        self.turns.stop()
        if self._date_loop.running:
            self._date_loop.stop()
        for parting in self._partings:
            if parting.active():
                parting.cancel()
        self._partings.clear()

    def _look_at_all(self) -> None:
        self.deadlines.look_at([*self._connections, *self._refused])

    def _drain_connections(self) -> None:
        self._emptying = True
        recent = {each for each in self._connections if each.is_recent}
        self._part_from([*(self._connections - recent), *self._refused])
        if recent:
            self._partings.append(self.clock.callLater(RECENT_S, self._part_from_recent, recent))
        self._end_drain_when_empty()

    def _part_from_recent(self, recent: set[Connection]) -> None:
        self._part_from([*(self._connections & recent)])

    def _part_from(self, connections: list[Connection]) -> None:
        idle = [each for each in connections if each.drain()]
        if idle:
            self._partings.append(self.clock.callLater(FAREWELL_S, self._let_go, idle))

    def _let_go(self, connections: list[Connection]) -> None:
        for connection in connections:
            connection.let_go()

    def _end_drain_when_empty(self) -> None:
        if self._connections or self._refused or not self._emptying:
            return
        self._stop_timers()
        waiters, self._when_empty = self._when_empty, []
        for waiter in waiters:
            waiter.callback(None)


def _descriptors_beside(transport: Any) -> tuple[int, int]:
    """Tell how many descriptors are left about, and how many should be.

    The system always gives the lowest number that is free.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(SPARE_DESCRIPTORS, most // 4)
    try:
        return most - transport.fileno() - 1, wanted
    except AttributeError:  # none of the system's sockets is below it
        return wanted, wanted
