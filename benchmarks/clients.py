"""Client processes: all connect, all are released together, all are watched."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.load import POLL_SECONDS, BenchmarkError, ServerProcess

FORK = multiprocessing.get_context("fork")
HOST = "127.0.0.1"
CONNECT_SECONDS = 30.0
PROBE_SECONDS = 30.0
PROBE_PERIOD_SECONDS = 0.005


@dataclass(frozen=True)
class PacketPlan:
    """How a client cuts its file into packets, and when it stops."""

    packet_bytes: int
    packets: int
    seconds: float


def connect(port: int) -> socket.socket:
    """Return a connection to the server under test."""
    return socket.create_connection((HOST, port), CONNECT_SECONDS)


def finish(connection: socket.socket) -> None:
    """End our side and wait until the server, having read all, has closed too."""
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass


def send_file(path: Path, port: int, gate: Barrier, may_leave: Event) -> None:
    """Send a file as fast as the server takes it; the body of a client process."""
    with connect(port) as connection, path.open("rb") as lines:
        connection.settimeout(None)
        size = os.fstat(lines.fileno()).st_size
        gate.wait()
        sent = 0
        while sent < size:
            sent += os.sendfile(connection.fileno(), lines.fileno(), sent, size - sent)
        may_leave.wait()
        finish(connection)


def send_packets(
    path: Path, port: int, gate: Barrier, plan: PacketPlan, result: Connection
) -> None:
    """Send a file in small packets and report how many; the body of a process."""
    step = plan.packet_bytes
    with connect(port) as connection, path.open("rb") as lines:
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        content = memoryview(lines.read(plan.packets * step))
        stop = len(content) // step * step
        gate.wait()
        deadline = time.monotonic() + plan.seconds
        sent = 0
        while sent < stop and time.monotonic() < deadline:
            connection.sendall(content[sent : sent + step])
            sent += step
        result.send(sent // step)
        finish(connection)


def seconds_until_closed(port: int) -> float:
    """Connect as one client too many; return the seconds until the server closes."""
    began = time.perf_counter()
    with connect(port) as connection:
        connection.settimeout(PROBE_SECONDS)
        try:
            content = connection.recv(1)
        except ConnectionResetError:
            content = b""
        if content:
            raise BenchmarkError("a client too many received bytes")
        return time.perf_counter() - began


def probe(port: int, gate: Barrier, stop: Event, result: Connection) -> None:
    """Measure closing times about every 5 ms until ``stop``; the body of a process."""
    delays = []
    gate.wait()
    while not stop.is_set():
        delays.append(seconds_until_closed(port))
        time.sleep(max(0.0, PROBE_PERIOD_SECONDS - delays[-1]))
    result.send(delays)


def uniform_in_time(delays: Sequence[float]) -> list[float]:
    """Return ascending delays as connections at each 5 ms would have seen them.

    The probe waits for each answer, so that one long pause would count once, as
    if only one connection had met it.  The others which would have arrived in
    the meantime are added: each waits 5 ms less than the one before it.
    """
    complete = []
    for delay in delays:
        remaining = delay
        complete.append(remaining)
        while remaining > PROBE_PERIOD_SECONDS:
            remaining -= PROBE_PERIOD_SECONDS
            complete.append(remaining)
    return sorted(complete)


class ClientProcesses:
    """Forked clients which wait at a gate; killed on exit if still there."""

    def __init__(self, server: ServerProcess, parties: int) -> None:
        self._server = server
        self._parties = parties
        self._processes: list[ForkProcess] = []
        self.gate = FORK.Barrier(parties + 1)
        self.may_leave = FORK.Event()
        self.stop_probing = FORK.Event()

    def __enter__(self) -> Self:
        """Start nothing yet; see the ``start`` methods."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave no client behind."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()

    def start_file_sender(self, path: Path) -> None:
        """Start a client which sends a whole file."""
        process = FORK.Process(
            target=send_file,
            args=(path, self._server.port, self.gate, self.may_leave),
        )
        self._start(process)

    def start_packet_sender(self, path: Path, plan: PacketPlan) -> Connection:
        """Start a client which sends packets; return whence its count comes."""
        receiver, sender = FORK.Pipe(duplex=False)
        process = FORK.Process(
            target=send_packets,
            args=(path, self._server.port, self.gate, plan, sender),
        )
        self._start(process)
        sender.close()
        return receiver

    def start_probe(self) -> Connection:
        """Start the probe; return whence its delays (seconds) come."""
        receiver, sender = FORK.Pipe(duplex=False)
        process = FORK.Process(
            target=probe,
            args=(self._server.port, self.gate, self.stop_probing, sender),
        )
        self._start(process)
        sender.close()
        return receiver

    def release(self) -> float:
        """Wait until all are connected and accepted, release them, return the time."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while self.gate.n_waiting < self._parties:
            self.require_healthy()
            if time.monotonic() > deadline:
                raise self._server.failure("not all clients could connect")
            time.sleep(POLL_SECONDS)
        self._server.wait_until_accepted()
        began = time.perf_counter()
        self.gate.wait()
        return began

    def require_healthy(self) -> None:
        """Raise if the server or one of the clients has failed."""
        self._server.require_alive()
        if any(process.exitcode for process in self._processes):
            raise self._server.failure("a client lost its connection")

    def finished(self) -> int:
        """Return how many clients have sent all and been closed by the server."""
        return sum(process.exitcode == 0 for process in self._processes)

    def join(self, seconds: float) -> None:
        """Wait until every client has seen the server close its connection."""
        deadline = time.monotonic() + seconds
        while any(process.is_alive() for process in self._processes):
            self.require_healthy()
            if time.monotonic() > deadline:
                raise self._server.failure("did not close finished clients")
            time.sleep(POLL_SECONDS)
        self.require_healthy()

    def _start(self, process: ForkProcess) -> None:
        process.start()
        self._processes.append(process)
