"""The counter with millions of requests in its window: pauses, file, start-up."""

from __future__ import annotations

import gc
import http.client
import shutil
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.http_held import request_bytes
from benchmarks.http_load import SAME, Load, run_wrk
from benchmarks.http_servers import (
    HOST,
    JOBS,
    OURS,
    REQUEST_SECONDS,
    Contenders,
    ask,
    require,
    require_right,
    stop,
)
from benchmarks.load import ServerProcess
from benchmarks.report import percentile

JOB = JOBS["counter"]
LONG_WINDOW = "counter.window=86400"
FILL = Load(connections=50, head=SAME, seconds=2, pipeline=32)
EACH_PHASE_SECONDS = 5.0
MARGIN_SECONDS = 1.0
STATE = "state"


@dataclass(frozen=True)
class Latencies:
    """How long the requests of a phase took, each of them counted.

    :ivar seconds: ascending.
    """

    seconds: list[float]

    def over(self, limit_s: float) -> int:
        """Return how many took longer than ``limit_s`` seconds."""
        return sum(value > limit_s for value in self.seconds)

    @property
    def p99_s(self) -> float:
        """The 99th percentile, seconds."""
        return percentile(self.seconds, 99)

    @property
    def slowest_s(self) -> float:
        """The longest of all, seconds."""
        return self.seconds[-1]


@dataclass(frozen=True)
class FullWindow:
    """What was found with a full window.

    :ivar held: requests in the window when it was full.
    :ivar fill_s: seconds it took to fill it.
    :ivar file_bytes: the state's files then, as long as they say.
    :ivar disk_bytes: the blocks of these files.
    :ivar phases: latencies by phase, and of a server with nothing in its window.
    :ivar after_silence_s: the first request after a silence in which the rest expired.
    """

    held: int
    fill_s: float
    file_bytes: int
    disk_bytes: int
    phases: dict[str, Latencies]
    after_silence_s: float


@dataclass(frozen=True)
class StartUp:
    """What a start took until its first reply.

    :ivar seconds: of clock time.
    :ivar cpu_s: CPU seconds.
    :ivar counted: the first reply.
    """

    seconds: float
    cpu_s: float
    counted: int


def folder_bytes(folder: Path) -> tuple[int, int]:
    """Return the lengths of all files in a folder and the blocks they take, bytes."""
    stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(stat.st_size for stat in stats), sum(stat.st_blocks * 512 for stat in stats)


def fill(server: ServerProcess, requests: int, window_s: float) -> tuple[float, int]:
    """Put so many requests into the window; return the seconds and the count.

    Raise if that takes so long that the first would expire before all is measured.
    """
    began = time.monotonic()
    count = 0
    while count < requests:
        run_wrk(server, JOB, FILL)
        status, content = ask(server, "GET", JOB.path)
        require(server, status == JOB.status, f"answered {status}")
        count = int(content)
        took = time.monotonic() - began
        require(
            server,
            took < window_s - 2 * EACH_PHASE_SECONDS,
            f"only {count:,} requests in {took:.0f} s: too slow for {requests:,} in the window",
        )
    return time.monotonic() - began, count


def probe(server: ServerProcess, seconds: float) -> Latencies:
    """Ask again and again on one connection; return how long each reply took."""
    request = request_bytes(JOB)
    latencies = []
    collecting = gc.isenabled()
    # A collection here would look like a pause of the server.
    gc.disable()
    try:
        with socket.create_connection((HOST, server.port), REQUEST_SECONDS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            deadline = time.perf_counter() + seconds
            now = 0.0
            while now < deadline:
                asked = time.perf_counter()
                connection.sendall(request)
                reply = connection.recv(4096)
                now = time.perf_counter()
                latencies.append(now - asked)
                require(server, reply.startswith(b"HTTP/1.1 200 "), f"answered {reply!r}")
    finally:
        if collecting:
            gc.enable()
    return Latencies(sorted(latencies))


@dataclass(frozen=True)
class Window:
    """A window filled by real requests, watched until they have expired."""

    contenders: Contenders
    requests: int
    window_s: float

    def run(self, folder: Path, kept: Path) -> FullWindow:
        """Measure, and leave a copy of the state with the full window in ``kept``.

        The copy is made while the daemon runs: it is what ``kill -9`` would leave.
        """
        setting = f"counter.window={self.window_s:g}"
        with self.contenders.process(OURS, JOB, folder, (setting,)) as server:
            require_right(server, JOB)
            quiet = probe(server, EACH_PHASE_SECONDS)
            began = time.monotonic()
            took, held = fill(server, self.requests, self.window_s)
            file_bytes, disk_bytes = folder_bytes(folder / STATE)
            shutil.copytree(folder / STATE, kept)
            full = probe(server, EACH_PHASE_SECONDS)
            time.sleep(max(0.0, began + self.window_s - time.monotonic()))
            # Half of it expires under requests, the rest in silence, at once.
            expiring = probe(server, took / 2)
            time.sleep(took / 2 + MARGIN_SECONDS)
            after_silence_s = seconds_of_one(server)
            stop(server)
        phases = {"nothing in the window": quiet, "full": full, "expiring": expiring}
        return FullWindow(held, took, file_bytes, disk_bytes, phases, after_silence_s)


def seconds_of_one(server: ServerProcess) -> float:
    """Return how long one request takes on a connection that is already open."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=REQUEST_SECONDS)
    connection.connect()
    began = time.perf_counter()
    connection.request("GET", JOB.path)
    connection.getresponse().read()
    ended = time.perf_counter()
    connection.close()
    return ended - began


def start_ups(
    contenders: Contenders, kept: Path, repeat: int
) -> tuple[list[StartUp], list[StartUp]]:
    """Start the counter on copies of a state and on none, in turns; return both."""
    full, empty = [], []
    for _ in range(repeat):
        full.append(start_up(contenders, kept))
        empty.append(start_up(contenders, None))
    return full, empty


def start_up(contenders: Contenders, state: Path | None) -> StartUp:
    """Start the counter on a copy of a state, or on none, until its first reply.

    Its window is a day long, so that nothing in the state has expired.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        if state is not None:
            shutil.copytree(state, folder / STATE)
        began = time.perf_counter()
        with contenders.process(OURS, JOB, folder, (LONG_WINDOW,)) as server:
            counted = require_right(server, JOB)
            seconds = time.perf_counter() - began
            cpu_s = server.cpu_seconds()
            stop(server)
    return StartUp(seconds, cpu_s, counted)
