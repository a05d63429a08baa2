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


class Work(NamedTuple):
    """What one transaction does.

    :ivar callbacks: to be there afterwards.
    :ivar rejected: likewise; all newer than those that are there, in ascending order.
    :ivar settled: numbers of callbacks to be gone.
    """

    callbacks: Sequence[Callback]
    rejected: Sequence[Rejected]
    settled: Sequence[int]


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
        "SELECT (SELECT callbacks FROM totals),"
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
    connection.execute("UPDATE totals SET callbacks = callbacks + ?", (change,))
    (callbacks,) = connection.execute("SELECT callbacks FROM totals").fetchone()
    connection.execute("COMMIT")
    return int(callbacks)


def read_callbacks(
    connection: sqlite3.Connection, after: int, limit: int, mentions: int
) -> tuple[list[Callback], bool]:
    """Read callbacks with greater numbers than ``after``, in order.

    :param limit: how many at most.
    :param mentions: how many ids they may have together; the first comes in any case.
    :returns: they, and whether there may be more.
    """
    page: list[Callback] = []
    with closing(connection.cursor()) as cursor:
        cursor.execute(
            "SELECT number, received_us, ids FROM callbacks WHERE number > ?"
            " ORDER BY number LIMIT ?",
            (after, limit),
        )
        for number, received_us, blob in cursor:
            ids = _unpacked(blob)
            mentions -= len(ids)
            if page and mentions < 0:
                return page, True
            page.append(Callback(number, received_us, ids))
    return page, bool(page) and len(page) == limit


def read_rejected(connection: sqlite3.Connection, before: int | None, limit: int) -> list[Rejected]:
    """Read rejected bodies, the newest first.

    :param before: only such with a smaller number.
    :param limit: how many at most.
    """
    highest = (1 << 63) - 1 if before is None else before - 1
    rows = connection.execute(
        "SELECT number, received_us, reason, body FROM rejected"
        " WHERE number <= ? ORDER BY number DESC LIMIT ?",
        (highest, limit),
    ).fetchall()
    return [Rejected(*row) for row in rows]


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
