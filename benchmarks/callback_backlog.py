"""A daemon that starts on a backlog: its first answer, its memory, its accepts meanwhile."""

from __future__ import annotations

import random
import sqlite3
import time
from array import array
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.callback_accepts import EMPTY_SECONDS, LONG_LIFESPAN_SECONDS, Posts, run_wrk
from benchmarks.callback_servers import IMMEDIATE, STATE, Daemon, body_of, source
from benchmarks.http_load import Run
from benchmarks.http_servers import Cores, require
from daemon.callback.inbox_tables import Callback, Work, carry_out, make_tables

PIECE = 10_000
SHORT_LIFESPAN_SECONDS = 30
OVER_SECONDS = 3600


@dataclass(frozen=True)
class Backlog:
    """What waits in the inbox.

    :ivar ids: of each callback, random ones from 0 to ``id_range`` - 1.
    :ivar over: they were received so long ago that they need not be looked up.
    """

    callbacks: int
    ids: int
    id_range: int
    over: bool

    @property
    def lifespan(self) -> int:
        """The lifespan for the daemon, seconds."""
        return SHORT_LIFESPAN_SECONDS if self.over else LONG_LIFESPAN_SECONDS

    def write(self, state: Path) -> None:
        """Write it into an inbox's file, in a state folder that is there."""
        chance = random.Random(self.callbacks)
        received_us = (time.time_ns() // 1000) - OVER_SECONDS * self.over * 1_000_000
        rows = (
            Callback(number, received_us, self._ids(chance))
            for number in range(1, self.callbacks + 1)
        )
        with closing(sqlite3.connect(state / "inbox.sqlite", isolation_level=None)) as file:
            file.execute("pragma synchronous = off")
            make_tables(file)
            while piece := list(islice(rows, PIECE)):
                carry_out(file, Work(piece, [], []))

    def _ids(self, chance: random.Random) -> array[int]:
        drawn = (int(chance.random() * self.id_range) for _ in range(self.ids))
        return array("q", dict.fromkeys(drawn))


@dataclass(frozen=True)
class Worked:
    """How a daemon coped with it.

    :ivar first_s: from its start until its first 204; ``bare_s``: the same without a backlog.
    :ivar run: the accepts meanwhile.
    :ivar through_s: from the first 204 until nothing was left; None: it was not waited for.
    :ivar left: callbacks in the inbox after the load.
    :ivar looked_up: lookups that had an answer.
    :ivar expired: callbacks whose time was over.
    """

    first_s: float
    bare_s: float
    run: Run
    through_s: float | None
    left: int
    looked_up: int
    expired: int
    peak_bytes: int


def first_answer(daemon: Daemon, began: float) -> float:
    """Return how long after ``began`` a callback is answered 204, seconds."""
    daemon.post([body_of([1])])
    return time.monotonic() - began


def worked(
    cores: Cores, folder: Path, backlog: Backlog, posts: Posts, *, until_empty: bool
) -> Worked:
    """Start a daemon on a backlog against an immediate source, and post beside its work.

    :param until_empty: wait until it is done, and look whether all of it was worked on.
    """
    bare, full = folder / "bare", folder / "full"
    bare.mkdir()
    (full / STATE).mkdir(parents=True)
    (full / STATE).chmod(0o700)
    backlog.write(full / STATE)
    settings = [f"lifespan={backlog.lifespan}"]
    with source(IMMEDIATE, folder) as port:
        began = time.monotonic()
        with Daemon(cores, bare, port, settings) as daemon:
            bare_s = first_answer(daemon, began)
            daemon.stop()
        began = time.monotonic()
        with Daemon(cores, full, port, settings) as daemon:
            first_s = first_answer(daemon, began)
            began = time.monotonic()
            run = run_wrk(daemon, posts)
            found = daemon.metrics()
            left, through_s = int(found["inbox_depth"]), None
            if until_empty:
                daemon.require_empty(EMPTY_SECONDS)
                through_s = time.monotonic() - began
                found = daemon.metrics()
            peak_bytes = daemon.peak_bytes()
            daemon.stop()
            expired = int(found["expired_callbacks_total"])
            if until_empty:
                require(daemon, daemon.rows() == 0, "callbacks are left on disk")
                wanted = backlog.callbacks if backlog.over else 0
                require(daemon, expired == wanted, f"{expired:,} callbacks expired")
    looked_up = int(found["lookups_total/online"])
    return Worked(first_s, bare_s, run, through_s, left, looked_up, expired, peak_bytes)
