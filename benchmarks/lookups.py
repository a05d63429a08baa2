"""Measure lookups of objects by the project's HTTP client beside treq and Go, in turns.

Run it from the project's folder: ``python -m benchmarks.lookups --help``.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http_servers import HOST, REFERENCES, Cores, divided_cores, free_port
from benchmarks.load import BenchmarkError, ServerProcess
from benchmarks.publishing.record import record, record_missing
from benchmarks.reference.immediate_source import BODY
from benchmarks.report import heading, machine_facts, ratios, simple_table, spread

POOL, TREQ, GO = "pool", "treq", "go"
TITLES = {POOL: "daemon.http.client", TREQ: "treq", GO: "Go, GOMAXPROCS=1"}
TREQ_SHARE = 10
"""treq makes one in so many of the lookups: else it would be what is waited for."""

RUN_SECONDS = 300.0
METHOD = """\
One client process on one core asks a source on another, over keep-alive connections, and each
answer is checked.  The source answers at once with fixed bytes.  Clients take turns, each in a
fresh process; start-up, connecting and a warm-up are not in the figures, except for Go, which
connects within them.  The source's share is of one core: near 100 % it is the source that is
measured."""


@dataclass(frozen=True)
class Run:
    """The figures of one run.

    :ivar cpu_s: CPU seconds of the client; ``source_cpu_s``: of the source.
    """

    lookups: int
    seconds: float
    cpu_s: float
    source_cpu_s: float

    @property
    def rate(self) -> float:
        """Lookups per second."""
        return self.lookups / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time of the client per lookup, microseconds."""
        return self.cpu_s / self.lookups * 1e6

    @property
    def source_share(self) -> float:
        """How much of one core the source used, percent."""
        return self.source_cpu_s / self.seconds * 100


def positive_argument(text: str) -> int:
    """Return a positive whole number."""
    number = int(text.replace("_", ""))
    if number < 1:
        raise argparse.ArgumentTypeError(f"not positive: {text!r}")
    return number


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lookups")
    add = parser.add_argument
    add("--repeat", type=positive_argument, default=5, help="rounds (%(default)s)")
    add("--lookups", type=positive_argument, default=200_000, help="in each run (%(default)s)")
    add("--in-flight", type=positive_argument, default=250, help="at a time (%(default)s)")
    return parser


def build_go(folder: Path) -> Path | None:
    """Build the Go client in ``folder``; None where no Go is installed."""
    go = shutil.which("go")
    if go is None:
        return None
    binary = folder / "lookup_client"
    command = [go, "build", "-o", str(binary), str(REFERENCES / "lookup_client.go")]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    if built.returncode:
        raise BenchmarkError(f"go build failed:\n{built.stderr}")
    return binary


def source_process(cores: Cores, folder: Path) -> ServerProcess:
    """Return the source, to be entered."""
    port = free_port()
    script = REFERENCES / "immediate_source.py"
    command = [*cores.taskset(""), sys.executable, str(script), f"--port={port}"]
    return ServerProcess("source", command, port, folder)


def client_command(client: str, go_binary: Path | None, url: str, options: list[str]) -> list[str]:
    """Return the command that starts a client."""
    if client == GO:
        words = ["env", "GOMAXPROCS=1", str(go_binary), f"--expected={BODY.decode()}"]
    else:
        words = [sys.executable, "-m", "benchmarks.lookup_client", client]
    return [*words, f"--url={url}", *options]


def run_once(
    client: str, go_binary: Path | None, source: ServerProcess, lookups: int, in_flight: int
) -> Run:
    """Have a client make its lookups; raise if any of them is wrong."""
    url = f"http://{HOST}:{source.port}"
    options = [f"--lookups={lookups}", f"--in-flight={in_flight}"]
    command = client_command(client, go_binary, url, options)
    cpu_before = source.cpu_seconds()
    ended = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=RUN_SECONDS
    )
    source.require_alive()
    if ended.returncode:
        raise BenchmarkError(f"{TITLES[client]} failed:\n{ended.stdout}{ended.stderr}")
    seconds, cpu_s = map(float, ended.stdout.split())
    return Run(lookups, seconds, cpu_s, source.cpu_seconds() - cpu_before)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, list[Run]]:
    """Run all clients in turns, and print a line for each run."""
    cores = divided_cores()
    go_binary = build_go(folder)
    clients = [POOL, TREQ] if go_binary is None else [POOL, TREQ, GO]
    print(machine_facts())
    print(cores)
    if go_binary is None:
        print("Go is not installed: its client is left out.")
        record_missing("Go, for the client of lookups")
    print(heading(f"Lookups per second, {options.in_flight} in flight"))
    print(f"{METHOD}\n")
    cores.keep_clients()
    figures: dict[str, list[Run]] = {client: [] for client in clients}
    with source_process(cores, folder) as source:
        for number in range(options.repeat):
            for client in clients:
                lookups = options.lookups
                if client == TREQ:
                    lookups = max(lookups // TREQ_SHARE, options.in_flight)
                run = run_once(client, go_binary, source, lookups, options.in_flight)
                figures[client].append(run)
                record(
                    "run",
                    client=client,
                    in_flight=options.in_flight,
                    rate=run.rate,
                    cpu_us=run.cpu_us,
                    source_share=run.source_share,
                )
                print(
                    f"round {number + 1}, {TITLES[client]}: {run.rate:,.0f}/s, "
                    f"{run.cpu_us:.1f} us CPU, source {run.source_share:.0f} %",
                    flush=True,
                )
    return figures


def table(figures: dict[str, list[Run]]) -> str:
    """Return the figures as a table, with how many times as fast as others ours is."""
    heads = ["Client", "lookups/s", "us CPU a lookup", "source %", "ours / this"]
    ours = [run.rate for run in figures[POOL]]
    rows = [
        [
            TITLES[client],
            spread([run.rate for run in runs]),
            spread([run.cpu_us for run in runs], ".1f"),
            spread([run.source_share for run in runs]),
            spread(ratios(ours, [run.rate for run in runs]), ".2f"),
        ]
        for client, runs in figures.items()
    ]
    return simple_table(heads, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = argument_parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            print(f"\n{table(measure(options, Path(folder)))}")
    except (BenchmarkError, subprocess.TimeoutExpired) as failure:
        print(f"\nFAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
