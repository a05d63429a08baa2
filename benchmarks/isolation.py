"""Saturate one service of the whole daemon after another, and probe the others meanwhile.

Run it from the project's folder: ``python -m benchmarks.isolation --help``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

from benchmarks.callback_servers import IMMEDIATE, source
from benchmarks.clients import FORK
from benchmarks.http import choice_argument, positive_argument
from benchmarks.http_load import children_cpu_seconds, require_wrk
from benchmarks.http_servers import Cores, divided_cores, require
from benchmarks.isolation_loads import NAMES, Aggressor, aggressors, number_sets
from benchmarks.isolation_probes import PROBES, Delays, Elsewhere, probing
from benchmarks.load import PROC, BenchmarkError, ServerProcess
from benchmarks.publishing.record import COMPLETE, curve_ms, record
from benchmarks.report import heading, machine_facts, simple_table
from benchmarks.whole_daemon import WholeDaemon

LEAD_SECONDS = 0.5
NICENESS = 10
METHOD = """\
A fresh daemon with all services has the first core, everything else the others.  One service at
a time gets as much as it takes: five connections of numbers, or 50 of HTTP.  The other services
are probed by a process each, every 10 ms, on a connection that stays open.  A probe counts from
when it was due, so that one that waits for the one before it is late as well.  What makes the
load gives way to the probes (nice 10): they are to measure the daemon, not each other.  *number
to log* is the time until the number is in the file, where 30 ms of waiting for company are meant
and 100 ms are allowed; for all others the 99th percentile must stay under 50 ms.  A wrong reply,
a failed request, or a line of the log above info ends the run.  *others %* is what other programs
took of one core meanwhile, the object source among them: where that is much, it is they that are
measured."""


@dataclass(frozen=True)
class Outcome:
    """What the others felt while one service was saturated.

    :ivar rate: requests, or numbers, a second that it took.
    :ivar others: of one core, what other programs took meanwhile.
    """

    rate: float
    others: float
    delays: list[Delays]


def measure(
    cores: Cores, folder: Path, source_port: int, aggressor: Aggressor, seconds: int
) -> Outcome:
    """Saturate one service of a fresh daemon."""
    victims = [probe for probe in PROBES.values() if probe.service != aggressor.service]
    gate = FORK.Event()
    with WholeDaemon(cores, folder, source_port) as daemon, ExitStack() as stack:
        store_a_timestamp(daemon)
        began, others_before = time.monotonic(), others_cpu_seconds(daemon)
        calls = [Elsewhere(partial(probing, daemon, probe, seconds, gate)) for probe in victims]
        load = Elsewhere(
            partial(aggressor.run, daemon, seconds + round(4 * LEAD_SECONDS)), NICENESS
        )
        for call in (*calls, load):
            stack.callback(call.stop)
        time.sleep(LEAD_SECONDS)
        gate.set()
        found = [cast("list[float]", call.result()) for call in calls]
        rate = cast("float", load.result())
        daemon.require_alive()
        others = (others_cpu_seconds(daemon) - others_before) / (time.monotonic() - began)
        require(daemon, not daemon.complaints(), f"logged {daemon.complaints()[:3]}")
    delays = [Delays(probe, sorted(each)) for probe, each in zip(victims, found, strict=True)]
    return Outcome(rate, others, delays)


def others_cpu_seconds(daemon: ServerProcess) -> float:
    """Return the CPU seconds so far that neither the daemon nor an ended child of ours has used."""
    user, nice, system, _, _, _, _, steal, *_ = PROC.joinpath("stat").read_text().split()[1:]
    used = sum(map(int, (user, nice, system, steal))) / os.sysconf("SC_CLK_TCK")
    return used - daemon.cpu_seconds() - children_cpu_seconds()


def store_a_timestamp(daemon: WholeDaemon) -> None:
    """Have something to read."""
    gate = FORK.Event()
    gate.set()
    Elsewhere(partial(probing, daemon, PROBES["timestamp PUT"], 0.1, gate)).result()


def delays_table(figures: Mapping[str, Outcome]) -> str:
    """Return what each service took, beside each that was saturated."""
    heads = ["Saturated", "takes/s", "others %", "Probed", "p50 ms", "p99 ms", "longest ms", "kept"]
    rows = []
    for name, outcome in figures.items():
        for number, one in enumerate(outcome.delays):
            rows.append(
                [
                    name if number == 0 else "\\",
                    f"{outcome.rate:,.0f}" if number == 0 else "",
                    f"{outcome.others * 100:.0f}" if number == 0 else "",
                    one.probe.name,
                    *(f"{each * 1e3:.1f}" for each in (one.p50_s, one.p99_s, one.max_s)),
                    "yes" if one.is_within else "no",
                ]
            )
    return simple_table(heads, rows)


def record_outcome(name: str, outcome: Outcome) -> None:
    """Note what the others felt."""
    for one in outcome.delays:
        record(
            "delays",
            saturated=name,
            rate=outcome.rate,
            others=outcome.others,
            probe=one.probe.name,
            probes=len(one.seconds),
            bound_ms=one.probe.bound_s * 1e3,
            within=one.is_within,
            curve_ms=curve_ms(one.seconds),
        )


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.isolation")
    add = parser.add_argument
    add(
        "--only",
        type=choice_argument(NAMES),
        default=list(NAMES),
        metavar="NAMES",
        help=f"saturate some of {','.join(NAMES)} (all)",
    )
    add("--seconds", type=positive_argument, default=10, help="of probing (%(default)s)")
    add(
        "--numbers",
        type=positive_argument,
        default=60_000_000,
        help="different ones that are sent before they come again (%(default)s)",
    )
    return parser


def run(options: argparse.Namespace, folder: Path) -> bool:
    """Measure and print what the options ask for; whether all bounds were kept."""
    cores = divided_cores()
    print(machine_facts())
    print(heading("One service saturated, the others probed"))
    print(f"{METHOD}\n", flush=True)
    cores.keep_clients()
    every = aggressors(number_sets(folder, options.numbers if "numbers" in options.only else 0))
    figures = {}
    for name in options.only:
        with (
            tempfile.TemporaryDirectory(prefix="benchmark-") as own,
            source(IMMEDIATE, Path(own)) as port,
        ):
            # What was written before must not be what the disk is busy with.
            os.sync()
            figures[name] = measure(cores, Path(own), port, every[name], options.seconds)
            record_outcome(name, figures[name])
    print(delays_table(figures))
    record(COMPLETE)
    return all(one.is_within for outcome in figures.values() for one in outcome.delays)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 1 if a bound was not kept."""
    options = argument_parser().parse_args(arguments)
    try:
        require_wrk()
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            within = run(options, Path(folder))
    except BenchmarkError as failure:
        print(f"\nFAILED: {failure}", file=sys.stderr)
        return 1
    if not within:
        print("\nFAILED: some services were held up by another", file=sys.stderr)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
