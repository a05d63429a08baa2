"""What the daemon takes when nobody asks for anything: memory and CPU time.

Run it from the project's folder: ``python -m benchmarks.idle --help``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.callback_servers import DOWN, source
from benchmarks.http import positive_argument
from benchmarks.http_servers import (
    GO_ONE,
    JOBS,
    KLEIN,
    TITLES,
    Contenders,
    build_go,
    divided_cores,
    require_right,
    resident_bytes,
)
from benchmarks.load import BenchmarkError, ServerProcess
from benchmarks.publishing.record import record, record_missing
from benchmarks.report import heading, machine_facts, simple_table, spread
from benchmarks.whole_daemon import WholeDaemon

WHOLE = "tsdaemon, all services"
SETTLE_SECONDS = 2.0
MEGABYTE = 1e6
METHOD = """\
A fresh process that nobody asks, two seconds after it listens: its resident size at the end, and
the CPU time of its processes, counted in ticks of mostly 10 ms, as a part of one core.  The Go
and Klein servers are the counter's references and do nothing beside."""


def idle(server: ServerProcess, seconds: int) -> tuple[float, float]:
    """Return the resident size, bytes, and the part of a core that a process takes, percent."""
    time.sleep(SETTLE_SECONDS)
    before, began = server.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    cpu_s, took = server.cpu_seconds() - before, time.monotonic() - began
    server.require_alive()
    return resident_bytes(server), cpu_s / took * 100


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Run and print."""
    cores = divided_cores()
    print(machine_facts())
    print(heading("At rest"))
    print(f"{METHOD}\n", flush=True)
    cores.keep_clients()
    binary = build_go(folder)
    if binary is None:
        record_missing("Go, for an idle server")
    contenders = Contenders(cores, binary)
    references = [GO_ONE, KLEIN] if binary else [KLEIN]
    figures: dict[str, list[tuple[float, float]]] = {}
    for turn in range(options.repeat):
        own = folder / f"round-{turn}"
        own.mkdir()
        with source(DOWN, own) as port, WholeDaemon(cores, own, port) as daemon:
            daemon.metrics()
            figures.setdefault(WHOLE, []).append(idle(daemon, options.seconds))
        for name in references:
            with contenders.process(name, JOBS["counter"], own) as server:
                require_right(server, JOBS["counter"])
                figures.setdefault(TITLES[name], []).append(idle(server, options.seconds))
    for name, found in figures.items():
        for resident, percent in found:
            record("idle", server=name, resident_mb=resident / MEGABYTE, core_percent=percent)
    rows = [
        [
            name,
            spread([resident / MEGABYTE for resident, _ in found], ".1f"),
            spread([percent for _, percent in found], ".2f"),
        ]
        for name, found in figures.items()
    ]
    print(simple_table(["Server", "resident MB", "core %"], rows))


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle")
    add = parser.add_argument
    add("--repeat", type=positive_argument, default=3, help="rounds (%(default)s)")
    add("--seconds", type=positive_argument, default=10, help="of each (%(default)s)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = argument_parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            measure(options, Path(folder))
    except BenchmarkError as failure:
        print(f"\nFAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
