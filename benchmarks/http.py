"""Measure the HTTP services beside Klein on twisted.web and beside Go, in turns.

Run it from the project's folder: ``python -m benchmarks.http --help``.  (Not as a
script: beside it the standard library's ``http`` could not be found.)
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.http_crowds import SLOW_RUN_SECONDS, SLOW_WATCH_SECONDS, Idle, Slow
from benchmarks.http_held import raise_descriptor_limit
from benchmarks.http_load import HEADS, SAME, Load, record_run, require_wrk
from benchmarks.http_records import record_idle, record_slow, record_window
from benchmarks.http_scenarios import Throughput, run_in_turns
from benchmarks.http_servers import (
    GO,
    GO_ONE,
    JOBS,
    SERVERS,
    Contenders,
    build_go,
    divided_cores,
)
from benchmarks.http_tables import (
    idle_line,
    idle_table,
    run_line,
    run_table,
    slow_line,
    slow_table,
    start_up_table,
    window_table,
)
from benchmarks.http_window import Window, start_ups
from benchmarks.load import BenchmarkError
from benchmarks.publishing.record import record_missing
from benchmarks.report import heading, machine_facts, spread

BUSY_CONNECTIONS = 50
START_UPS = 5
THROUGHPUT_METHOD = """\
wrk asks over keep-alive connections, each waiting for its reply before it asks
again, so times of answers are those under full load.  Servers take turns, each in
a fresh process and folder, warmed up by the same load.  Each reply must have a good
status, and a counter's last number must be that of all requests sent.  The Go and
Klein servers keep everything in memory and do no more than answer; in ``put-disk``
each of their PUTs has an fsync of its own.  With heads that differ every request
has an X-Request-Id of its own: tsdaemon remembers what an identical head parsed to."""
IDLE_METHOD = """\
Keep-alive connections that have had one reply each and are then left alone; what
the resident size grows by is divided by their number (the kernel's share is not in
it).  Busy connections are measured with and without them, twice, in one process."""
SLOW_METHOD = f"""\
Clients begin a request and send one more byte of its header a second.  Busy
connections are measured while all of them are there, and again when all have gone;
they are watched for {SLOW_WATCH_SECONDS:.0f} s from their first byte."""
WINDOW_METHOD = """\
Pipelined requests fill the counter's window.  One connection asks one
request after the other, each of them timed: before, with the full window, and while
the first half of it expires.  The other half expires in silence before the one
last request."""
START_UP_METHOD = """\
Starts on a copy of that state, made while the daemon ran, and on none, in turns,
until the first reply; the window is a day, so that all of it counts."""


def positive_argument(text: str) -> int:
    """Return a positive whole number."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"not positive: {text!r}")
    return number


def numbers_argument(text: str) -> list[int]:
    """Return the positive whole numbers of a list with commas."""
    return [positive_argument(word) for word in text.split(",")]


def choice_argument(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return the type of an argument that lists some of ``choices`` with commas."""

    def chosen(text: str) -> list[str]:
        words = text.split(",")
        if unknown := [word for word in words if word not in choices]:
            raise argparse.ArgumentTypeError(f"not one of {', '.join(choices)}: {unknown[0]!r}")
        return words

    return chosen


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http")
    add = parser.add_argument
    add("--repeat", type=positive_argument, default=3, help="rounds (%(default)s)")
    add("--seconds", type=positive_argument, default=5, help="of each run (%(default)s)")
    add(
        "--warm-up",
        type=positive_argument,
        default=1,
        metavar="SECONDS",
        help="of the same load before it (%(default)s)",
    )
    add_choice(parser, "--servers", SERVERS)
    add_choice(parser, "--only", tuple(JOBS))
    add_choice(parser, "--heads", HEADS)
    add("--connections", type=numbers_argument, default=[1, 50, 1000], metavar="NUMBERS")
    add_scenario_arguments(parser)
    return parser


def add_choice(parser: argparse.ArgumentParser, name: str, choices: Sequence[str]) -> None:
    """Add an argument that lists some of ``choices``, by default all."""
    all_of_them = ",".join(choices)
    parser.add_argument(
        name,
        type=choice_argument(choices),
        default=list(choices),
        metavar="NAMES",
        help=f"some of {all_of_them} (all)",
    )


def add_scenario_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is measured instead of requests per second."""
    add = parser.add_argument
    add(
        "--idle",
        type=positive_argument,
        nargs="?",
        const=10_000,
        metavar="NUMBER",
        help="instead what so many idle connections cost the first of --only (%(const)s)",
    )
    add(
        "--slow",
        type=positive_argument,
        nargs="?",
        const=1000,
        metavar="NUMBER",
        help="instead what so many trickled headers cost the first of --only (%(const)s)",
    )
    add(
        "--window",
        type=positive_argument,
        nargs="?",
        const=5_000_000,
        metavar="REQUESTS",
        help="instead tsdaemon's counter with so many requests in its window (%(const)s)",
    )
    add(
        "--window-seconds",
        type=positive_argument,
        default=60,
        metavar="SECONDS",
        help="that window; longer where filling it takes longer (%(default)s)",
    )


def measure_throughput(options: argparse.Namespace, contenders: Contenders) -> None:
    """Run and print the main benchmark."""
    raise_descriptor_limit(max(options.connections))
    print(heading("Requests per second"))
    print(THROUGHPUT_METHOD)
    for name in options.only:
        for connections in options.connections:
            for head in options.heads:
                load = Load(connections, head, options.seconds)
                scenario = Throughput(contenders, JOBS[name], load, options.warm_up)
                print(f"\n{name}, {connections:,} connections, {head} heads:\n")
                figures = run_in_turns(options.servers, scenario.run, options.repeat, run_line)
                print(f"\n{run_table(figures)}", flush=True)
                how = {"job": name, "connections": connections, "heads": head}
                for server, runs in figures.items():
                    for run in runs:
                        record_run("run", run, server=server, **how)


def measure_idle(options: argparse.Namespace, contenders: Contenders) -> None:
    """Run and print the cost of idle connections."""
    raise_descriptor_limit(options.idle + BUSY_CONNECTIONS)
    load = Load(BUSY_CONNECTIONS, SAME, options.seconds)
    scenario = Idle(contenders, JOBS[options.only[0]], load, options.idle)
    print(heading(f"{options.idle:,} idle connections beside {BUSY_CONNECTIONS} busy ones"))
    print(f"{IDLE_METHOD}\n")
    figures = run_in_turns(options.servers, scenario.run, options.repeat, idle_line)
    print(f"\n{idle_table(figures)}")
    record_idle(figures, options.idle)


def measure_slow(options: argparse.Namespace, contenders: Contenders) -> None:
    """Run and print the cost of slow clients, and their end."""
    raise_descriptor_limit(options.slow + BUSY_CONNECTIONS)
    load = Load(BUSY_CONNECTIONS, SAME, min(options.seconds, SLOW_RUN_SECONDS))
    scenario = Slow(contenders, JOBS[options.only[0]], load, options.slow)
    print(heading(f"{options.slow:,} slow clients beside {BUSY_CONNECTIONS} busy connections"))
    print(f"{SLOW_METHOD}\n")
    figures = run_in_turns(options.servers, scenario.run, options.repeat, slow_line)
    print(f"\n{slow_table(figures)}")
    record_slow(figures, options.slow)


def measure_window(options: argparse.Namespace, contenders: Contenders, folder: Path) -> None:
    """Run and print the pauses with a full window, its file, and starts with it."""
    print(heading(f"A counter with {options.window:,} requests in its window"))
    print(WINDOW_METHOD)
    kept = folder / "full"
    found = Window(contenders, options.window, options.window_seconds).run(folder, kept)
    print(f"\n{found.held:,} requests after {found.fill_s:.1f} s.\n\n{window_table(found)}\n")
    each = found.file_bytes / found.held
    print(f"Files: {found.file_bytes:,} bytes, {each:.3f} a request; {found.disk_bytes:,} on disk.")
    print(f"\n{START_UP_METHOD}\n")
    full, empty = start_ups(contenders, kept, START_UPS)
    print(start_up_table({"full": full, "none": empty}))
    pairs = list(zip(full, empty, strict=True))
    longer = spread([(one.seconds - other.seconds) * 1e3 for one, other in pairs])
    cpu = spread([(one.cpu_s - other.cpu_s) * 1e3 for one, other in pairs])
    print(f"\nWith the full one a start takes {longer} ms longer, {cpu} ms of CPU.")
    record_window(found, full, empty)


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Run and print what the options ask for."""
    print(machine_facts())
    cores = divided_cores()
    print(cores)
    binary = build_go(folder) if {GO, GO_ONE} & set(options.servers) else None
    if binary is None and {GO, GO_ONE} & set(options.servers):
        print("Go is not installed: its servers are left out.")
        record_missing("Go, for the HTTP servers")
        options.servers = [name for name in options.servers if name not in {GO, GO_ONE}]
    cores.keep_clients()
    contenders = Contenders(cores, binary)
    if options.idle:
        measure_idle(options, contenders)
    if options.slow:
        measure_slow(options, contenders)
    if options.window:
        measure_window(options, contenders, folder)
    if not (options.idle or options.slow or options.window):
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
