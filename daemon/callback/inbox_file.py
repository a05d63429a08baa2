"""The inbox as a file: SQLite, blocking, used by one thread at a time."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from daemon.callback.inbox_tables import (
    APPLICATION,
    FORMAT,
    CallbackPage,
    RejectedPage,
    Totals,
    Work,
    carry_out,
    make_tables,
    read_callbacks,
    read_rejected,
    totals,
)
from daemon.storage.aside import set_aside
from daemon.storage.slots import NewerFormatError

_WAL_KEPT_BYTES: Final = 16 * 1024 * 1024
_MAGIC: Final = b"SQLite format 3\0"
_SIDE_FILES: Final = ("-wal", "-shm", "-journal")
_DAMAGE: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class RefusedError(Exception):
    """The disk refuses; nothing has changed. The text says why in one line."""


class DamagedError(Exception):
    """The file is of no use any more; a new and empty one is to take its place.

    The text says in one line what was wrong and where the damaged one is now.
    """


class Opened(NamedTuple):
    """What was found in the file.

    :ivar totals: what it holds.
    :ivar troubles: what someone should look at, a line each.
    :ivar refused: why there is no file yet; None when there is.
    """

    totals: Totals
    troubles: Sequence[str] = ()
    refused: str | None = None


class _UnusableError(Exception):
    """The file is no inbox; the text says what is wrong with it."""


class InboxFile:
    """Callbacks and rejected bodies in an SQLite database of mode 0600.

    The write-ahead log is synced in each commit (``synchronous=FULL``). No other program can open
    the database meanwhile (``locking_mode=EXCLUSIVE``): none can lock the inbox out.

    :param path: where it lies: in a folder that nobody else writes to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._troubles: list[str] = []

    def open(self) -> Opened:
        """Open the file, or make it.

        One that is damaged or foreign is set aside. When there is no room for a new one, the next
        :meth:`write` tries again.

        :raises NewerFormatError: it is from a later version; it was left as it is.
        :raises OSError: there is a file and it cannot be used, now or by this user.
        """
        troubles = self._troubles
        try:
            try:
                _, found = self._connect()
            except _UnusableError as error:
                troubles.append(self._set_aside(str(error)))
                _, found = self._connect()
        except RefusedError as error:
            return Opened(Totals(), troubles, str(error))
        return Opened(found, troubles)

    def write(self, work: Work) -> int:
        """Do all of it, durably, or nothing.

        :returns: how many callbacks there are now.
        :raises RefusedError: the disk takes nothing.
        :raises DamagedError: likewise, since the file is damaged or gone; it was replaced.
        """
        with self._use() as connection:
            try:
                return carry_out(connection, work)
            except BaseException:
                self._roll_back(connection)
                raise

    def load(self, after: int, limit: int, mentions: int) -> CallbackPage:
        """Read callbacks: see :func:`read_callbacks`.

        :raises RefusedError: the file cannot be read now.
        :raises DamagedError: it is damaged and was replaced.
        """
        with self._use() as connection:
            return read_callbacks(connection, after, limit, mentions)

    def page_of_rejected(self, before: int | None, limit: int, size_bytes: int) -> RejectedPage:
        """Read rejected bodies: see :func:`read_rejected`.

        :raises RefusedError: the file cannot be read now.
        :raises DamagedError: it is damaged and was replaced.
        """
        with self._use() as connection:
            return read_rejected(connection, before, limit, size_bytes)

    def close(self) -> None:
        """Close the file; what is committed moves from its log to where it belongs."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    # --- the file as a whole

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        """Give the connection, made anew if need be; turn SQLite's errors into ours."""
        try:
            self._require_in_place()
            yield self._connection or self._connect()[0]
        except _UnusableError as error:
            raise self._replaced(str(error)) from error
        except sqlite3.Error as error:
            if _is_damage(error):
                raise self._replaced(f"is damaged: {error}") from error
            raise RefusedError(str(error)) from error
        except (OSError, NewerFormatError) as error:
            raise RefusedError(str(error)) from error

    def _require_in_place(self) -> None:
        """See to it that what is written can be found by the next start."""
        if self._connection is None:
            return
        try:
            status = self.path.stat()
        except FileNotFoundError:
            status = None
        if status is None or (status.st_dev, status.st_ino) != self._identity:
            raise _UnusableError("was removed or replaced while in use")
        if not self._beside("-wal").exists():
            self.close()  # brings home what the lost log holds

    def _connect(self) -> tuple[sqlite3.Connection, Totals]:
        """Open the database, and make its tables if it is new.

        :raises _UnusableError: it is no inbox.
        :raises RefusedError: it is new, and there is no room.
        :raises NewerFormatError: it is from a later version.
        :raises OSError: it cannot be used.
        """
        is_new = self._prepare()
        try:
            connection = sqlite3.connect(
                self.path, timeout=0, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise _unopened(self.path, error) from error
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cell_size_check = ON")
            if is_new or self._is_blank(connection):
                is_new = True
                # The tables are on disk before there is a write-ahead log: one beside an empty
                # file would be thrown away.
                make_tables(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
            found = totals(connection)
            self._identity = _identity(self.path)
        except BaseException as error:
            with suppress(sqlite3.Error):
                connection.close()
            if not isinstance(error, sqlite3.Error):
                raise
            if is_new:
                raise RefusedError(str(error)) from error
            # What is wrong with a statement of ours is that the tables are not ours.
            if _is_damage(error) or _code(error) == sqlite3.SQLITE_ERROR:
                raise _UnusableError(f"is damaged: {error}") from error
            raise _unopened(self.path, error) from error
        self._connection = connection
        return connection, found

    def _prepare(self) -> bool:
        """Make the file if there is none; whether it is empty."""
        if self.path.exists() and not self.path.is_file():
            raise _UnusableError("is no file")
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            # Of a file that is there, the numbers must be known before any is given out.
            if error.errno in _NO_ROOM and not os.path.lexists(self.path):
                raise RefusedError(error.strerror or str(error)) from error
            raise
        try:
            os.fchmod(descriptor, stat.S_IRUSR | stat.S_IWUSR)
            head = os.pread(descriptor, len(_MAGIC), 0)
        finally:
            os.close(descriptor)
        is_new = not head
        # SQLite would take a very short file for an empty one. One beside a journal is its affair.
        if head not in (b"", _MAGIC) and not self._beside("-journal").exists():
            raise _UnusableError("is no database")
        # A log whose file is gone may hold what that file did not: SQLite would delete it.
        if is_new and (log := self._beside("-wal")).exists() and log.stat().st_size:
            name = set_aside(log).name
            self._troubles.append(f"{log} had no file that it belongs to; it is now called {name}")
        return is_new

    def _is_blank(self, connection: sqlite3.Connection) -> bool:
        """Look whose file it is; whether it is nobody's and empty."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if not (application or version or tables):
            return True
        if application != APPLICATION:
            raise _UnusableError("belongs to another program")
        if version > FORMAT:
            raise NewerFormatError(
                f"{self.path} is from a later version of this program:"
                f" its format is {version}, not {FORMAT}"
            )
        return False

    def _replaced(self, why: str) -> DamagedError:
        """Set the file aside; the next use makes a new one."""
        self.close()
        try:
            return DamagedError(self._set_aside(why))
        except OSError as error:
            return DamagedError(f"{self.path} {why}; it stays where it is: {error}")

    def _set_aside(self, why: str) -> str:
        """Set the file aside with those beside it, so that they still belong together.

        :returns: what was done, in one line.
        """
        if not os.path.lexists(self.path):
            return f"{self.path} {why}"
        aside = set_aside(self.path)
        for suffix in _SIDE_FILES:
            with suppress(FileNotFoundError):
                self._beside(suffix).rename(aside.with_name(aside.name + suffix))
        return f"{self.path} {why}; it is now called {aside.name}"

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _unopened(path: Path, error: sqlite3.Error) -> OSError:
    return OSError(errno.EIO, str(error), str(path))


def _is_damage(error: sqlite3.Error) -> bool:
    return _code(error) in _DAMAGE


def _code(error: sqlite3.Error) -> int:
    """Give SQLite's primary result code; 0 for errors of the module's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
