"""The callbacks' inbox: how fast it takes them, and what a backlog of a million costs it.

python -m benchmarks.inbox [--seconds 5] [--backlog 1_000_000]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from benchmarks.publishing.record import record_table
from benchmarks.report import heading, machine_facts, percentile, simple_table
from daemon.callback.inbox import Inbox
from daemon.threads import OneThread

WAITERS = 50
PAGE = 1_000
PAGE_MENTIONS = 50_000
ACCEPTS = ("Accepts", "per s", "p50 ms", "p99 ms", "max ms")
FACTS = ("What", "figure")


class Running:
    """An inbox with a thread of its own."""

    def __init__(self, reactor: Any, folder: str) -> None:
        self.path = Path(folder) / "inbox.sqlite"
        self.thread = OneThread(reactor, "inbox")
        self.inbox = Inbox(self.path, reactor, self.thread, on_trouble=_fail)
        began = time.perf_counter()
        self.inbox.open()
        self.open_s = time.perf_counter() - began
        self.thread.start()

    def settle(self, number: int) -> None:
        """Let a callback go."""
        self.inbox.settle((number,))

    async def close(self) -> float:
        """Return how many seconds it took."""
        began = time.perf_counter()
        await self.inbox.close()
        self.thread.stop()
        return time.perf_counter() - began


async def accept_for(
    running: Running, mentions: int, seconds: float, settle: Callable[[int], None]
) -> list[float]:
    """Keep ``WAITERS`` accepts waiting; return what each took, ascending."""
    ids = array("q", range(mentions))
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def waiter() -> None:
        while (began := time.perf_counter()) < end:
            callback = await running.inbox.accept(1, ids)
            taken.append(time.perf_counter() - began)
            settle(callback.number)

    await gatherResults([Deferred.fromCoroutine(waiter()) for _ in range(WAITERS)])
    return sorted(taken)


def row(name: str, taken: list[float], seconds: float) -> list[str]:
    """Return a line of the table of accepts."""
    return [
        name,
        f"{len(taken) / seconds:,.0f}",
        *(f"{percentile(taken, percent) * 1e3:.1f}" for percent in (50, 99, 100)),
    ]


async def measure(reactor: Any, seconds: float, backlog: int) -> None:
    """Print all figures."""
    rows = []
    for mentions in (10, 200):
        for settles in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                running = Running(reactor, folder)
                settle = running.settle if settles else _keep
                taken = await accept_for(running, mentions, seconds, settle)
                name = f"{mentions} ids, {'settled' if settles else 'kept'}"
                rows.append(row(name, taken, seconds))
                await running.close()
    print(heading("Durable accepts, 50 waiting"))
    facts: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        await measure_backlog(reactor, folder, backlog, rows, facts)
    print(simple_table(ACCEPTS, rows))
    record_table("The inbox alone: durable accepts, 50 waiting", ACCEPTS, rows)
    print(heading(f"A backlog of {backlog:,} callbacks of 10 ids"))
    print(simple_table(FACTS, facts))
    record_table(f"The inbox alone: a backlog of {backlog:,} callbacks of 10 ids", FACTS, facts)
    print(f"\n{machine_facts()}")


async def measure_backlog(
    reactor: Any, folder: str, backlog: int, rows: list[list[str]], facts: list[list[str]]
) -> None:
    """Fill an inbox, start on it, read it, accept beside its reading and its removal."""
    running = Running(reactor, folder)
    ids = array("q", range(10))
    while running.inbox.last_number < backlog:
        await gatherResults([running.inbox.accept(1, ids) for _ in range(5_000)])
    await running.close()
    facts.append(["file, MB", f"{running.path.stat().st_size / 1e6:,.0f}"])
    resident = resident_mb()
    running = Running(reactor, folder)
    facts.append(["opened in, ms", f"{running.open_s * 1e3:.1f}"])
    facts.append(["memory for it, MB", f"{resident_mb() - resident:.1f}"])
    last = running.inbox.last_number

    async def read() -> float:
        began, after = time.perf_counter(), 0
        while after < last:
            after = (await running.inbox.load(after, PAGE, PAGE_MENTIONS))[-1].number
        return time.perf_counter() - began

    reading = Deferred.fromCoroutine(read())
    taken = await accept_for(running, 10, 3, _keep)
    facts.append(["read page by page beside accepts, s", f"{await reading:.1f}"])
    rows.append(row("10 ids, while the backlog is read", taken, 3))
    running.inbox.settle(range(1, last + 1))
    taken = await accept_for(running, 10, 3, _keep)
    rows.append(row("10 ids, while it is removed", taken, 3))
    facts.append(
        ["peak memory, MB", f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f}"]
    )
    facts.append(["closed in, s", f"{await running.close():.2f}"])


def resident_mb() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _keep(_number: int) -> None:
    """Leave a callback where it is."""


def _fail(why: str | None) -> None:
    raise SystemExit(f"the disk refuses: {why}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    options = parser.parse_args()
    react(
        lambda reactor: Deferred.fromCoroutine(measure(reactor, options.seconds, options.backlog))
    )


if __name__ == "__main__":
    main()
