"""Measure the hash service beside Go, a burst of millions of jobs, and how exact readiness is.

Run it from the project's folder: ``python -m benchmarks.hash --help``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.hash_burst import Burst, burst_table
from benchmarks.hash_exactness import LATE_JOBS, exactness_table, measure_exactness
from benchmarks.hash_jobs import GET, POST, add_one
from benchmarks.http import choice_argument, numbers_argument, positive_argument
from benchmarks.http_load import SAME, Load, Run, record_run, require_wrk, run_wrk
from benchmarks.http_scenarios import run_in_turns
from benchmarks.http_servers import (
    GO,
    GO_ONE,
    OURS,
    Contenders,
    Job,
    build_go,
    divided_cores,
    stop,
)
from benchmarks.http_tables import run_line, run_table
from benchmarks.load import BenchmarkError
from benchmarks.publishing.record import curve_ms, record, record_missing
from benchmarks.report import heading, machine_facts

DELAY_SECONDS = 5.0
SERVERS = (OURS, GO_ONE, GO)
THROUGHPUT_METHOD = """\
wrk asks over keep-alive connections, each waiting for its reply before it asks again.
Servers take turns, each in a fresh process, warmed up by the same load.  POST sends a
URL-encoded form; each server decodes it, hashes it with SHA-512 and gives an id.  GET reads one
job that is ready.  The Go server never evicts a job, and knows forms only."""
BURST_METHOD = """\
Pipelined POSTs add the jobs, all of them pending, while one connection asks for the first job
again and again, each request timed.  The client of that shares its cores with wrk, so its times
are an upper bound.  Bytes are what the daemon's resident size grew by."""
EXACTNESS_METHOD = """\
A client adds a job and asks for it without a pause around the time when it is due.  Early: the
time by which the first reply with the hash came before the request had been sent a delay ago; it
must not.  Late: from a delay after the POST was sent until the hash was there."""


@dataclass(frozen=True)
class Throughput:
    """One kind of request under one load, in a fresh server."""

    contenders: Contenders
    job: Job
    load: Load

    def run(self, name: str, folder: Path) -> Run:
        """Measure one server."""
        with self.contenders.process(name, self.job, folder) as server:
            add_one(server)
            if self.job.method == "GET":
                time.sleep(DELAY_SECONDS)
            run_wrk(server, self.job, replace(self.load, seconds=1))
            run = run_wrk(server, self.job, self.load)
            if name == OURS and self.job.method == "GET":
                stop(server)  # after POSTs it would wait for them
        return run


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hash")
    add = parser.add_argument
    add("--repeat", type=positive_argument, default=3, help="rounds (%(default)s)")
    add("--seconds", type=positive_argument, default=5, help="of each run (%(default)s)")
    add("--connections", type=numbers_argument, default=[50], metavar="NUMBERS")
    add(
        "--servers",
        type=choice_argument(SERVERS),
        default=list(SERVERS),
        metavar="NAMES",
        help=f"some of {','.join(SERVERS)} (all)",
    )
    add(
        "--burst",
        type=positive_argument,
        nargs="?",
        const=10_000_000,
        metavar="JOBS",
        help="instead so many jobs within the delay (%(const)s)",
    )
    add("--keep", action="store_true", help="keep the burst's jobs on disk")
    add("--exactness", action="store_true", help="instead how exactly jobs become ready")
    return parser


def measure_throughput(options: argparse.Namespace, contenders: Contenders) -> None:
    """Run and print the comparison with Go."""
    print(heading("Requests per second"))
    print(THROUGHPUT_METHOD)
    names = [name for name in options.servers if name == OURS or contenders.go_binary]
    for job in (POST, GET):
        for connections in options.connections:
            load = Load(connections, SAME, options.seconds)
            print(f"\n{job.name}, {connections:,} connections:\n")
            scenario = Throughput(contenders, job, load)
            figures = run_in_turns(names, scenario.run, options.repeat, run_line)
            print(f"\n{run_table(figures)}", flush=True)
            for server, runs in figures.items():
                for run in runs:
                    record_run(
                        "run",
                        run,
                        server=server,
                        job=job.name,
                        connections=connections,
                        heads=SAME,
                    )


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Run and print what the options ask for."""
    print(machine_facts())
    cores = divided_cores()
    print(cores)
    special = options.burst or options.exactness
    binary = None if special else build_go(folder)
    if binary is None and not special and set(options.servers) - {OURS}:
        print("Go is not installed: its servers are left out.")
        record_missing("Go, for the hash server")
    cores.keep_clients()
    contenders = Contenders(cores, binary)
    if options.burst:
        print(heading(f"A burst of {options.burst:,} jobs"))
        print(BURST_METHOD)
        found = Burst(contenders, options.burst, options.keep).run(folder)
        print(f"\n{burst_table(found)}")
        record(
            "burst",
            jobs=found.jobs,
            seconds=found.seconds,
            bytes_each=found.bytes_each,
            asked=len(found.latencies),
            curve_ms=curve_ms(found.latencies),
        )
    if options.exactness:
        print(heading(f"How exactly {LATE_JOBS} jobs become ready"))
        print(EXACTNESS_METHOD)
        late = measure_exactness(contenders, folder)
        print(f"\n{exactness_table(late)}")
        for how, seconds in late.items():
            record("late", how=how, jobs=len(seconds), curve_ms=curve_ms(seconds))
    if not special:
        measure_throughput(options, contenders)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = argument_parser().parse_args(arguments)
    try:
        require_wrk()
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            measure(options, Path(folder))
    except BenchmarkError as failure:
        print(f"\nFAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
