"""Small requests to each service at a steady pace, each timed from when it was due."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

from benchmarks.clients import FORK, connect
from benchmarks.hash_jobs import BODY, FORM, Asker
from benchmarks.http_servers import MEDIA_TYPE, TIMESTAMP
from benchmarks.load import POLL_SECONDS, BenchmarkError
from benchmarks.report import percentile
from benchmarks.whole_daemon import WholeDaemon

PERIOD_SECONDS = 0.01
BOUND_SECONDS = 0.05
NUMBERS_BOUND_SECONDS = 0.1
FIRST_NUMBER = 100_000_000


def request(method: str, path: str, body: str = "", media_type: str = "") -> bytes:
    """Return a request's bytes."""
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\n"
    if body:
        head += f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n{body}".encode()


@dataclass(frozen=True)
class Probe:
    """What is asked of one service.

    :ivar asks: the request; a line for the number server.
    :ivar status: what the reply must begin with.
    :ivar bound_s: what the 99th percentile must stay under, seconds.
    """

    name: str
    service: str
    asks: bytes
    status: bytes = b"HTTP/1.1 200 "
    bound_s: float = BOUND_SECONDS


PROBES = {
    probe.name: probe
    for probe in (
        Probe("counter GET", "counter", request("GET", "/")),
        Probe("timestamp GET", "timestamp", request("GET", "/timestamp")),
        Probe(
            "timestamp PUT",
            "timestamp",
            request("PUT", "/timestamp", TIMESTAMP, MEDIA_TYPE),
            b"HTTP/1.1 204 ",
        ),
        Probe("hash POST", "hash", request("POST", "/hash", BODY, FORM)),
        Probe(
            "callback POST",
            "callback",
            request("POST", "/callback", '{"object_ids":[2,4]}', "application/json"),
            b"HTTP/1.1 204 ",
        ),
        Probe("number to log", "numbers", b"", bound_s=NUMBERS_BOUND_SECONDS),
    )
}


@dataclass(frozen=True)
class Delays:
    """How long a service took.

    :ivar seconds: ascending.
    """

    probe: Probe
    seconds: Sequence[float]

    @property
    def p50_s(self) -> float:
        """The median."""
        return percentile(self.seconds, 50)

    @property
    def p99_s(self) -> float:
        """The 99th percentile."""
        return percentile(self.seconds, 99)

    @property
    def max_s(self) -> float:
        """The longest."""
        return self.seconds[-1]

    @property
    def is_within(self) -> bool:
        """Whether the bound was kept."""
        return self.p99_s < self.probe.bound_s


def ask_steadily(asker: Asker, probe: Probe, seconds: float) -> list[float]:
    """Ask every 10 ms; return the delays, seconds, in order.

    A request that had to wait for the one before it counts from when it was due.
    """
    delays = []
    began = time.perf_counter()
    for turn in range(round(seconds / PERIOD_SECONDS)):
        due = began + turn * PERIOD_SECONDS
        time.sleep(max(0.0, due - time.perf_counter()))
        reply = asker.ask(probe.asks)
        delays.append(time.perf_counter() - due)
        if not reply.startswith(probe.status):
            raise BenchmarkError(f"{probe.name}: answered {reply[:200]!r}")
    return delays


def send_steadily(connection: socket.socket, log: Path, seconds: float) -> list[float]:
    """Send a number every 10 ms; return how long each took into the log, seconds, in order.

    Nobody else may send numbers meanwhile.
    """
    line_bytes = len(b"%d\n" % FIRST_NUMBER)
    before = log.stat().st_size
    began = time.perf_counter()
    total = round(seconds / PERIOD_SECONDS)
    dues: list[float] = []
    delays: list[float] = []
    while len(delays) < total:
        now = time.perf_counter()
        due = began + len(dues) * PERIOD_SECONDS
        if len(dues) < total and now >= due:
            connection.sendall(b"%d\n" % (FIRST_NUMBER + len(dues)))
            dues.append(due)
        arrived = (log.stat().st_size - before) // line_bytes
        now = time.perf_counter()
        delays += [now - due for due in dues[len(delays) : arrived]]
        if now - began > seconds + NUMBERS_BOUND_SECONDS * 100:
            raise BenchmarkError(f"{total - len(delays)} numbers did not get into the log")
        time.sleep(POLL_SECONDS)
    return delays


def probing(daemon: WholeDaemon, probe: Probe, seconds: float, gate: Event) -> list[float]:
    """Connect, wait for the start, and probe."""
    view = daemon.at(probe.service)
    if probe.service == "numbers":
        with connect(view.port) as connection:
            gate.wait()
            return send_steadily(connection, daemon.log, seconds)
    asker = Asker(view)
    gate.wait()
    delays = ask_steadily(asker, probe, seconds)
    asker.close()
    return delays


class Elsewhere:
    """A call in a forked process, so that it takes no time from this one's.

    :param niceness: how much it gives way to others.
    """

    def __init__(self, call: Callable[[], object], niceness: int = 0) -> None:
        self._receiver, sender = FORK.Pipe(duplex=False)
        self._process = FORK.Process(target=_carry_out, args=(call, niceness, sender))
        self._process.start()
        sender.close()

    @property
    def is_over(self) -> bool:
        """Whether it has returned, or failed."""
        return self._receiver.poll(0)

    def result(self) -> object:
        """Wait for what it returns.

        :raises BenchmarkError: it failed.
        """
        try:
            outcome: object = self._receiver.recv()
        except EOFError as error:
            raise BenchmarkError("a client process died") from error
        finally:
            self.stop()
        if isinstance(outcome, BaseException):
            raise BenchmarkError(str(outcome)) from outcome
        return outcome

    def stop(self) -> None:
        """End it, if it has not ended."""
        self._process.join(1)
        self._process.kill()
        self._process.join()


def _carry_out(call: Callable[[], object], niceness: int, sender: Connection) -> None:
    os.nice(niceness)
    try:
        outcome = call()
    except Exception as error:  # noqa: BLE001  # is raised where the result is asked for
        outcome = BenchmarkError(str(error) or repr(error))
    sender.send(outcome)
