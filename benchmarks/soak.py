"""Keep all five services moderately busy for an hour or more, and see that nothing wears out.

Run it from the project's folder: ``python -m benchmarks.soak --help``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.callback_servers import IMMEDIATE, source
from benchmarks.http import positive_argument
from benchmarks.http_servers import divided_cores, require, resident_bytes
from benchmarks.load import BenchmarkError
from benchmarks.report import heading, machine_facts, simple_table
from benchmarks.soak_loads import CHECK_SECONDS, LOADS, SETTINGS, SteadyLoad
from benchmarks.whole_daemon import WholeDaemon

HOUR_SECONDS = 3600
SHORTEST_SECONDS = 60
SAMPLES = 60
"""At least so many, however short the run is."""

ROWS = 20
GROWTH_BYTES = 16 * 1024**2
"""How much more may be resident in the last quarter than in the second.

Evicted jobs are given back in pieces of 65,536, that is 5 MB in eleven minutes.
"""

DESCRIPTORS = 10
"""Likewise."""

LAG_SECONDS = 0.05
LAG = "tsdaemon_reactor_lag_seconds_bucket/"
METHOD = """\
One client for each service, 100 counts, 50 timestamps written and read, 100 jobs, 20 callbacks of
5 new objects and 2,000 new numbers a second.  Each count must be one that is possible, each
timestamp be read as it was written, each job have the next id and the right hash, each object of
each callback be stored before it expires, and numbers.log hold in the end what was sent.  Memory
and descriptors of the last quarter are compared with those of the second; no line of the log may
be above info; the reactor's calls must be less than 50 ms late in 99 of 100 cases."""


@dataclass(frozen=True)
class Sample:
    """How the daemon is.

    :ivar at_s: seconds since the load began.
    :ivar lag_s: what 99 % of the reactor's calls so far were not later than, seconds.
    :ivar depth: callbacks in the inbox.
    """

    at_s: float
    resident: int
    descriptors: int
    lag_s: float
    depth: float


def sample(daemon: WholeDaemon, began: float) -> Sample:
    """Look at the daemon."""
    metrics = daemon.metrics()
    return Sample(
        at_s=time.monotonic() - began,
        resident=resident_bytes(daemon),
        descriptors=daemon.descriptors(),
        lag_s=lag_seconds(metrics),
        depth=metrics["tsdaemon_callback_inbox_depth"],
    )


def lag_seconds(metrics: dict[str, float]) -> float:
    """Return the upper bound of the bucket in which the 99th percentile of the lag is."""
    buckets = [
        (float(name.removeprefix(LAG)), count)
        for name, count in metrics.items()
        if name.startswith(LAG)
    ]
    buckets.sort()
    return next(bound for bound, count in buckets if count >= 0.99 * buckets[-1][1])


def wear(samples: Sequence[Sample]) -> list[str]:
    """Tell what has grown, and what was late."""
    quarter = len(samples) // 4
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    found = []
    grown = statistics.median(each.resident for each in last) - statistics.median(
        each.resident for each in second
    )
    if grown > GROWTH_BYTES:
        found.append(f"the memory has grown by {grown / 1024**2:.1f} MiB")
    # Connections to a slow source come and go; what leaks stays.
    more = min(each.descriptors for each in last) - min(each.descriptors for each in second)
    if more > DESCRIPTORS:
        found.append(f"there are {more} more descriptors")
    if samples[-1].lag_s > LAG_SECONDS:
        found.append(f"the reactor was up to {samples[-1].lag_s * 1e3:g} ms late")
    return found


def samples_table(samples: Sequence[Sample]) -> str:
    """Return some of the samples, the last one too."""
    heads = ["Minutes", "resident MiB", "descriptors", "lag p99 ms", "inbox depth"]
    step = -(-len(samples) // ROWS)
    rows = [
        [
            f"{each.at_s / 60:.1f}",
            f"{each.resident / 1024**2:.1f}",
            f"{each.descriptors}",
            f"<= {each.lag_s * 1e3:g}",
            f"{each.depth:.0f}",
        ]
        for each in reversed(samples[::-1][::step])
    ]
    return simple_table(heads, rows)


def soak(daemon: WholeDaemon, seconds: int) -> tuple[list[Sample], list[SteadyLoad]]:
    """Keep a daemon busy; raise where it breaks a promise."""
    loads = [kind(daemon) for kind in LOADS]
    stopped, samples = threading.Event(), []
    pause = min(CHECK_SECONDS, seconds / SAMPLES)
    began = time.monotonic()
    with ThreadPoolExecutor(len(loads)) as pool, ExitStack() as stack:
        stack.callback(stopped.set)
        runs: list[Future[None]] = [pool.submit(load.run, stopped) for load in loads]
        while time.monotonic() - began < seconds:
            time.sleep(pause)
            for run in runs:
                if run.done():
                    run.result()
            samples.append(sample(daemon, began))
            for load in loads:
                load.check()
        stopped.set()
        for run in runs:
            run.result()
    for load in loads:
        load.finish()
    return samples, loads


def measure(seconds: int) -> list[str]:
    """Run and print; return what has worn out."""
    cores = divided_cores()
    print(machine_facts())
    print(heading(f"All services busy for {seconds:,} s"))
    print(f"{METHOD}\n", flush=True)
    cores.keep_clients()
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        source(IMMEDIATE, Path(folder)) as port,
        WholeDaemon(cores, Path(folder), port, SETTINGS) as daemon,
    ):
        cpu_before, began = daemon.cpu_seconds(), time.monotonic()
        samples, loads = soak(daemon, seconds)
        share = (daemon.cpu_seconds() - cpu_before) / (time.monotonic() - began)
        status = daemon.terminate()
        require(daemon, status == 0, f"ended with status {status}")
        complaints = daemon.complaints()
    print(samples_table(samples))
    done = ", ".join(f"{type(load).__name__.lower()} {load.done:,}" for load in loads)
    print(f"\nRounds: {done}. Of one core: {share * 100:.0f} %.")
    return wear(samples) + complaints


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument(
        "--seconds", type=positive_argument, default=HOUR_SECONDS, help="(%(default)s)"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 1 if a promise was broken."""
    parser = argument_parser()
    options = parser.parse_args(arguments)
    if options.seconds < SHORTEST_SECONDS:
        parser.error(f"--seconds: at least {SHORTEST_SECONDS}, to tell growth from a start")
    try:
        failures = measure(options.seconds)
    except BenchmarkError as error:
        failures = [str(error)]
    for failure in failures:
        print(f"\nFAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
