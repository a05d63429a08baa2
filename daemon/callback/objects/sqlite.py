"""The objects in SQLite, beside the reactor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TimedOutError
from twisted.logger import Logger
from twisted.python.failure import Failure

from daemon.callback.objects.database import SQLiteDatabase
from daemon.callback.objects.file import ObjectsFile
from daemon.callback.objects.reader import CannotReadError
from daemon.callback.objects.seen import DatabaseUnavailableError, Seen
from daemon.health import Health
from daemon.threads import OneThread

FILE_NAME: Final = "objects.sqlite"

SWEEP_ROWS: Final = 5000
"""Rows that one statement of a sweep deletes: whoever else waits for the thread waits for one."""

LIMIT_S: Final = 30.0
"""Seconds after which nobody waits for the disk any more."""

CLOSE_S: Final = 0.5
"""Seconds that what is under way has to finish, when the store closes; after that it is
interrupted, and has as long again."""

Result = TypeVar("Result")


class SQLiteObjects:
    """A store in a file or in memory: see :class:`daemon.callback.objects.seen.ObjectStore`.

    :param database: where it lies.
    :param reactor: schedules, and gets what the thread gives.
    :param folder: gives the state folder, for a database without a path.
    :param health: told when the disk does not answer; None: nobody is.
    """

    log = Logger()

    def __init__(
        self,
        database: SQLiteDatabase,
        *,
        reactor: Any,
        folder: Callable[[], Path],
        health: Health | None = None,
    ) -> None:
        self._reactor = reactor
        self._folder = folder
        self._database = database
        self._file = ObjectsFile(is_ours=database.path is None)
        self._thread = OneThread(reactor, "objects", health)
        self._reading = OneThread(reactor, "objects-reading", health)
        self._under_way: set[Deferred[Any]] = set()
        self._told = 0
        self._is_started = False
        self._is_closed = False

    @property
    def troubles(self) -> list[str]:
        """What someone should look at, a line each: files that were damaged and put aside."""
        return self._file.troubles

    def prepare(self) -> list[str]:
        """Open the file; see the interface."""
        self._start()
        with suppress(DatabaseUnavailableError):
            self._file.open()
        self._told = len(self.troubles)
        return list(self.troubles)

    async def open(self) -> None:
        """Open the file; see the interface."""
        await self._in_thread(self._file.open)

    async def upsert(self, rows: Sequence[Seen]) -> None:
        """Store rows; see the interface."""
        if rows:
            await self._in_thread(self._file.upsert, rows)

    async def sweep(self, before_us: int, beyond_us: int) -> int:
        """Delete what is older or newer; see the interface."""
        deleted = 0
        while True:
            count = await self._in_thread(self._file.expire, before_us, beyond_us, SWEEP_ROWS)
            deleted += count
            if count < SWEEP_ROWS:
                return deleted

    async def get(self, object_id: int, since_us: int) -> Seen | None:
        """Give an object's row; see the interface."""
        seen: Seen | None = await self._read("get", object_id, since_us)
        return seen

    async def page(self, after: int | None, limit: int, since_us: int) -> list[Seen]:
        """Give rows by id; see the interface."""
        rows: list[Seen] = await self._read("page", after, limit, since_us)
        return rows

    async def close(self) -> None:
        """End the thread, or leave it behind when it hangs; see the interface."""
        if self._is_closed:
            return
        self._is_closed = True
        if not self._is_started:
            return
        closed: Deferred[Any] = self._reading(self._file.reader.close)
        closed.addCallback(lambda _: self._thread(self._file.close))
        closed.addTimeout(2 * CLOSE_S, self._reactor)
        late = self._reactor.callLater(CLOSE_S, self._file.interrupt)
        closed.addCallbacks(self._ended, self._hangs)
        await closed
        if late.active():
            late.cancel()

    def _ended(self, _: None) -> None:
        self._reading.stop()
        self._thread.stop()

    def _hangs(self, _: Failure) -> None:
        self.log.error("the disk does not answer: the threads of the objects are left behind")
        for waiting in set(self._under_way):
            waiting.cancel()

    async def _read(self, name: str, *args: Any) -> Any:
        """Read beside the writer; or by it, where only it can say what is wrong."""
        if self._file.is_shared:
            with suppress(CannotReadError):
                return await self._run(self._reading, getattr(self._file.reader, name), *args)
        return await self._in_thread(getattr(self._file, name), *args)

    async def _in_thread(self, function: Callable[..., Result], *args: Any) -> Result:
        return await self._run(self._thread, function, *args)

    async def _run(self, thread: OneThread, function: Callable[..., Result], *args: Any) -> Result:
        if self._is_closed:
            raise DatabaseUnavailableError("SQLite: closed")
        try:
            self._start()
        except OSError as error:
            raise DatabaseUnavailableError(f"SQLite: {error.strerror}") from error
        done = thread(function, *args)
        done.addTimeout(LIMIT_S, self._reactor)
        self._under_way.add(done)
        try:
            return await done
        except TimedOutError as error:
            raise DatabaseUnavailableError(f"SQLite: no answer for {LIMIT_S:g} s") from error
        except CancelledError as error:
            if not self._is_closed:
                raise  # who asked no longer wants to know
            raise DatabaseUnavailableError("SQLite: closed") from error
        finally:
            self._under_way.discard(done)
            self._tell()

    def _tell(self) -> None:
        """Log the troubles that came after the start."""
        for trouble in self.troubles[self._told :]:
            self.log.error("{trouble}", trouble=trouble)
        self._told = len(self.troubles)

    def _start(self) -> None:
        if self._is_started:
            return
        if not self._database.in_memory:
            self._file.path = self._database.path or self._folder() / FILE_NAME
        for thread in (self._thread, self._reading):
            thread.start()
        self._is_started = True
