"""Measure number servers: ours, the plain reference and any others, in turns.

Run it from the project's folder: ``python -m benchmarks.numbers --help``.  (Not
as a script: beside it the standard library's ``numbers`` could not be found.)
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load import BenchmarkError
from benchmarks.number_files import (
    ascending,
    distinct_numbers,
    random_numbers,
    write_client_files,
)
from benchmarks.number_records import (
    record_probe,
    record_small_writes,
    record_termination,
    record_throughput,
)
from benchmarks.number_tables import (
    OURS,
    probe_table,
    ratio_table,
    small_writes_line,
    small_writes_table,
    termination_line,
    termination_table,
    throughput_line,
    throughput_table,
)
from benchmarks.publishing.record import record_missing
from benchmarks.report import heading, machine_facts
from benchmarks.scenarios import (
    CLIENT_LIMIT,
    Contender,
    SmallWrites,
    Termination,
    Throughput,
    run_in_turns,
)

REFERENCE = "reference"
JAVA = "java"
REFERENCES = Path(__file__).resolve().parent / "reference"
TERMINATE_NUMBERS = 20_000
ALL_PERCENT = 100
THROUGHPUT_METHOD = """\
Client processes connect, are released together and send their files with
sendfile; the clock runs from the release until the log has the size which all
distinct numbers take.  Every log is then checked exactly, before and after
SIGTERM; servers take turns, each in a fresh process and folder, and one uncounted
run of the first goes before (a guest's memory is slow when touched first)."""
PROBE_METHOD = """\
A further process connects about every 5 ms beyond the limit of clients; the time
until the server has accepted and closed that connection shows how long the
reactor was busy with other things.  Percentiles count each 5 ms alike, so a
long pause weighs by its length."""
SMALL_WRITES_METHOD = """\
Each client process sends packets of so many numbers with one call each and
TCP_NODELAY, until its time or its packets are over.  The clock runs from the
release until every number (none comes twice) is in the log."""
TERMINATION_METHOD = """\
Of five clients four are idle and one sends 20,000 numbers and ``terminate`` in
one stream.  The time is from the send call until the process is gone; the log must
hold all the numbers."""


def server_argument(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the name and the command in ``NAME=COMMAND``."""
    name, separator, command = text.partition("=")
    words = tuple(shlex.split(command))
    if not (separator and name and words) or name in (OURS, REFERENCE, JAVA):
        raise argparse.ArgumentTypeError(f"not NAME=COMMAND: {text!r}")
    return name, words


def sizes_argument(text: str) -> list[int]:
    """Return the positive whole numbers of a list with commas."""
    sizes = [int(word) for word in text.split(",")]
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"not positive: {text!r}")
    return sizes


def clients_argument(text: str) -> int:
    """Return a number of clients which the servers admit."""
    clients = int(text)
    if not 1 <= clients <= CLIENT_LIMIT:
        raise argparse.ArgumentTypeError(f"not 1 to {CLIENT_LIMIT}: {text!r}")
    return clients


def percent_argument(text: str) -> float:
    """Return a percentage below 100."""
    percent = float(text)
    if not 0 <= percent < ALL_PERCENT:
        raise argparse.ArgumentTypeError(f"not at least 0 and below 100: {text!r}")
    return percent


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.numbers")
    add = parser.add_argument
    add("--numbers", type=int, default=20_000_000, help="lines sent (%(default)s)")
    add(
        "--duplicates",
        type=percent_argument,
        default=0.0,
        metavar="PERCENT",
        help="share of the lines which repeat earlier ones (0: plain random)",
    )
    add("--clients", type=clients_argument, default=CLIENT_LIMIT)
    add("--seed", type=int, default=1)
    add("--folder", type=Path, help="where the clients' files go and stay")
    add("--repeat", type=int, default=3, help="counted rounds (%(default)s)")
    add("--timeout", type=float, default=300.0, help="for one run, seconds")
    add_server_arguments(parser)
    add_scenario_arguments(parser)
    return parser


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choice of the servers."""
    add = parser.add_argument
    add("--without-ours", action="store_true")
    add("--without-reference", action="store_true")
    add(
        "--server",
        action="append",
        default=[],
        type=server_argument,
        metavar="NAME=COMMAND",
        help="one more server; it starts in a temporary folder, so give full paths",
    )
    add("--java", action="store_true", help="the Java reference as well, where a JDK is installed")
    add(
        "--foreign-keeps-zeros",
        action="store_true",
        help="servers given by --server log nine digits always",
    )


def add_scenario_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the choice of what to measure."""
    add = parser.add_argument
    add("--probe", action="store_true", help="measure the reactor's pauses as well")
    add(
        "--writes",
        type=sizes_argument,
        default=[],
        metavar="SIZES",
        help="instead measure packets of so many numbers, as 1,10,100,1000,10000",
    )
    add("--packets", type=int, default=200_000, help="limit for each client, --writes")
    add("--seconds", type=float, default=3.0, help="limit for each run, --writes")
    add(
        "--terminate",
        type=int,
        nargs="?",
        const=10,
        default=0,
        metavar="ROUNDS",
        help="instead measure the time which terminate takes (%(const)s rounds)",
    )


def chosen_servers(options: argparse.Namespace, folder: Path) -> list[Contender]:
    """Return the servers in the order of their turns.

    :param folder: where the Java reference is compiled to.
    """
    servers = []
    if not options.without_ours:
        twistd = Path(sys.executable).parent / "twistd"
        words = (str(twistd), "-n", "--pidfile=", "tsdaemon", "--only", "numbers")
        servers.append(Contender(OURS, words))
    if not options.without_reference:
        script = REFERENCES / "line_only.py"
        servers.append(Contender(REFERENCE, (sys.executable, str(script))))
    if options.java and (java := java_command(folder)):
        servers.append(Contender(JAVA, java, exits_zero=False))
    for name, words in options.server:
        keeps_zeros: bool = options.foreign_keeps_zeros
        servers.append(Contender(name, words, keeps_zeros, exits_zero=False))
    return servers


def java_command(folder: Path) -> tuple[str, ...]:
    """Compile the Java reference and return what starts it; nothing where no JDK is installed."""
    compiler, machine = shutil.which("javac"), shutil.which("java")
    if compiler is None or machine is None:
        print("No JDK is installed: the Java server is left out.")
        record_missing("a JDK, for the Java server")
        return ()
    source = REFERENCES / "ThreadPerClient.java"
    made = subprocess.run(
        [compiler, "-d", str(folder), str(source)], check=False, capture_output=True, text=True
    )
    if made.returncode:
        raise BenchmarkError(f"javac failed:\n{made.stderr}")
    return (machine, "-Xmx1g", "-cp", str(folder), "ThreadPerClient")


def measure_throughput(
    options: argparse.Namespace, servers: Sequence[Contender], folder: Path
) -> None:
    """Run and print the main benchmark."""
    numbers = random_numbers(options.numbers, options.duplicates, options.seed)
    files = write_client_files(folder, numbers, options.clients)
    expected = ascending(numbers)
    scenario = Throughput(files, expected, options.probe, options.timeout)
    print(heading(f"{options.numbers:,} numbers, {options.clients} clients"))
    print(f"{len(expected):,} of them distinct.\n\n{THROUGHPUT_METHOD}\n")
    figures = run_in_turns(servers, scenario, options.repeat, throughput_line)
    print(f"\n{throughput_table(figures)}")
    if OURS in figures and len(figures) > 1:
        print(f"\n{ratio_table(figures)}")
    if options.probe:
        print(f"\n{PROBE_METHOD}\n\n{probe_table(figures)}")
        record_probe(figures)
    else:
        record_throughput(figures, options.duplicates, len(expected))


def measure_small_writes(
    options: argparse.Namespace, servers: Sequence[Contender], folder: Path
) -> None:
    """Run and print the benchmark of packet sizes."""
    numbers = distinct_numbers(options.numbers, options.seed)
    files = write_client_files(folder, numbers, options.clients)
    print(heading(f"Small packets, {options.clients} clients"))
    print(f"{SMALL_WRITES_METHOD}\n")
    by_size = {}
    for size in options.writes:
        scenario = SmallWrites(files, size, options.packets, options.seconds, options.timeout)
        print(f"- {size:,} numbers per packet:\n")
        by_size[size] = run_in_turns(servers, scenario, options.repeat, small_writes_line)
        print()
    print(small_writes_table(by_size))
    record_small_writes(by_size)


def measure_termination(options: argparse.Namespace, servers: Sequence[Contender]) -> None:
    """Run and print the benchmark of the exit time."""
    numbers = random_numbers(TERMINATE_NUMBERS, 0, options.seed)
    print(heading("Time until terminate has ended the process"))
    print(f"{TERMINATION_METHOD}\n")
    scenario = Termination(numbers, options.timeout)
    figures = run_in_turns(servers, scenario, options.terminate, termination_line)
    print(f"\n{termination_table(figures)}")
    record_termination(figures)


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Run and print what the options ask for."""
    print(machine_facts())
    servers = chosen_servers(options, folder)
    if not servers:
        raise BenchmarkError("no server is left to measure")
    if options.writes:
        measure_small_writes(options, servers, folder)
    if options.terminate:
        measure_termination(options, servers)
    if not (options.writes or options.terminate):
        measure_throughput(options, servers, folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = argument_parser().parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
            folder = options.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            measure(options, folder)
    except BenchmarkError as failure:
        print(f"\nFAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
