"""Keep all five services moderately busy for an hour or more, and see that nothing wears out.

Run it from the project's folder: ``python -m benchmarks.soak --help``.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

from benchmarks.callback_servers import IMMEDIATE, source
from benchmarks.clients import FORK
from benchmarks.http import positive_argument
from benchmarks.http_servers import divided_cores, require, resident_bytes
from benchmarks.isolation_probes import Elsewhere
from benchmarks.load import BenchmarkError
from benchmarks.report import heading, machine_facts, simple_table
from benchmarks.soak_loads import CHECK_SECONDS, LOADS, SteadyLoad, settings
from benchmarks.soak_record import HEADS, keep
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
One client for each service: at the usual pace 100 counts, 50 timestamps written and read, 100 jobs,
20 callbacks of 5 new objects and 2,000 new numbers a second.  Each count must be one that is
possible, each timestamp be read as it was written, each job have the next id and the right hash,
each object of each callback be stored before it expires, and numbers.log hold in the end what was
sent.  Memory and descriptors of the last quarter are compared with those of the second; no line of
the log may be above info; the reactor's calls must be less than 50 ms late in 99 of 100 cases.
Behind the rounds is their share of those that were due."""


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


def sample_rows(samples: Sequence[Sample]) -> list[list[str]]:
    """Return some of the samples as rows of a table, the last one too."""
    step = -(-len(samples) // ROWS)
    return [
        [
            f"{each.at_s / 60:.1f}",
            f"{each.resident / 1024**2:.1f}",
            f"{each.descriptors}",
            f"<= {each.lag_s * 1e3:g}",
            f"{each.depth:.0f}",
        ]
        for each in reversed(samples[::-1][::step])
    ]


def soak(daemon: WholeDaemon, seconds: int, pace: int) -> tuple[list[Sample], str]:
    """Keep a daemon busy; raise where it breaks a promise.

    :returns: how it was meanwhile, and what was done, in words.
    """
    stopped, samples = FORK.Event(), []
    pause = min(CHECK_SECONDS, seconds / SAMPLES)
    began = time.monotonic()
    with ExitStack() as stack:
        runs = [Elsewhere(functools.partial(carry, kind, daemon, pace, stopped)) for kind in LOADS]
        for run in runs:
            stack.callback(run.stop)
        stack.callback(stopped.set)
        while time.monotonic() - began < seconds:
            time.sleep(pause)
            for run in runs:
                if run.is_over:
                    run.result()
            samples.append(sample(daemon, began))
        stopped.set()
        done = [run.result() for run in runs]
    return samples, ", ".join(map(str, done))


def carry(kind: type[SteadyLoad], daemon: WholeDaemon, pace: int, stopped: Event) -> str:
    """Be the load on one service; return what was done, in words."""
    load = kind(daemon)
    load.period_s /= pace
    began = time.monotonic()
    load.run(stopped)
    done = load.done
    share = done * load.period_s / (load.stopped_s - began)
    return f"{kind.__name__.lower()} {done:,} ({share:.0%})"


def measure(seconds: int, pace: int) -> list[str]:
    """Run and print; return what has worn out.

    :param pace: how many times as fast as usual everything is asked for.
    """
    cores = divided_cores()
    print(machine_facts())
    faster = "" if pace == 1 else f", {pace:g} times as fast"
    print(heading(f"All services busy for {seconds:,} s{faster}"))
    print(f"{METHOD}\n", flush=True)
    cores.keep_clients()
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        source(IMMEDIATE, Path(folder)) as port,
        WholeDaemon(cores, Path(folder), port, settings(pace)) as daemon,
    ):
        cpu_before, began = daemon.cpu_seconds(), time.monotonic()
        samples, done = soak(daemon, seconds, pace)
        share = (daemon.cpu_seconds() - cpu_before) / (time.monotonic() - began)
        status = daemon.terminate()
        require(daemon, status == 0, f"ended with status {status}")
        complaints = daemon.complaints()
    rows = sample_rows(samples)
    print(simple_table(HEADS, rows))
    rounds = f"Rounds: {done}. Of one core: {share * 100:.0f} %."
    print(f"\n{rounds}")
    failures = wear(samples) + complaints
    if seconds >= HOUR_SECONDS and pace == 1:
        keep(seconds, rows, rounds, failures)
    return failures


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument(
        "--seconds", type=positive_argument, default=HOUR_SECONDS, help="(%(default)s)"
    )
    parser.add_argument(
        "--pace",
        type=positive_argument,
        default=1,
        help="how many times as fast everything is asked for (%(default)s)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 1 if a promise was broken."""
    parser = argument_parser()
    options = parser.parse_args(arguments)
    if options.seconds < SHORTEST_SECONDS:
        parser.error(f"--seconds: at least {SHORTEST_SECONDS}, to tell growth from a start")
    try:
        failures = measure(options.seconds, options.pace)
    except BenchmarkError as error:
        failures = [str(error)]
        if options.seconds >= HOUR_SECONDS and options.pace == 1:
            keep(options.seconds, [], "", failures)
    for failure in failures:
        print(f"\nFAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
