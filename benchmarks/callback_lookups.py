"""Objects through the whole service: looked up, stored, and their callbacks settled."""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from benchmarks.callback_accepts import EMPTY_SECONDS, LONG_LIFESPAN_SECONDS
from benchmarks.callback_servers import DELAYED, IMMEDIATE, STATE, Daemon, body_of, running
from benchmarks.http_servers import Cores, require

SETTLE_IN_SECONDS = 6.0
"""More than the longest delay of the source: by then as many answers come as lookups begin."""

COUNT = "select count(*) from objects"


@dataclass(frozen=True)
class Through:
    """Objects that went the whole way.

    :ivar objects: how many, all of them different and online.
    :ivar seconds: from the first callback until the inbox was empty.
    :ivar cpu_s: of the daemon, without its database's.
    """

    objects: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Objects per second."""
        return self.objects / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time of the daemon per object, microseconds."""
        return self.cpu_s / self.objects * 1e6


@dataclass(frozen=True)
class Delays:
    """What the source's real delays leave of the service.

    :ivar posted: callbacks during the measurement.
    :ivar lookups: that ended in it; ``in_flight``: under way, the mean of what was seen.
    :ivar depths: callbacks in the inbox, seen in turn.
    """

    seconds: float
    posted: int
    lookups: int
    in_flight: float
    depths: list[int]
    cpu_s: float

    @property
    def share(self) -> float:
        """How much of one core the daemon used, percent."""
        return self.cpu_s / self.seconds * 100


def bodies(ids: int) -> Iterator[bytes]:
    """Yield callbacks of so many ids, none of which comes twice."""
    for number in itertools.count():
        yield body_of(range(number * ids, (number + 1) * ids))


def stored(daemon: Daemon, dsn: str | None) -> int:
    """Return how many objects are in the database."""
    if dsn is None:
        path = daemon.folder / STATE / "objects.sqlite"
        with closing(sqlite3.connect(path)) as file:
            return int(file.execute(COUNT).fetchone()[0])
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(COUNT)
        return int(cursor.fetchone()[0])


def through(cores: Cores, folder: Path, dsn: str | None, callbacks: int, ids: int) -> Through:
    """Send callbacks to a fresh daemon, wait until they are settled, and count the objects.

    :param dsn: of an empty PostgreSQL database; None: SQLite in the state folder.
    """
    settings = [f"lifespan={LONG_LIFESPAN_SECONDS}"]
    if dsn is not None:
        settings.append(f"database={dsn}")
    posts = list(itertools.islice(bodies(ids), callbacks))
    objects = callbacks * ids
    with running(cores, folder, IMMEDIATE, settings) as daemon:
        began, cpu_before = time.monotonic(), daemon.cpu_seconds()
        daemon.post(posts)
        daemon.require_empty(EMPTY_SECONDS)
        found = Through(objects, time.monotonic() - began, daemon.cpu_seconds() - cpu_before)
        daemon.stop()
        kept = stored(daemon, dsn)
        require(daemon, kept == objects, f"{kept:,} objects are stored, not {objects:,}")
    return found


def delayed(cores: Cores, folder: Path, ids: int, per_second: float, seconds: float) -> Delays:
    """Send callbacks at a steady rate while the source takes its real time to answer."""
    settings = [f"lifespan={LONG_LIFESPAN_SECONDS}"]
    posts = bodies(ids)
    with running(cores, folder, DELAYED, settings) as daemon:
        post_for(daemon, posts, per_second, SETTLE_IN_SECONDS)
        before, cpu_before, began = daemon.metrics(), daemon.cpu_seconds(), time.monotonic()
        seen = post_for(daemon, posts, per_second, seconds)
        after, cpu_s = daemon.metrics(), daemon.cpu_seconds() - cpu_before
        return Delays(
            seconds=time.monotonic() - began,
            posted=int(after["accepted_total"] - before["accepted_total"]),
            lookups=int(after["lookups_total/online"] - before["lookups_total/online"]),
            in_flight=sum(one["lookups_in_flight"] for one in seen) / len(seen),
            depths=[int(one["inbox_depth"]) for one in seen],
            cpu_s=cpu_s,
        )


def post_for(
    daemon: Daemon, posts: Iterator[bytes], per_second: float, seconds: float
) -> list[dict[str, float]]:
    """Post at a steady rate; return the metrics before each, every two seconds at most."""
    began = time.monotonic()
    seen: list[dict[str, float]] = []
    looked = 0.0
    for number in itertools.count():
        at = number / per_second
        if at >= seconds:
            break
        time.sleep(max(0.0, began + at - time.monotonic()))
        if not seen or at - looked >= 2:
            looked = at
            seen.append(daemon.metrics())
        daemon.post([next(posts)])
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    return seen
