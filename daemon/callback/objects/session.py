"""One connection to PostgreSQL."""

from __future__ import annotations

import select
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from twisted.internet.defer import TimeoutError as TimedOutError
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from txpostgres import txpostgres

from daemon.threads import in_thread_of_its_own

Row = tuple[Any, ...]
Arguments = Sequence[Any] | Mapping[str, Any]

_SETUP = """
select set_config('statement_timeout', %s, false),
    set_config('default_transaction_isolation', 'read committed', false),
    case when current_setting('synchronous_commit') = 'off'
        then set_config('synchronous_commit', 'on', false) end
"""


@dataclass(frozen=True)
class Limits:
    """How many connections there are, and how long anything may take.

    :ivar connections: the most.
    :ivar connect_s: seconds to look a name up; again for a connection; and again to set it up.
    :ivar statement_s: seconds for a statement; the server knows of them.
    :ivar grace_s: seconds beyond, after which nobody waits for the server any more.
    :ivar close_s: seconds that statements under way have to finish when the pool closes; after that
        they are cancelled, and have as long again.
    """

    connections: int = 3
    connect_s: float = 5.0
    statement_s: float = 10.0
    grace_s: float = 1.0
    close_s: float = 0.4


class Session(txpostgres.Connection):  # type: ignore[misc]  # txpostgres has no types
    """A connection, used by one at a time.

    :param reactor: schedules, watches the socket, is told of threads.
    :param limits: how long anything may take.
    """

    def __init__(self, reactor: Any, limits: Limits) -> None:
        super().__init__(reactor)
        self._limits = limits
        self._is_cancelled = False

    async def start(self, parameters: Mapping[str, str], limit_s: float) -> None:
        """Connect.

        :param parameters: libpq's; a host's address must be among them, since libpq would look it
            up while everything else waits.
        :param limit_s: seconds for it.
        :raises TimedOutError: there was no answer.
        :raises psycopg2.Error: the server refuses, or there is none.
        """
        overdue = self.reactor.callLater(limit_s, self.close)
        try:
            await self.connect(**parameters)
        except ConnectionDone as error:
            raise TimedOutError(f"no answer for {limit_s:g} s") from error
        finally:
            _stop(overdue)
        timeout_ms = round(self._limits.statement_s * 1000)
        await self.run(_SETUP, (str(timeout_ms),), limit_s=self._limits.connect_s)

    async def run(
        self, statement: str, arguments: Arguments = (), *, limit_s: float | None = None
    ) -> list[Row]:
        """Execute a statement: a transaction of its own, unless one was begun.

        :param limit_s: seconds for it, if not the usual.
        :returns: its rows.
        :raises psycopg2.Error: it failed.
        :raises CancelledError: the server cancelled it, at its limit for instance.
        :raises ConnectionDone: the session was closed meanwhile, at the limit for instance.
        """
        limit_s = limit_s or self._limits.statement_s
        overdue = [
            self.reactor.callLater(limit_s + self._limits.grace_s / 2, self.cancel_aside),
            self.reactor.callLater(limit_s + self._limits.grace_s, self.close),
        ]
        cursor = self.cursor()
        # libpq closes a socket that fails. The reactor must not watch it at that moment.
        self.reactor.removeReader(self)
        try:
            await cursor.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []
        finally:
            for call in overdue:
                _stop(call)

    def cancel_aside(self) -> None:
        """Ask the server to cancel what is under way, without waiting for it: libpq would block.

        The request may come late, and hit the statement after; so there will be none.
        """
        self._is_cancelled = True
        asked = in_thread_of_its_own(self.reactor, self.pollable().cancel)
        # Whatever comes of it, the statement ends, or its connection does.
        asked.addErrback(_ignored)

    def is_usable(self) -> bool:
        """Whether a statement can be expected to work."""
        connection = self.pollable()
        if self._is_cancelled or connection is None or connection.closed:
            return False
        self.reactor.removeReader(self)
        try:
            _hear(connection)
            self.reactor.addReader(self)
        except _ENDS:
            return False
        return bool(connection.info.transaction_status == TRANSACTION_STATUS_IDLE)

    def close(self) -> None:
        """Close the connection; whoever waits for it gets an error."""
        if self.pollable() is not None:
            super().close()

    def doRead(self) -> Any:
        """Go on connecting, or take in what an idle connection is told: its end, for instance.

        :returns: an error when that was its end, None otherwise.
        """
        # While it connects, libpq may go on with another socket.
        self.reactor.removeWriter(self)
        try:
            super().doRead()
        except _ENDS as error:
            return error  # raised, it would be logged as unhandled
        return None

    def cursorFinished(self, cursor: Any) -> None:
        """Watch the connection again, unless it has ended."""
        with suppress(ValueError):
            super().cursorFinished(cursor)

    def doWrite(self) -> None:
        """Go on connecting."""
        self.reactor.removeReader(self)
        super().doWrite()


_ENDS: Final = (psycopg2.Error, ValueError)
"""What the end of a connection raises: the second comes from the reactor, for a socket that libpq
has closed while it does not call the connection closed yet."""


def _hear(connection: Any) -> None:
    """Take in what has arrived.

    :raises psycopg2.Error: the server has hung up.
    """
    arrived = select.poll()
    arrived.register(connection.fileno(), select.POLLIN)
    # There may be a last word, and the end behind it.
    for _ in range(3):
        if not arrived.poll(0):
            return
        connection.poll()
    raise psycopg2.InterfaceError("the server says more than it was asked for")


def _stop(call: Any) -> None:
    if call.active():
        call.cancel()


def _ignored(_: Failure) -> None:
    return None
