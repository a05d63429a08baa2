"""The tables of the inbox, and what is done with their rows. Blocking; knows of no file."""

from __future__ import annotations

import json
import sqlite3
import sys
from array import array
from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

FORMAT: Final = 1
"""The version of the tables: ``PRAGMA user_version``."""

APPLICATION: Final = 0x7473_4442
"""``PRAGMA application_id``: tells our files from those of others."""

REJECTED_KEPT: Final = 10_000
"""How many rejected bodies are kept: the newest."""

FIRST_US: Final = -62_135_596_800_000_000
LAST_US: Final = 253_402_300_799_999_999
"""The years 1 to 9999, in microseconds since the epoch."""

_ID_BYTES: Final = 8

_MAKE_TABLES: Final = (
    """CREATE TABLE callbacks (
        number INTEGER PRIMARY KEY, received_us INTEGER NOT NULL, ids BLOB NOT NULL)""",
    """CREATE TABLE rejected (
        number INTEGER PRIMARY KEY, received_us INTEGER NOT NULL, reason TEXT NOT NULL,
        body BLOB NOT NULL)""",
    # Counting a million rows reads them all.
    "CREATE TABLE totals (one INTEGER PRIMARY KEY CHECK (one = 1), callbacks INTEGER NOT NULL)",
    "INSERT INTO totals VALUES (1, 0)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
)


class Callback(NamedTuple):
    """A callback that was accepted.

    :ivar number: 1, 2, 3, … in order of acceptance; not used again while it may be on disk.
    :ivar received_us: when it was received, in microseconds since the epoch.
    :ivar ids: its distinct object ids, int64, in the order in which each came first.
    """

    number: int
    received_us: int
    ids: Sequence[int]


class Rejected(NamedTuple):
    """A body that was no callback.

    :ivar number: 1, 2, 3, … in order of arrival.
    :ivar received_us: when it was received, in microseconds since the epoch.
    :ivar reason: what was wrong with it, in one line.
    :ivar body: its bytes, the first 64 KiB.
    """

    number: int
    received_us: int
    reason: str
    body: bytes


class Damaged(NamedTuple):
    """A row that was a callback, and cannot be read as one.

    :ivar number: of the callback.
    :ivar received_us: when it was received, in microseconds since the epoch; 0: nobody knows.
    :ivar content: what is where its ids were.
    """

    number: int
    received_us: int
    content: bytes


class CallbackPage(NamedTuple):
    """Some rows of the table of callbacks, in the order of their numbers.

    :ivar callbacks: those that can be read.
    :ivar damaged: the others.
    :ivar through: the number of the last row of the page; None: there are none behind it.
    """

    callbacks: list[Callback]
    damaged: list[Damaged]
    through: int | None


class RejectedPage(NamedTuple):
    """Some rejected bodies, the newest first.

    :ivar rows: they.
    :ivar has_more: whether there are older ones.
    """

    rows: list[Rejected]
    has_more: bool


class Work(NamedTuple):
    """What one transaction does.

    :ivar callbacks: to be there afterwards.
    :ivar rejected: likewise; all newer than those that are there, in ascending order.
    :ivar settled: numbers of callbacks to be gone.
    """

    callbacks: Sequence[Callback]
    rejected: Sequence[Rejected]
    settled: Sequence[int]


_COUNT: Final = "SELECT count(*) FROM callbacks"


class Totals(NamedTuple):
    """What the tables hold.

    :ivar callbacks: how many.
    :ivar last_number: the highest number of a callback, 0 when there is none.
    :ivar last_rejected: likewise of the rejected.
    """

    callbacks: int = 0
    last_number: int = 0
    last_rejected: int = 0


def make_tables(connection: sqlite3.Connection) -> None:
    """Make the tables in an empty database, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    for statement in _MAKE_TABLES:
        connection.execute(statement)
    connection.execute("COMMIT")


def totals(connection: sqlite3.Connection) -> Totals:
    """Look what there is; reads few rows, however many there are."""
    row: Any = connection.execute(
        f"SELECT coalesce((SELECT callbacks FROM totals), ({_COUNT})),"  # noqa: S608  # a constant
        " coalesce((SELECT max(number) FROM callbacks), 0),"
        " coalesce((SELECT max(number) FROM rejected), 0)"
    ).fetchone()
    return Totals(*row)


def carry_out(connection: sqlite3.Connection, work: Work) -> int:
    """Do all of it in a transaction; when this raises, it may still be open.

    :returns: how many callbacks there are then.
    """
    connection.execute("BEGIN IMMEDIATE")
    change = 0
    if work.callbacks:
        # One that is there already was left by a commit of unknown outcome, and is the same.
        change += connection.executemany(
            "INSERT OR IGNORE INTO callbacks VALUES (?, ?, ?)",
            [(number, received_us, _packed(ids)) for number, received_us, ids in work.callbacks],
        ).rowcount
    if work.rejected:
        connection.executemany("INSERT OR IGNORE INTO rejected VALUES (?, ?, ?, ?)", work.rejected)
        connection.execute(
            "DELETE FROM rejected WHERE number <= ?", (work.rejected[-1].number - REJECTED_KEPT,)
        )
    if work.settled:
        change -= connection.execute(
            "DELETE FROM callbacks WHERE number IN (SELECT value FROM json_each(?))",
            (json.dumps(work.settled),),
        ).rowcount
    updated = connection.execute("UPDATE totals SET callbacks = callbacks + ?", (change,))
    if not updated.rowcount:
        # The row was lost: damage that is mended sooner than the file is replaced.
        connection.execute(f"INSERT INTO totals VALUES (1, ({_COUNT}))")  # noqa: S608  # likewise
    (callbacks,) = connection.execute("SELECT callbacks FROM totals").fetchone()
    connection.execute("COMMIT")
    return int(callbacks)


def read_callbacks(
    connection: sqlite3.Connection, after: int, limit: int, mentions: int
) -> CallbackPage:
    """Read callbacks with greater numbers than ``after``, in order.

    :param limit: how many rows at most.
    :param mentions: how many ids they may have together; the first comes in any case.
    """
    callbacks: list[Callback] = []
    damaged: list[Damaged] = []
    seen = 0
    through = after
    with closing(connection.cursor()) as cursor:
        # SQLite keeps any type in any column; a cast makes the best of it, and never fails.
        cursor.execute(
            "SELECT number, CAST(received_us AS INTEGER), CAST(ids AS BLOB) FROM callbacks"
            " WHERE number > ? ORDER BY number LIMIT ?",
            (after, limit),
        )
        for number, received_us, blob in cursor:
            if received_us is None or blob is None or len(blob) % _ID_BYTES:
                damaged.append(Damaged(number, _time(received_us), blob or b""))
            else:
                ids = _unpacked(blob)
                mentions -= len(ids)
                if callbacks and mentions < 0:
                    return CallbackPage(callbacks, damaged, through)
                callbacks.append(Callback(number, received_us, ids))
            seen += 1
            through = number
    return CallbackPage(callbacks, damaged, through if seen and seen == limit else None)


def read_rejected(
    connection: sqlite3.Connection, before: int | None, limit: int, size_bytes: int
) -> RejectedPage:
    """Read rejected bodies, the newest first.

    :param before: only such with a smaller number.
    :param limit: how many at most.
    :param size_bytes: how large they may be together; the first comes in any case.
    """
    highest = (1 << 63) - 1 if before is None else before - 1
    rows: list[Rejected] = []
    with closing(connection.cursor()) as cursor:
        cursor.execute(
            "SELECT number, CAST(received_us AS INTEGER), CAST(reason AS BLOB), CAST(body AS BLOB)"
            " FROM rejected WHERE number <= ? ORDER BY number DESC LIMIT ?",
            (highest, limit + 1),
        )
        for number, received_us, reason, body in cursor:
            content = body or b""
            size_bytes -= len(content)
            if len(rows) == limit or (rows and size_bytes < 0):
                return RejectedPage(rows, True)
            why = (reason or b"").decode(errors="replace")
            rows.append(Rejected(number, _time(received_us), why, content))
    return RejectedPage(rows, False)


def _time(received_us: int | None) -> int:
    """Give a time that can be written as a date; 0: nobody knows."""
    if received_us is None or not FIRST_US <= received_us <= LAST_US:
        return 0
    return received_us


def _packed(ids: Sequence[int]) -> bytes:
    """Give ids as little-endian int64."""
    packed = array("q", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def _unpacked(blob: bytes) -> array[int]:
    ids = array("q", blob)
    if sys.byteorder == "big":
        ids.byteswap()
    return ids
