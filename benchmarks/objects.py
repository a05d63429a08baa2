"""The database of objects: rows a second into SQLite and PostgreSQL, and how long a sweep takes.

python -m benchmarks.objects [--seconds 2] [--ids 100_000] [--dsn postgresql://…]

Each store takes turns with a plain client of its database that does the same, one batch after
another: ``executemany`` of sqlite3, and ``execute_values`` of psycopg2. Without ``--dsn`` a server
is started, if one is installed; fsync is on.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import execute_values
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from benchmarks.publishing.record import record_table
from benchmarks.report import heading, machine_facts, simple_table
from daemon.callback.objects.store import ObjectStore, Seen, parse_database, store_for
from tests.postgres import running_server

SIZES = (1_000, 5_000)
UPSERTS = ("Database", "batch", "rows/s", "plain client", "ours / plain")
SWEEPS = ("Database", "seconds")
NOW_US = 1_700_000_000_000_000
LATER_US = 4_000_000_000_000_000
SWEPT = 1_000_000

UPSERT_SQLITE = """
insert into objects values (?, ?)
on conflict (id) do update set last_seen = max(objects.last_seen, excluded.last_seen)
"""
UPSERT_POSTGRES = """
insert into objects (id, last_seen) values %s
on conflict (id) do update set last_seen = greatest(objects.last_seen, excluded.last_seen)
"""
MOMENT = "(%s, to_timestamp(%s))"

Batch = Sequence[Seen]


def batches(size: int, ids: int) -> Iterator[Batch]:
    """Return batches of random ids, each later than the one before."""
    chance = random.Random(size)
    made = [[chance.randrange(ids) for _ in range(size)] for _ in range(20)]
    for number in itertools.count():
        yield [Seen(one, NOW_US + number) for one in made[number % len(made)]]


async def rate_of_store(store: ObjectStore, size: int, ids: int, seconds: float) -> float:
    """Return the rows a second that a store takes."""
    taken, spent = 0, 0.0
    for batch in batches(size, ids):
        began = time.perf_counter()
        await store.upsert(batch)
        spent += time.perf_counter() - began
        taken += size
        if spent >= seconds:
            break
    return taken / spent


def rate_of_plain(
    upsert: Callable[[dict[int, int]], None], size: int, ids: int, seconds: float
) -> float:
    """Return the rows a second that a plain client takes; it blocks."""
    taken, spent = 0, 0.0
    for batch in batches(size, ids):
        began = time.perf_counter()
        upsert(dict(batch))
        spent += time.perf_counter() - began
        taken += size
        if spent >= seconds:
            break
    return taken / spent


def plain_sqlite(connection: sqlite3.Connection) -> Callable[[dict[int, int]], None]:
    """Return what stores a batch by ``executemany``."""
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("create table objects (id integer primary key, last_seen integer not null)")
    connection.execute("create index objects_last_seen on objects (last_seen)")

    def upsert(rows: dict[int, int]) -> None:
        with connection:
            connection.executemany(UPSERT_SQLITE, rows.items())

    return upsert


def plain_postgres(connection: Any) -> Callable[[dict[int, int]], None]:
    """Return what stores a batch by ``execute_values``, in the table that is there."""

    def upsert(rows: dict[int, int]) -> None:
        with connection, connection.cursor() as cursor:
            values = [(key, moment_us / 1e6) for key, moment_us in rows.items()]
            execute_values(cursor, UPSERT_POSTGRES, values, template=MOMENT, page_size=len(values))

    return upsert


async def sweep_seconds(store: ObjectStore) -> float:
    """Return how long it takes to delete a million rows."""
    for start in range(0, SWEPT, 10_000):
        await store.upsert([Seen(one, NOW_US) for one in range(start, start + 10_000)])
    began = time.perf_counter()
    await store.sweep(LATER_US, LATER_US)
    return time.perf_counter() - began


async def measure(reactor: Any, seconds: float, ids: int, dsn: str | None) -> None:
    """Print all figures."""
    rows = []
    sweeps = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        plain_file = stack.enter_context(closing(sqlite3.connect(folder / "plain.sqlite")))
        contenders = {"SQLite": ("sqlite:", plain_sqlite(plain_file))}
        if dsn is None:
            server = stack.enter_context(running_server({}))
            dsn = None if isinstance(server, str) else server.fresh_database().dsn()
        if dsn is not None:
            plain = stack.enter_context(closing(psycopg2.connect(dsn)))
            contenders["PostgreSQL"] = (dsn, plain_postgres(plain))
        for name, (setting, upsert) in contenders.items():
            store = store_for(parse_database(setting), reactor=reactor, folder=lambda: folder)
            await store.open()
            for size in SIZES:
                ours = await rate_of_store(store, size, ids, seconds)
                other = rate_of_plain(upsert, size, ids, seconds)
                row = [f"{ours:,.0f}", f"{other:,.0f}", f"{ours / other:.2f}"]
                rows.append([name, f"{size:,}", *row])
            await store.sweep(LATER_US, LATER_US)
            sweeps.append([name, f"{await sweep_seconds(store):.1f}"])
            await store.close()
    print(heading("Upserts of random ids"))
    print(f"Among {ids:,} ids, one batch after another.\n")
    print(simple_table(UPSERTS, rows))
    record_table(f"Upserts of random ids among {ids:,}, one batch after another", UPSERTS, rows)
    print(heading(f"A sweep of {SWEPT:,} rows"))
    print(simple_table(SWEEPS, sweeps))
    record_table(f"A sweep of {SWEPT:,} rows", SWEEPS, sweeps)


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    parser.add_argument("--ids", type=int, default=100_000, help="different ids")
    parser.add_argument("--dsn", help="an empty database")
    chosen = parser.parse_args()
    print(machine_facts())
    react(
        lambda reactor: Deferred.fromCoroutine(
            measure(reactor, chosen.seconds, chosen.ids, chosen.dsn)
        )
    )


if __name__ == "__main__":
    main()
