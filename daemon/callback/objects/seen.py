"""The rows that are stored, what storing them can raise, and what a store does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol


class Seen(NamedTuple):
    """An object that was online when it was last looked up.

    :ivar id: any int64.
    :ivar last_seen_us: when the last callback that named it was received: microseconds since the
        epoch, within the years 1 to 9999.
    """

    id: int
    last_seen_us: int


class StoreError(Exception):
    """The database cannot be used, and trying again will not mend it; the text is one line."""


class DatabaseUnavailableError(Exception):
    """The database did not do it: it is down, busy, full, refuses, …; try again later.

    Whether something was stored is unknown. To store it again does no harm. The text is one line
    and names no password.
    """


class ObjectStore(Protocol):
    """The database of objects. Everything is done in the reactor's thread, and nothing blocks.

    Whatever is asked for is answered within a bounded time. Whoever no longer wants an answer may
    cancel; the work itself goes on.
    """

    def prepare(self) -> list[str]:
        """Open what is a file, at the start of the daemon; blocking.

        A database that is unavailable is no reason not to start.

        :returns: what someone should look at, a line each: files that were damaged and put aside.
        :raises StoreError: as :meth:`open` does.
        """

    async def open(self) -> None:
        """Make the tables, or bring them up to date; does nothing if that has been done.

        :raises DatabaseUnavailableError: try again later.
        :raises StoreError: a later version of the daemon made the tables, or they are none of ours.
        """

    async def upsert(self, rows: Sequence[Seen]) -> None:
        """Store rows, durably; opens first if need be.

        :param rows: in any order. Of those with the same id, the latest counts; one that is older
            than what is stored changes nothing.
        :raises DatabaseUnavailableError: some, all or none of them are stored.
        :raises StoreError: as :meth:`open` does.
        """

    async def sweep(self, before_us: int, beyond_us: int) -> int | None:
        """Delete all rows that were last seen before a moment or after another, in small steps.

        :param before_us: rows that are older have run out.
        :param beyond_us: rows that are newer come from a clock that was wrong. They would stay
            until that time comes, and could not be stored anew. Not earlier than ``before_us``.
        :returns: how many; None when another daemon is doing it.
        :raises DatabaseUnavailableError: some may be deleted.
        :raises StoreError: as :meth:`open` does.
        """

    async def get(self, object_id: int, since_us: int) -> Seen | None:
        """Give the row of an object (int64), if it was seen at a moment or later.

        :raises DatabaseUnavailableError: nobody knows.
        :raises StoreError: as :meth:`open` does.
        """

    async def page(self, after: int | None, limit: int, since_us: int) -> list[Seen]:
        """Give rows in the order of their ids.

        :param after: only larger ids (int64); None: from the smallest.
        :param limit: at most so many rows.
        :param since_us: only rows that were last seen then or later.
        :raises DatabaseUnavailableError: nobody knows.
        :raises StoreError: as :meth:`open` does.
        """

    async def close(self) -> None:
        """End: what is under way is finished, or is cancelled within a second."""


def latest(rows: Iterable[Seen]) -> dict[int, int]:
    """Give the latest moment of each id, in ascending order of the ids.

    The order keeps two daemons that store the same ids from waiting for each other.
    """
    return dict(sorted(rows))
