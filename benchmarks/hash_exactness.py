"""How exactly jobs become ready: never early, and how late."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.hash_jobs import POST, Asker
from benchmarks.http_servers import OURS, Contenders, require
from benchmarks.report import percentile, simple_table

LATE_JOBS = 200
DELAY_SECONDS = 0.1
BEFORE_SECONDS = 0.005
_READY = b"HTTP/1.1 200 "


def measure_exactness(contenders: Contenders, folder: Path) -> dict[str, list[float]]:
    """Return how late the first replies with a hash came, ascending seconds, by way of asking."""
    settings = (f"hash.delay={DELAY_SECONDS}",)
    late: dict[str, list[float]] = {"asking again": [], "Prefer: wait": []}
    with contenders.process(OURS, POST, folder, settings) as server:
        asker = Asker(server)
        for turn in range(2 * LATE_JOBS):
            waits = turn % 2 == 1
            sent = time.perf_counter()
            job = asker.post()
            if waits:
                reply = asker.get(f"/hash/{job}", "Prefer: wait=10\r\n")
            else:
                time.sleep(DELAY_SECONDS - BEFORE_SECONDS)
                while not (reply := asker.get(f"/hash/{job}")).startswith(_READY):
                    require(server, reply.startswith(b"HTTP/1.1 202 "), f"answered {reply!r}")
            seconds = time.perf_counter() - sent - DELAY_SECONDS
            require(server, reply.startswith(_READY), f"answered {reply!r}")
            require(server, seconds >= 0, f"a hash came {-seconds * 1e6:.0f} µs early")
            late["Prefer: wait" if waits else "asking again"].append(seconds)
        asker.close()
    return {how: sorted(each) for how, each in late.items()}


def exactness_table(late: dict[str, list[float]]) -> str:
    """Return the distribution of how late they came."""
    heads = ["How", "earliest ms", "median ms", "p99 ms", "latest ms"]
    rows = []
    for how, seconds in late.items():
        shown = [seconds[0], percentile(seconds, 50), percentile(seconds, 99), seconds[-1]]
        rows.append([how, *(f"{value * 1e3:.3f}" for value in shown)])
    return simple_table(heads, rows)
