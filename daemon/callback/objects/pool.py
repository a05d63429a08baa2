"""Sessions with a PostgreSQL server: few, made on demand, and none that is dead.

txpostgres does the talking. Its own pool hands out dead connections, and cannot start while the
database is down.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import psycopg2
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.defer import TimeoutError as TimedOutError
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from txpostgres import txpostgres

from daemon.callback.objects.addresses import located
from daemon.callback.objects.seen import DatabaseUnavailableError
from daemon.callback.objects.session import Arguments, Limits, Row, Session
from daemon.threads import in_thread_of_its_own

DEFAULTS: Final = {
    "application_name": "tsdaemon",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
"""Parameters that a DSN may override. A peer that is gone without a word is found out."""

_FAULTS: Final = (
    psycopg2.Error,
    txpostgres.UnexpectedPollResult,
    CancelledError,  # what txpostgres makes of a statement that the server cancelled
    ConnectionDone,
    ConnectionLost,
    TimedOutError,
    OSError,
    RuntimeError,  # the system gives no thread
)
_READ_ONLY: Final = "25006"
_REASON_LENGTH: Final = 300

Result = TypeVar("Result")


class Pool:
    """Lends sessions.

    :param reactor: schedules, watches sockets, is told of threads.
    :param parameters: libpq's, a password among them.
    :param limits: how many sessions, and how long anything may take.
    """

    def __init__(
        self, reactor: Any, parameters: Mapping[str, str], limits: Limits | None = None
    ) -> None:
        self._reactor = reactor
        self._parameters = DEFAULTS | dict(parameters)
        self._limits = limits or Limits()
        self._places = DeferredSemaphore(self._limits.connections)
        self._idle: list[Session] = []
        self._busy: set[Session] = set()
        self._tasks: set[Deferred[Any]] = set()
        self._waiting: set[Deferred[Any]] = set()
        self._all_ended: Deferred[None] | None = None
        self._is_closed = False

    async def run(self, statement: str, arguments: Arguments = ()) -> list[Row]:
        """Execute one statement, in a transaction of its own.

        :returns: its rows.
        :raises DatabaseUnavailableError: it did not work, or nobody knows.
        """
        return await self.use(partial(_run, statement, arguments))

    async def use(self, work: Callable[[Session], Awaitable[Result]]) -> Result:
        """Do something with a session.

        To cancel this only means not to wait for it: the work goes on. A transaction that was begun
        and not ended is rolled back.

        :param work: lets the session's errors through.
        :raises DatabaseUnavailableError: it did not work, or nobody knows.
        """
        if self._is_closed:
            raise DatabaseUnavailableError("PostgreSQL: closed")
        result: Deferred[Result] = Deferred()
        # txpostgres would pass a cancellation on to libpq, which blocks.
        task = Deferred.fromCoroutine(self._in_place(work))
        self._tasks.add(task)
        task.addBoth(self._ended, task, result)
        return await result

    async def close(self) -> None:
        """Let what is under way finish, or cancel it, and close all sessions."""
        if self._is_closed:
            return
        self._is_closed = True
        for session in self._idle:
            session.close()
        self._idle.clear()
        for waiting in set(self._waiting):
            waiting.cancel()
        await self._until_all_ended()
        for session in self._busy:
            session.cancel_aside()
        await self._until_all_ended()
        for session in set(self._busy):
            session.close()

    def _ended(self, outcome: Any, task: Deferred[Any], result: Deferred[Any]) -> None:
        self._tasks.discard(task)
        if self._all_ended is not None and not self._tasks:
            self._all_ended.callback(None)
        if result.called:
            return  # nobody waits any more
        if isinstance(outcome, Failure):
            result.errback(outcome)
        else:
            result.callback(outcome)

    async def _until_all_ended(self) -> None:
        if self._tasks:
            self._all_ended = Deferred()
            self._all_ended.addTimeout(self._limits.close_s, self._reactor)
            with suppress(TimedOutError):
                await self._all_ended
            self._all_ended = None

    async def _in_place(self, work: Callable[[Session], Awaitable[Result]]) -> Result:
        """Wait for one of the places, and turn faults into one error."""
        try:
            await self._within(self._places.acquire(), self._limits.statement_s)
        except TimedOutError as error:
            raise DatabaseUnavailableError("PostgreSQL: all connections are busy") from error
        except CancelledError as error:
            raise DatabaseUnavailableError("PostgreSQL: closed") from error
        try:
            return await self._with_session(work)
        except _FAULTS as error:
            raise DatabaseUnavailableError(f"PostgreSQL: {self._reason(error)}") from error
        finally:
            self._places.release()

    async def _with_session(self, work: Callable[[Session], Awaitable[Result]]) -> Result:
        session = self._usable() or await self._connected()
        try:
            return await work(session)
        except psycopg2.Error as error:
            # The server has become another's copy: a new connection may lead to that.
            if error.pgcode == _READ_ONLY:
                session.close()
            raise
        finally:
            self._busy.discard(session)
            if not self._is_closed and session.is_usable():
                self._idle.append(session)
            else:
                session.close()

    def _usable(self) -> Session | None:
        while self._idle:
            session = self._idle.pop()
            if session.is_usable():
                self._busy.add(session)
                return session
            session.close()
        return None

    async def _connected(self) -> Session:
        """Try the server's addresses, one after another."""
        limit_s = self._limits.connect_s
        looked_up = in_thread_of_its_own(self._reactor, located, self._parameters)
        places = await self._within(looked_up, limit_s)
        trouble: BaseException | None = None
        for place in places:
            session = Session(self._reactor, self._limits)
            self._busy.add(session)
            try:
                await session.start(place, limit_s / len(places))
            except BaseException as error:
                self._busy.discard(session)
                session.close()
                if self._is_closed or not isinstance(error, _FAULTS):
                    raise
                trouble = error
            else:
                return session
        raise trouble or OSError(0, "no address")

    async def _within(self, waiting: Deferred[Result], limit_s: float) -> Result:
        """Wait for something that may be cancelled."""
        self._waiting.add(waiting)
        waiting.addTimeout(limit_s, self._reactor)
        try:
            return await waiting
        finally:
            self._waiting.discard(waiting)

    def _reason(self, error: BaseException) -> str:
        """Say in one line what went wrong, without the password."""
        if self._is_closed:
            return "closed"
        text = _words(error)
        for name in ("password", "sslpassword"):
            secret = self._parameters.get(name)
            if secret:
                text = text.replace(secret, "***")
        return " ".join(text.split())[:_REASON_LENGTH]


async def _run(statement: str, arguments: Arguments, session: Session) -> list[Row]:
    return await session.run(statement, arguments)


def _words(error: BaseException) -> str:
    match error:
        case psycopg2.Error(diag=diag, pgcode=str()):
            return f"{diag.message_primary} (SQLSTATE {error.pgcode})"
        case CancelledError():
            return "the statement was cancelled, or took too long"
        case ConnectionDone() | ConnectionLost():
            return "the connection was lost, or the statement took too long"
        case OSError(strerror=str()):
            return f"the server cannot be found: {error.strerror}"
        case _:
            return str(error)
