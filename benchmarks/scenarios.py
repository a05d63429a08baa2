"""What is done to a number server under test, and what each run yields."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clients import ClientProcesses, PacketPlan, connect
from benchmarks.load import POLL_SECONDS, ServerProcess
from benchmarks.number_files import (
    LINE_BYTES,
    ClientFile,
    Integers,
    ascending,
    distinct_of,
    log_complaints,
    logged_sizes,
    number_lines,
)

PORT = 4000
CLIENT_LIMIT = 5
LOG_NAME = "numbers.log"
MEBIBYTE = 1024 * 1024
HEALTH_CHECK_SECONDS = 0.1


@dataclass(frozen=True)
class Contender:
    """A server to measure."""

    name: str
    command: tuple[str, ...]
    keeps_zeros: bool = False
    exits_zero: bool = True


@dataclass(frozen=True)
class Run:
    """The figures of one run of one server."""

    lines: int
    packets: int
    seconds: float
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    delays: Sequence[float] = ()

    @property
    def numbers_per_second(self) -> float:
        """Lines sent per second of clock time."""
        return self.lines / self.seconds

    @property
    def packets_per_second(self) -> float:
        """Packets sent per second of clock time."""
        return self.packets / self.seconds

    @property
    def cpu_nanoseconds(self) -> float:
        """CPU time of the server per line, nanoseconds."""
        return self.cpu_seconds / self.lines * 1e9

    @property
    def peak_mebibytes(self) -> float:
        """Peak resident size, MiB."""
        return self.peak_bytes / MEBIBYTE


Figures = dict[str, list[Run]]


@dataclass(frozen=True)
class Throughput:
    """Whole files, sent as fast as the server takes them."""

    files: Sequence[ClientFile]
    expected: Integers
    with_probe: bool
    timeout: float

    def run(self, contender: Contender, folder: Path) -> Run:
        """Measure one server, started for this, and check its log."""
        lines = sum(len(file.values) for file in self.files)
        size = logged_bytes(self.expected, contender)
        with start(contender, folder) as server:
            parties = len(self.files) + self.with_probe
            with ClientProcesses(server, parties) as clients:
                for file in self.files:
                    clients.start_file_sender(file.path)
                if not self.with_probe:
                    clients.may_leave.set()
                answer = clients.start_probe() if self.with_probe else None
                cpu_before = server.cpu_seconds()
                began = clients.release()
                ended = wait_for_log(server, clients, size, self.timeout)
                cpu = server.cpu_seconds() - cpu_before
                delays: Sequence[float] = ()
                if answer is not None:
                    # Before the clients leave: a probe must never get a place.
                    clients.stop_probing.set()
                    delays = answer.recv()
                clients.may_leave.set()
                clients.join(self.timeout)
            peak = server.peak_bytes()
            check_and_stop(server, contender, self.expected)
        return Run(lines, 0, ended - began, cpu, peak, delays)


@dataclass(frozen=True)
class SmallWrites:
    """Packets of a few numbers each, for a limited time; no number comes twice."""

    files: Sequence[ClientFile]
    numbers_per_packet: int
    packets: int
    seconds: float
    timeout: float

    def run(self, contender: Contender, folder: Path) -> Run:
        """Measure one server, started for this, and check its log."""
        step = self.numbers_per_packet
        plan = PacketPlan(step * LINE_BYTES, self.packets, self.seconds)
        # How much gets sent is known only during the run; looking up the size
        # which the log must reach has to be quick then.
        sizes = [log_offsets(file.values, contender) for file in self.files]
        with start(contender, folder) as server:
            with ClientProcesses(server, len(self.files)) as clients:
                answers = [clients.start_packet_sender(file.path, plan) for file in self.files]
                cpu_before = server.cpu_seconds()
                began = clients.release()
                packets = [answer.recv() for answer in answers]
                lines = [count * step for count in packets]
                size = sum(int(offsets[count]) for offsets, count in zip(sizes, lines, strict=True))
                ended = wait_for_log(server, clients, size, self.timeout)
                cpu = server.cpu_seconds() - cpu_before
                clients.join(self.timeout)
            peak = server.peak_bytes()
            check_and_stop(server, contender, distinct_of(self.files, lines))
        return Run(sum(lines), sum(packets), ended - began, cpu, peak)


@dataclass(frozen=True)
class Termination:
    """Numbers and ``terminate`` in one stream, beside four idle clients."""

    numbers: Integers
    timeout: float

    def run(self, contender: Contender, folder: Path) -> Run:
        """Measure the time from the send call until the process is gone."""
        content = number_lines(self.numbers) + b"terminate\n"
        with start(contender, folder) as server:
            connections = [connect(PORT) for _ in range(CLIENT_LIMIT)]
            server.wait_until_accepted()
            began = time.perf_counter()
            connections[0].sendall(content)
            status = server.wait_until_gone(self.timeout)
            ended = time.perf_counter()
            for connection in connections:
                connection.close()
            require_log(server, contender, ascending(self.numbers))
            require_status(server, contender, status)
        return Run(len(self.numbers), 1, ended - began)


Scenario = Throughput | SmallWrites | Termination


def start(contender: Contender, folder: Path) -> ServerProcess:
    """Return the server of a contender, to be entered."""
    return ServerProcess(contender.name, contender.command, PORT, folder)


def logged_bytes(numbers: Integers, contender: Contender) -> int:
    """Return the size of a log which holds each of ``numbers`` once, bytes."""
    return int(logged_sizes(numbers, contender.keeps_zeros).sum(dtype=np.int64))


def log_offsets(numbers: Integers, contender: Contender) -> NDArray[np.int64]:
    """Return the size of a log of the first 0, 1, 2... of ``numbers``, bytes."""
    offsets = np.zeros(len(numbers) + 1, dtype=np.int64)
    np.cumsum(logged_sizes(numbers, contender.keeps_zeros), out=offsets[1:])
    return offsets


def wait_for_log(
    server: ServerProcess, clients: ClientProcesses, size: int, timeout: float
) -> float:
    """Wait until the log has grown to ``size`` bytes and return the time."""
    log = server.folder / LOG_NAME
    began = checked = time.perf_counter()
    while True:
        grown = log.stat().st_size if log.exists() else 0
        now = time.perf_counter()
        if grown >= size:
            return now
        if now - checked > HEALTH_CHECK_SECONDS:
            clients.require_healthy()
            checked = now
        if now - began > timeout:
            raise server.failure(
                f"after {timeout:g} s {LOG_NAME} has {grown:,} of {size:,} bytes, "
                f"{clients.finished()} clients have finished"
            )
        time.sleep(POLL_SECONDS)


def check_and_stop(server: ServerProcess, contender: Contender, expected: Integers) -> None:
    """Check the log, end the server with SIGTERM, check the log again."""
    require_log(server, contender, expected)
    status = server.terminate()
    require_log(server, contender, expected)
    require_status(server, contender, status)


def require_log(server: ServerProcess, contender: Contender, expected: Integers) -> None:
    """Raise unless the log holds exactly the expected numbers."""
    log = server.folder / LOG_NAME
    if not log.exists():
        raise server.failure(f"wrote no {LOG_NAME}")
    complaints = log_complaints(log, expected, contender.keeps_zeros)
    if complaints:
        raise server.failure("; ".join([f"{LOG_NAME} is wrong", *complaints]))


def require_status(server: ServerProcess, contender: Contender, status: int) -> None:
    """Raise unless the server ended with status 0, if it is one which must."""
    if contender.exits_zero and status != 0:
        raise server.failure(f"ended with status {status}, not 0")


def run_once(contender: Contender, scenario: Scenario) -> Run:
    """Measure a server in a fresh working folder."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        return scenario.run(contender, Path(folder))


def run_in_turns(
    contenders: Sequence[Contender],
    scenario: Scenario,
    repeat: int,
    line: Callable[[Run], str],
) -> Figures:
    """Measure the servers in turns, ``repeat`` rounds, and print each run.

    One uncounted run of the first goes before: a virtual machine's memory is slow
    when it is touched for the first time.
    """
    first = run_once(contenders[0], scenario)
    print(f"- uncounted, {contenders[0].name}: {line(first)}", flush=True)
    figures: Figures = {contender.name: [] for contender in contenders}
    for turn in range(1, repeat + 1):
        for contender in contenders:
            run = run_once(contender, scenario)
            print(f"- round {turn}, {contender.name}: {line(run)}", flush=True)
            figures[contender.name].append(run)
    return figures
