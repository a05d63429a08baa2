"""Rows a second into a database, in the batches that the service makes; in this process."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred

from benchmarks.callback_accepts import LONG_LIFESPAN_SECONDS
from benchmarks.load import BenchmarkError
from daemon.callback.lookups import Claim
from daemon.callback.objects.store import ObjectStore, parse_database, store_for
from daemon.callback.storing import BATCH_ROWS, Storing
from daemon.clock import anchored_clock
from daemon.metrics import Histogram

AHEAD = 2 * BATCH_ROWS
"""So many rows wait at most: a batch, and the next one."""


@dataclass(frozen=True)
class Stored:
    """The figures of one database.

    :ivar cpu_s: of this process, its threads included; not of a database's server.
    """

    rows: int
    seconds: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.rows / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time per row, microseconds."""
        return self.cpu_s / self.rows * 1e6


class _Feed:
    """Keeps a database busy.

    :param ids: rows have random ids below this.
    """

    def __init__(self, reactor: Any, store: ObjectStore, ids: int, seconds: float) -> None:
        self.settled = 0
        self._now = anchored_clock()
        self._ids = ids
        self._chance = Random(ids)
        self._end = time.perf_counter() + seconds
        self._ended: Deferred[None] = Deferred()
        self._storing = Storing(
            reactor,
            self._now,
            store,
            LONG_LIFESPAN_SECONDS * 1_000_000,
            settle=self._settle,
            waits=lambda _: True,
            tell=_require_well,
            upsert_time=Histogram([1]),
        )

    async def run(self) -> int:
        """Return how many rows were stored."""
        self._fill()
        await self._ended
        await self._storing.stop()
        return self._storing.stored

    def _fill(self) -> None:
        while len(self._storing) < AHEAD:
            object_id = int(self._chance.random() * self._ids)
            self._storing.add(Claim(object_id, self._now(), [object_id]))

    def _settle(self, callbacks: Iterable[int]) -> None:
        for _ in callbacks:
            self.settled += 1
        if time.perf_counter() < self._end:
            self._fill()
        elif not self._ended.called:
            self._ended.callback(None)


async def stored(reactor: Any, folder: Path, database: str, ids: int, seconds: float) -> Stored:
    """Measure one database.

    :param database: as the setting; the database is empty.
    """
    store = store_for(parse_database(database), reactor=reactor, folder=lambda: folder)
    await store.open()
    began, cpu_before = time.perf_counter(), time.process_time()
    rows = await _Feed(reactor, store, ids, seconds).run()
    found = Stored(rows, time.perf_counter() - began, time.process_time() - cpu_before)
    await store.close()
    return found


def _require_well(part: str, why: str | None) -> None:
    if why is not None:
        raise BenchmarkError(f"{part}: {why}")
