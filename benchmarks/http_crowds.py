"""What a crowd of connections costs the busy ones: idle crowds, slow crowds."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http_held import SlowClients, idle_connections, wait_until_left
from benchmarks.http_load import Load, Run, run_wrk
from benchmarks.http_servers import (
    Contenders,
    Job,
    require,
    require_right,
    resident_bytes,
    stop,
)
from benchmarks.load import open_sockets

PAIRS = 2
ROOM = 1000
"""Tsdaemon allows 10,000 connections by default, and the busy ones need some too."""
SETTLE_SECONDS = 0.5
SLOW_WATCH_SECONDS = 15.0
SLOW_RUN_SECONDS = 8
"""At most: the first slow client is closed 10 s after its first byte."""


@dataclass(frozen=True)
class IdleRun:
    """Runs with and without idle connections, in turns in one process.

    :ivar bytes_each: growth of the resident size per idle connection, bytes.
    """

    bytes_each: float
    crowded: tuple[Run, ...]
    alone: tuple[Run, ...]

    @property
    def kept(self) -> float:
        """Requests/s with the idle connections, as a part of those without."""
        return mean_rate(self.crowded) / mean_rate(self.alone)


@dataclass(frozen=True)
class Idle:
    """A crowd of idle keep-alive connections beside busy ones."""

    contenders: Contenders
    job: Job
    load: Load
    connections: int

    def run(self, name: str, folder: Path) -> IdleRun:
        """Measure one server, started for this."""
        room = f"{self.job.service}.max_connections={self.connections + ROOM}"
        crowded, alone, growth = [], [], 0
        with self.contenders.process(name, self.job, folder, (room,)) as server:
            require_right(server, self.job)
            before = resident_bytes(server)
            for turn in range(PAIRS):
                with idle_connections(server, self.job, self.connections):
                    if turn == 0:
                        time.sleep(SETTLE_SECONDS)
                        growth = resident_bytes(server) - before
                    crowded.append(run_wrk(server, self.job, self.load))
                alone.append(run_wrk(server, self.job, self.load))
            stop(server)
        return IdleRun(growth / self.connections, tuple(crowded), tuple(alone))


@dataclass(frozen=True)
class SlowRun:
    """A run with slow clients, one without, and what became of the slow ones.

    :ivar open_seconds: how long each was open whom the server closed.
    :ivar left_open: how many it did not close.
    :ivar statuses: how many got which status code, "" for none.
    """

    crowded: Run
    alone: Run
    open_seconds: tuple[float, ...]
    left_open: int
    statuses: dict[str, int]

    @property
    def kept(self) -> float:
        """Requests/s with the slow clients, as a part of those without."""
        return self.crowded.rate / self.alone.rate


@dataclass(frozen=True)
class Slow:
    """A crowd whose headers come at a byte a second, beside busy connections."""

    contenders: Contenders
    job: Job
    load: Load
    clients: int

    def run(self, name: str, folder: Path) -> SlowRun:
        """Measure one server, started for this; raise if the crowd left too early."""
        with self.contenders.process(name, self.job, folder) as server:
            require_right(server, self.job)
            sockets = sum(1 for _ in open_sockets(server.process.pid))
            crowd = SlowClients(server, self.job, self.clients)
            try:
                crowded = run_wrk(server, self.job, self.load)
                still_open = sum(client.ended is None for client in crowd.clients)
                require(server, still_open == self.clients, "closed slow clients during the run")
                crowd.wait(SLOW_WATCH_SECONDS)
            finally:
                crowd.close()
            wait_until_left(server, sockets)
            alone = run_wrk(server, self.job, self.load)
            stop(server)
        seconds = [client.open_seconds for client in crowd.clients]
        closed = tuple(value for value in seconds if value is not None)
        statuses = Counter(client.status for client in crowd.clients if client.ended is not None)
        return SlowRun(crowded, alone, closed, self.clients - len(closed), dict(statuses))


def mean_rate(runs: tuple[Run, ...]) -> float:
    """Return the mean of the requests/s of some runs."""
    return statistics.mean(run.rate for run in runs)
