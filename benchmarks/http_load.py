"""wrk as the load generator, what it found, and what that cost the server."""

from __future__ import annotations

import resource
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.http_servers import HOST, Job, require, resident_bytes
from benchmarks.load import BenchmarkError, ServerProcess
from benchmarks.publishing.record import record

SCRIPT = Path(__file__).resolve().parent / "http_requests.lua"
SAME, DIFFERING = "same", "differing"
HEADS = (SAME, DIFFERING)
TIMEOUT_SECONDS = 10
FAILURES = ("connect_errors", "read_errors", "write_errors", "timeouts", "bad_statuses")


@dataclass(frozen=True)
class Load:
    """What wrk does.

    :ivar connections: keep-alive connections, each with one block of requests under way.
    :ivar head: whether all requests are the same bytes, or each has a field of its own.
    :ivar seconds: how long, a whole number.
    :ivar pipeline: requests in a block.
    """

    connections: int
    head: str
    seconds: int
    pipeline: int = 1

    @property
    def under_way(self) -> int:
        """How many requests at most are sent and not answered when it ends."""
        return self.connections * self.pipeline


@dataclass(frozen=True)
class Run:
    """The figures of one run.

    :ivar requests: how many were answered.
    :ivar p50_s: median time of an answer, seconds; likewise ``p99_s`` and ``max_s``.
    :ivar curve_ms: percentiles of the times of answers by their names, milliseconds.
    :ivar cpu_s: CPU seconds of the server; ``client_cpu_s``: of the load generator.
    :ivar resident: resident bytes of the server at the end.
    """

    requests: int
    seconds: float
    p50_s: float
    p99_s: float
    max_s: float
    curve_ms: dict[str, float]
    cpu_s: float
    client_cpu_s: float
    resident: int

    @property
    def rate(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time of the server per request, microseconds."""
        return self.cpu_s / self.requests * 1e6

    @property
    def server_share(self) -> float:
        """How much of one core the server used, percent.

        Where it had one core and used less, it waited for clients, for a disk, or for
        other programs on that core.
        """
        return self.cpu_s / self.seconds * 100

    @property
    def client_share(self) -> float:
        """How much of one core the load generator used, percent."""
        return self.client_cpu_s / self.seconds * 100

    @property
    def resident_mebibytes(self) -> float:
        """Resident size of the server at the end, MiB."""
        return self.resident / 1024**2


def require_wrk() -> None:
    """Raise unless wrk is installed."""
    if shutil.which("wrk") is None:
        raise BenchmarkError("wrk is not installed; Debian has a package of that name")


def run_wrk(server: ServerProcess, job: Job, load: Load) -> Run:
    """Put load on a server; raise if any request failed."""
    url = f"http://{HOST}:{server.port}{job.path}"
    options = [f"-c{load.connections}", f"-d{load.seconds}s", f"--timeout={TIMEOUT_SECONDS}s"]
    if job.body:
        options.append(f"-HContent-Type: {job.media_type}")
    script_words = [job.method, job.body or "-", load.head, str(load.pipeline)]
    command = ["wrk", "-t1", *options, "-s", str(SCRIPT), url, "--", *script_words]
    cpu_before, client_before = server.cpu_seconds(), children_cpu_seconds()
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    cpu_s = server.cpu_seconds() - cpu_before
    client_cpu_s = children_cpu_seconds() - client_before
    server.require_alive()
    if ended.returncode:
        raise server.failure(f"wrk failed: {ended.stdout}{ended.stderr}")
    found = script_lines(ended.stdout)
    failed = {name: found[name] for name in FAILURES if found[name]}
    require(server, not failed and found["requests"] > 0, f"requests failed: {failed}")
    return found_by_wrk(found, cpu_s, client_cpu_s, resident_bytes(server))


def found_by_wrk(found: dict[str, int], cpu_s: float, client_cpu_s: float, resident: int) -> Run:
    """Return the figures of a run from what the script printed."""
    curve = {
        name[1:-3].replace("_", "."): value / 1e3
        for name, value in found.items()
        if name.startswith("p") and name.endswith("_us")
    }
    curve["100"] = found["max_us"] / 1e3
    return Run(
        requests=found["requests"],
        seconds=found["microseconds"] / 1e6,
        p50_s=found["p50_us"] / 1e6,
        p99_s=found["p99_us"] / 1e6,
        max_s=found["max_us"] / 1e6,
        curve_ms=dict(sorted(curve.items(), key=lambda each: float(each[0]))),
        cpu_s=cpu_s,
        client_cpu_s=client_cpu_s,
        resident=resident,
    )


def record_run(kind: str, run: Run, **how: Any) -> None:
    """Note a run.

    :param how: what was asked of whom.
    """
    record(
        kind,
        **how,
        rate=run.rate,
        p50_ms=run.p50_s * 1e3,
        p99_ms=run.p99_s * 1e3,
        max_ms=run.max_s * 1e3,
        curve_ms=run.curve_ms,
        cpu_us=run.cpu_us,
        resident_mib=run.resident_mebibytes,
        server_share=run.server_share,
        client_share=run.client_share,
    )


def script_lines(output: str) -> dict[str, int]:
    """Return the ``name value`` lines that the Lua script printed."""
    found = {}
    for line in output.splitlines():
        name, _, value = line.partition(" ")
        if name.isidentifier() and value.isdigit():
            found[name] = int(value)
    return found


def children_cpu_seconds() -> float:
    """Return the CPU seconds of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Tally:
    """How many requests a counter must have received from us.

    :param window_s: the counter's window; the tally holds while nothing has left it.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._began = time.monotonic()
        self._at_least = 0
        self._under_way = 0

    def add(self, requests: int, under_way: int = 0) -> None:
        """Note requests that were answered, and how many more may have been received."""
        self._at_least += requests
        self._under_way += under_way

    def require(self, server: ServerProcess, count: int) -> None:
        """Raise if a count, this request included, is not the tally's."""
        self._at_least += 1
        if time.monotonic() - self._began < self._window_s:
            at_most = self._at_least + self._under_way
            require(
                server,
                self._at_least <= count <= at_most,
                f"counted {count:,}, not {self._at_least:,} to {at_most:,}",
            )
