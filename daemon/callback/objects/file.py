"""The objects in an SQLite file. Everything here blocks, and belongs in a thread.

A batch is one statement, its rows one JSON text: SQLite works through it without Python, so that
the reactor's thread runs meanwhile. With a call for each row, the two threads would hand the
interpreter lock to each other thousands of times.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from daemon.callback.objects import schema
from daemon.callback.objects.reader import GET, ObjectsReader, Selects
from daemon.callback.objects.seen import DatabaseUnavailableError, Seen, StoreError, latest
from daemon.storage.aside import set_aside

Result = TypeVar("Result")

APPLICATION_ID: Final = 0x74734F42
"""Marks the file as ours. It is in the file's head from the start, so that a file that was damaged
later can still be told from one that somebody else needs."""

BUSY_MS: Final = 1000
"""How long another process may keep the file locked before we give up."""

_ID_AT: Final = 68
_ID_BYTES: Final = 4
_BESIDE: Final = ("-wal", "-shm", "-journal")

_UPSERT: Final = """
insert into objects (id, last_seen)
select cast(key as integer), value from json_each(?) where true
on conflict (id) do update set last_seen = excluded.last_seen
where objects.last_seen < excluded.last_seen
"""
# Each end of the index by itself: sorting what both give would read all of it for every step.
_EXPIRE: Final = """
delete from objects where id in (
    select id from (
        select id from objects where last_seen < :before order by last_seen limit :limit
    )
    union all
    select id from (
        select id from objects where last_seen > :beyond order by last_seen desc limit :limit
    )
    limit :limit
)
"""


class _DamagedError(Exception):
    """The file holds nothing that can be used."""


class ObjectsFile(Selects):
    """Objects in a file, or in memory. One thread at a time may use it, :meth:`interrupt` aside.

    :param is_ours: the file lies where nobody else has business: whatever else is found there may
        be put aside.
    :ivar path: where it lies; None: memory. To be set before it is opened.
    :ivar troubles: what someone should look at, a line each: files that were put aside.
    :ivar reader: reads the file in another thread, while this one may wait for the disk.
    """

    def __init__(self, path: Path | None = None, *, is_ours: bool = True) -> None:
        self.path = path
        self._is_ours = is_ours
        self._connection: sqlite3.Connection | None = None
        self.troubles: list[str] = []
        self.reader = ObjectsReader(self._usable)

    @property
    def is_shared(self) -> bool:
        """Whether the reader can read it now, as it seems from another thread."""
        return self._usable() is not None

    def open(self) -> None:
        """Open the file, or make it, with mode 0600; does nothing when it is open.

        A damaged file is put aside, and a new one made.

        :raises DatabaseUnavailableError: the disk or the system refuses.
        :raises StoreError: a later version wrote the file, or it is none of ours.
        """
        self._run(lambda _: None)

    def upsert(self, rows: Sequence[Seen]) -> None:
        """Store rows, durably."""
        text = msgspec.json.encode(latest(rows)).decode()
        self._run(lambda connection: connection.execute(_UPSERT, (text,)))

    def expire(self, before_us: int, beyond_us: int, limit: int) -> int:
        """Delete up to so many rows that are older or newer than that; give how many."""
        arguments = {"before": before_us, "beyond": beyond_us, "limit": limit}
        return self._run(lambda connection: connection.execute(_EXPIRE, arguments).rowcount)

    def close(self) -> None:
        """Close the file."""
        connection, self._connection = self._connection, None
        # The last to close removes the log: that may write.
        self.reader.close()
        if connection is not None:
            # All is stored. A disk that fails now leaves the log for the next start.
            with suppress(sqlite3.Error):
                connection.close()

    def interrupt(self) -> None:
        """Let the statement under way fail; from another thread."""
        self.reader.interrupt()
        connection = self._connection
        if connection is not None:
            with suppress(sqlite3.ProgrammingError):  # closed just now
                connection.interrupt()

    def _usable(self) -> Path | None:
        return self.path if self._connection is not None else None

    def _first(self, statement: str, arguments: tuple[int, ...]) -> Any:
        return self._run(lambda connection: connection.execute(statement, arguments).fetchone())

    def _run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do something with an open file, and say what went wrong in our words."""
        try:
            if self._connection is None:
                self._connection = self._opened()
            return work(self._connection)
        except OSError as error:
            raise DatabaseUnavailableError(f"SQLite: {error.strerror}") from error
        except _DamagedError as error:
            raise DatabaseUnavailableError(f"SQLite: the file {error}") from error
        except sqlite3.Error as error:
            if _is_damage(error):
                # Opening it again finds out, and puts it aside.
                self.close()
            raise DatabaseUnavailableError(f"SQLite: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        path = self.path
        if path is None:
            connection = _connect(":memory:")
            _migrate(connection, 0)
            return connection
        self.reader.close()
        try:
            return self._take_up(path)
        except _DamagedError as error:
            if not (self._is_ours or _is_marked(path)):
                raise StoreError(f"{path} {error}; it was left as it is") from error
            aside = set_aside(path)
            for suffix in _BESIDE:
                with suppress(FileNotFoundError):
                    Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
            self.troubles.append(f"{path} {error}; it is now {aside.name}")
        return self._take_up(path)

    def _take_up(self, path: Path) -> sqlite3.Connection:
        """Open a file that may be new, empty, ours, or anything.

        :raises _DamagedError: it cannot be used.
        """
        if path.exists() and not path.is_file():
            raise _DamagedError("is no file")
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600))
        connection = _connect(path)
        try:
            _prepare(connection, path)
        except sqlite3.Error as error:
            connection.close()
            if _is_damage(error):
                raise _DamagedError(f"is damaged ({error})") from error
            raise
        except BaseException:
            connection.close()
            raise
        return connection


def _connect(path: Path | str) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
    )


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the tables up to date; a commit is on disk when it returns."""
    version = _number(connection, "pragma user_version")
    mark = _number(connection, "pragma application_id")
    if mark == 0 and _number(connection, "select count(*) from sqlite_master") == 0:
        connection.execute(f"pragma application_id = {APPLICATION_ID}")
    elif mark != APPLICATION_ID:
        raise _DamagedError("belongs to another program")
    if version > schema.VERSION:
        raise StoreError(f"{path} was written by a later version of tsdaemon")
    (verdict,) = connection.execute("pragma quick_check(1)").fetchone()
    if verdict != "ok":
        raise _DamagedError("is damaged")
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    _migrate(connection, version)
    connection.execute(GET, (0, 0))


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    for number, statements in schema.steps("sqlite", version):
        connection.executescript(
            f"begin immediate; {statements}; pragma user_version = {number}; commit"
        )


def _number(connection: sqlite3.Connection, statement: str) -> int:
    return int(connection.execute(statement).fetchone()[0])


def _is_damage(error: sqlite3.Error) -> bool:
    """Whether the error speaks of what is in the file; the others speak of disk and system.

    Our statements are right, so that a plain error means tables that are not ours.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


def _is_marked(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(_ID_AT)
        return file.read(_ID_BYTES) == APPLICATION_ID.to_bytes(_ID_BYTES, "big")
