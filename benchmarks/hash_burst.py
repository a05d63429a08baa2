"""Millions of jobs within the delay: how long, how much memory, and who has to wait meanwhile."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.hash_jobs import POST, Asker, add_one, pending
from benchmarks.http_load import SAME, Load, run_wrk
from benchmarks.http_servers import OURS, Contenders, require, resident_bytes
from benchmarks.load import ServerProcess
from benchmarks.report import percentile, simple_table

DELAY = "hash.delay=86400"
FILL = Load(connections=8, head=SAME, seconds=2, pipeline=32)
BETWEEN_SECONDS = 0.002


@dataclass(frozen=True)
class Filled:
    """What was found.

    :ivar jobs: how many were added.
    :ivar seconds: how long that took.
    :ivar bytes_each: resident bytes per job.
    :ivar latencies: seconds of the requests for one job meanwhile, ascending.
    """

    jobs: int
    seconds: float
    bytes_each: float
    latencies: list[float]


class Watcher(threading.Thread):
    """Asks for the first job again and again."""

    def __init__(self, server: ServerProcess) -> None:
        super().__init__(daemon=True)
        self._asker = Asker(server)
        self._over = threading.Event()
        self.latencies: list[float] = []
        self.wrong = b""

    def run(self) -> None:
        """Ask until it is over."""
        while not self._over.wait(BETWEEN_SECONDS) and not self.wrong:
            asked = time.perf_counter()
            reply = self._asker.get("/hash/1")
            self.latencies.append(time.perf_counter() - asked)
            if not reply.startswith(b"HTTP/1.1 202 "):
                self.wrong = reply

    def end(self) -> list[float]:
        """Stop asking; return the times."""
        self._over.set()
        self.join()
        self._asker.close()
        return sorted(self.latencies)


@dataclass(frozen=True)
class Burst:
    """So many jobs, all of them pending."""

    contenders: Contenders
    jobs: int
    keep: bool

    def run(self, folder: Path) -> Filled:
        """Add them."""
        capacity = f"hash.capacity={2 * self.jobs + 1_000_000}"
        keep = f"hash.keep={'true' if self.keep else 'false'}"
        with self.contenders.process(OURS, POST, folder, (DELAY, capacity, keep)) as server:
            add_one(server)
            before = resident_bytes(server)
            watcher = Watcher(server)
            watcher.start()
            began = time.perf_counter()
            count = 1
            while count < self.jobs:
                run_wrk(server, POST, FILL)
                count = pending(server)
            seconds = time.perf_counter() - began
            latencies = watcher.end()
            require(server, not watcher.wrong, f"answered {watcher.wrong!r}")
            return Filled(count, seconds, (resident_bytes(server) - before) / count, latencies)


def burst_table(found: Filled) -> str:
    """Return the figures."""
    milliseconds = [value * 1e3 for value in found.latencies]
    rows = [
        ["jobs", f"{found.jobs:,}"],
        ["seconds", f"{found.seconds:.1f}"],
        ["jobs/s", f"{found.jobs / found.seconds:,.0f}"],
        ["resident bytes a job", f"{found.bytes_each:.1f}"],
        ["GETs meanwhile", f"{len(milliseconds):,}"],
        ["their median, ms", f"{percentile(milliseconds, 50):.2f}"],
        ["p99, ms", f"{percentile(milliseconds, 99):.2f}"],
        ["longest, ms", f"{milliseconds[-1]:.2f}"],
    ]
    return simple_table(["What", "Found"], rows)
