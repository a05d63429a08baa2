"""What can be read of the objects in an SQLite file, and reading beside whoever writes it.

All of it blocks, and belongs in a thread. A page is one JSON text, made without Python, so that the
reactor's thread runs meanwhile.
"""

from __future__ import annotations

import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from daemon.callback.objects.seen import Seen

GET: Final = "select id, last_seen from objects where id = ? and last_seen >= ?"
# Whatever type a damaged file has there, a cast makes a number of it.
_AS_ONE_ROW: Final = """
select json_group_array(json_array(id, cast(last_seen as integer))) from ({rows})
"""
_FIRST_PAGE: Final = _AS_ONE_ROW.format(
    rows="select id, last_seen from objects where last_seen >= ? order by id limit ?"
)
_PAGE: Final = _AS_ONE_ROW.format(
    rows="select id, last_seen from objects where id > ? and last_seen >= ? order by id limit ?"
)
_ROWS: Final = msgspec.json.Decoder(list[Seen])


class CannotReadError(Exception):
    """Whoever writes the file has to see to it first."""


class Selects(ABC):
    """What can be read of the objects."""

    def get(self, object_id: int, since_us: int) -> Seen | None:
        """Give an object's row, if it was seen at that moment or later."""
        row = self._first(GET, (object_id, since_us))
        return None if row is None else Seen(*row)

    def page(self, after: int | None, limit: int, since_us: int) -> list[Seen]:
        """Give rows in the order of their ids."""
        if after is None:
            (text,) = self._first(_FIRST_PAGE, (since_us, limit))
        else:
            (text,) = self._first(_PAGE, (after, since_us, limit))
        # SQLite promises no order for what an aggregate gathers, though it keeps it.
        return sorted(_ROWS.decode(text))

    @abstractmethod
    def _first(self, statement: str, arguments: tuple[int, ...]) -> Any:
        """Give the first row of what a statement selects, or None."""


class ObjectsReader(Selects):
    """Reads a file that is in WAL mode, also while a commit waits for the disk.

    Whoever writes the file closes the reader first when it opens or closes the file itself: a
    reader that went on with a file put aside would show old rows for ever, and where the process
    opens and closes the file beside SQLite, the system drops all locks of the process on it.

    :param usable: gives the file that is open, and in order; None: none is. Called in the thread.
    """

    def __init__(self, usable: Callable[[], Path | None]) -> None:
        self._usable = usable
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Let the file go, when what is being read has been read; from any thread."""
        with self._lock:
            self._close()

    def interrupt(self) -> None:
        """Let the statement under way fail; from another thread."""
        connection = self._connection
        if connection is not None:
            with suppress(sqlite3.ProgrammingError):  # closed just now
                connection.interrupt()

    def _first(self, statement: str, arguments: tuple[int, ...]) -> Any:
        """Give the first row; see the interface.

        :raises CannotReadError: the file is not in order, or not open.
        """
        with self._lock:
            path = self._usable()
            if path is None:
                raise CannotReadError("the file is not open")
            try:
                if self._connection is None:
                    self._connection = _connect(path)
                return self._connection.execute(statement, arguments).fetchone()
            except sqlite3.Error as error:
                self._close()
                raise CannotReadError(str(error)) from error

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
    )
