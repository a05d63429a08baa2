"""A bounded pool of keep-alive connections to one source."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from daemon.http.answer import (
    Answer,
    ConnectionFailedError,
    DeadlineExceededError,
    FetchError,
)
from daemon.http.answer_head import RememberedHeads
from daemon.http.client_connection import ClientConnection, Fetch
from daemon.http.limits import Limits
from daemon.http.source_url import SourceURL, check_path

IDLE_S: Final = 30.0
"""How long a connection is kept that has nothing to do; most servers keep it longer."""

PAUSE_S: Final = 0.1
"""How long no connection is tried after one could not be made; then one is, not all at once."""


class PooledClient:
    """Fetches from one source over connections that are used again.

    A request takes the idle connection that was used last, so that those beyond need grow old and
    are closed; or makes a new one; or, with all of them busy, waits for its turn.

    :param source: what is asked.
    :param endpoint: connects to it.
    :param clock: schedules (:class:`twisted.internet.interfaces.IReactorTime`).
    :param connections: at most so many, those being made included.
    :param timeout_s: seconds from the request to the end of its answer.
    :param body_bytes: the largest body of an answer.
    """

    def __init__(
        self,
        source: SourceURL,
        endpoint: IStreamClientEndpoint,
        clock: Any,
        *,
        connections: int,
        timeout_s: float,
        body_bytes: int,
    ) -> None:
        self._endpoint = endpoint
        limits = Limits(body_bytes=body_bytes)
        self._factory = _Connections(self, RememberedHeads(body_bytes), limits)
        self._clock = clock
        self._connections = connections
        self._timeout_s = timeout_s
        self._before = b"GET " + source.path
        self._behind = b" HTTP/1.1\r\nHost: " + source.authority + b"\r\n\r\n"
        # All requests, the oldest first: that is the order of their deadlines too.
        self._under_way: dict[Deferred[Answer], Fetch] = {}
        self._waiting: OrderedDict[Fetch, None] = OrderedDict()
        # The one that was used last comes last.
        self._idle: list[ClientConnection] = []
        self._open: set[ClientConnection] = set()
        self._attempts: set[_Attempt] = set()
        self._held_until_s = -inf
        self._fresh: ClientConnection | None = None
        self._timer: IDelayedCall | None = None
        self._timer_at_s = inf
        self._closed = False
        self._when_gone: list[Deferred[None]] = []

    # --- what clients of it call

    def get(self, path: bytes) -> Deferred[Answer]:
        """Fetch.

        :param path: what follows the source's own path; with a query, if need be.
        :returns: fires with the answer; fails with a :class:`FetchError`. Cancelling gives the
            request up.
        :raises ValueError: the path does not begin with ``/``, or holds what no path does.
        """
        check_path(path)
        if self._closed:
            return fail(ConnectionFailedError("the client is closed"))
        answer: Deferred[Answer] = Deferred(self._give_up)
        deadline_s = self._clock.seconds() + self._timeout_s
        fetch = Fetch(self._before + path + self._behind, deadline_s, answer)
        self._under_way[answer] = fetch
        if deadline_s < self._timer_at_s:
            self._set_timer(deadline_s)
        if self._waiting or not self._start(fetch):
            self._waiting[fetch] = None
            if self._held_until_s > -inf:
                self._advance()
        return answer

    def close(self) -> Deferred[None]:
        """End all connections, and fail what is under way.

        :returns: fires when all of them are gone.
        """
        self._closed = True
        for fetch in list(self._under_way.values()):
            self._fail(fetch, ConnectionFailedError("the client is closed"))
        for attempt in list(self._attempts):
            attempt.cancel()
        while self._idle:
            self._idle.pop().close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._open and not self._attempts:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._when_gone.append(gone)
        return gone

    # --- what connections tell

    def answered(self, connection: ClientConnection, fetch: Fetch, answer: Answer) -> None:
        """Have the connection go on, and hand over the answer."""
        del self._under_way[fetch.answer]
        if self._waiting:
            connection.start(self._waiting.popitem(last=False)[0])
            fetch.answer.callback(answer)
            return
        self._rest(connection)
        # Who asks again at once gets a connection that has just been read empty.
        self._fresh = connection
        try:
            fetch.answer.callback(answer)
        finally:
            self._fresh = None

    def answered_last(self, connection: ClientConnection, fetch: Fetch, answer: Answer) -> None:  # noqa: ARG002  # it is ending
        """Hand over the answer."""
        del self._under_way[fetch.answer]
        fetch.answer.callback(answer)

    def failed(self, connection: ClientConnection, fetch: Fetch, error: FetchError) -> None:  # noqa: ARG002  # it is ending
        """Hand over what went wrong."""
        del self._under_way[fetch.answer]
        fetch.answer.errback(Failure(error))

    def ending(self, connection: ClientConnection) -> None:
        """Use a connection no more."""
        if connection in self._idle:
            self._idle.remove(connection)

    def gone(self, connection: ClientConnection, stale: Fetch | None) -> None:
        """Make room for another connection; what the server has never seen is asked again."""
        self._open.discard(connection)
        if stale is not None:
            self._retry(stale)
        self._advance()
        self._end_when_gone()

    # --- what attempts to connect tell

    def connected(self, attempt: _Attempt, connection: ClientConnection) -> None:
        """Have a new connection do what it was made for, or something else, or nothing."""
        self._attempts.discard(attempt)
        self._open.add(connection)
        self._held_until_s = -inf
        if attempt.fetch is not None:
            connection.start(attempt.fetch)
        elif self._waiting:
            connection.start(self._waiting.popitem(last=False)[0])
        else:
            self._rest(connection)
        self._advance()

    def not_connected(self, attempt: _Attempt, why: str) -> None:
        """Fail what waited for this connection, and hold the next attempt back for a while.

        With no connection left to wait for, that is everything that waits.
        """
        self._attempts.discard(attempt)
        now_s = self._clock.seconds()
        self._held_until_s = now_s + PAUSE_S
        failing = [] if attempt.fetch is None else [attempt.fetch]
        if not self._open and not self._attempts:
            failing += self._waiting
            self._waiting.clear()
        for fetch in failing:
            fetch.holder = None
            self._fail(fetch, ConnectionFailedError(why))
        self._advance()
        self._end_when_gone()

    # --- inside

    def _start(self, fetch: Fetch) -> bool:
        """Send a request, or begin to connect for it; False when it has to wait."""
        while self._idle:
            connection = self._idle.pop()
            if connection is self._fresh or connection.is_silent():
                self._fresh = None
                connection.start(fetch)
                return True
            connection.drop()
        if not self._may_connect():
            return False
        self._connect(fetch)
        return True

    def _may_connect(self) -> bool:
        if self._closed or len(self._open) + len(self._attempts) >= self._connections:
            return False
        if self._held_until_s == -inf:
            return True
        return not self._attempts and self._clock.seconds() >= self._held_until_s

    def _connect(self, fetch: Fetch) -> None:
        attempt = _Attempt(self, fetch)
        self._attempts.add(attempt)
        attempt.begin(self._endpoint, self._factory)

    def _retry(self, fetch: Fetch) -> None:
        """Ask once more, on a fresh connection."""
        if fetch.retried:
            self._fail(fetch, ConnectionFailedError("the server closed the connection"))
            return
        fetch.retried = True
        fetch.holder = None
        if self._may_connect():
            self._connect(fetch)
        else:
            self._waiting[fetch] = None
            self._waiting.move_to_end(fetch, last=False)

    def _advance(self) -> None:
        """Begin to connect for what waits, as far as there is room."""
        while self._waiting and self._may_connect():
            self._connect(self._waiting.popitem(last=False)[0])
        if self._waiting and self._now_s() < self._held_until_s < self._timer_at_s:
            self._set_timer(self._held_until_s)

    def _rest(self, connection: ClientConnection) -> None:
        connection.idle_since_s = self._now_s()
        self._idle.append(connection)
        if connection.idle_since_s + IDLE_S < self._timer_at_s:
            self._set_timer(connection.idle_since_s + IDLE_S)

    def _fail(self, fetch: Fetch, error: FetchError) -> None:
        if self._under_way.pop(fetch.answer, None) is not None:
            self._release(fetch)
            fetch.answer.errback(Failure(error))

    def _give_up(self, answer: Deferred[Answer]) -> None:
        """Learn that who waited for an answer has cancelled it."""
        fetch = self._under_way.pop(answer, None)
        if fetch is not None:
            self._release(fetch)

    def _release(self, fetch: Fetch) -> None:
        if fetch.holder is not None:
            fetch.holder.abandon()
        else:
            self._waiting.pop(fetch, None)

    def _now_s(self) -> float:
        now_s: float = self._clock.seconds()
        return now_s

    def _set_timer(self, at_s: float) -> None:
        """Look at everything that has a time of its own no later than this."""
        self._timer_at_s = at_s
        delay_s = max(0.0, at_s - self._now_s())
        if self._timer is None:
            self._timer = self._clock.callLater(delay_s, self._look)
        else:
            self._timer.reset(delay_s)

    def _look(self) -> None:
        """End what has had its time; then wait for what has its time next."""
        self._timer = None
        self._timer_at_s = inf
        now_s = self._now_s()
        overdue = []
        for fetch in self._under_way.values():
            if fetch.deadline_s > now_s:
                break
            overdue.append(fetch)
        for fetch in overdue:
            self._fail(fetch, DeadlineExceededError(f"no whole answer in {self._timeout_s:g} s"))
        while self._idle and self._idle[0].idle_since_s + IDLE_S <= now_s:
            self._idle.pop(0).close()
        self._advance()
        oldest = next(iter(self._under_way.values()), None)
        next_s = inf if oldest is None else oldest.deadline_s
        if self._idle:
            next_s = min(next_s, self._idle[0].idle_since_s + IDLE_S)
        if next_s < self._timer_at_s:
            self._set_timer(next_s)

    def _end_when_gone(self) -> None:
        if self._closed and not self._open and not self._attempts:
            waiters, self._when_gone = self._when_gone, []
            for waiter in waiters:
                waiter.callback(None)


class _Connections(Factory):
    """Makes the protocols of connections."""

    noisy = False

    def __init__(self, pool: PooledClient, heads: RememberedHeads, limits: Limits) -> None:
        self._pool = pool
        self._heads = heads
        self._limits = limits

    def buildProtocol(self, addr: IAddress | None) -> ClientConnection:  # noqa: ARG002  # Twisted's
        """Give the protocol of a new connection."""
        return ClientConnection(self._pool, self._heads, self._limits)


class _Attempt:
    """An attempt to connect.

    :ivar fetch: the request that it was begun for; None when nobody waits for that any more.
    """

    def __init__(self, pool: PooledClient, fetch: Fetch) -> None:
        self.fetch: Fetch | None = fetch
        fetch.holder = self
        self._pool = pool
        self._cancel: Callable[[], None] | None = None

    def begin(self, endpoint: IStreamClientEndpoint, factory: Factory) -> None:
        """Connect."""
        connecting: Deferred[Any] = endpoint.connect(factory)
        self._cancel = connecting.cancel
        connecting.addCallbacks(self._connected, self._failed)

    def cancel(self) -> None:
        """Stop."""
        if self._cancel is not None:
            self._cancel()

    def abandon(self) -> None:
        """Learn that nobody waits for the request any more; the connection may serve another."""
        self.fetch = None

    def _connected(self, connection: ClientConnection) -> None:
        self._pool.connected(self, connection)

    def _failed(self, failure: Failure) -> None:
        self._pool.not_connected(self, f"cannot connect: {failure.getErrorMessage()}")
