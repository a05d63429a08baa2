"""The HTTP servers under test: ours, Klein on twisted.web, and Go; and their cores."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import PROC, BenchmarkError, ServerProcess, process_tree

HOST = "127.0.0.1"
REQUEST_SECONDS = 30.0
TIMESTAMP = "1234567890.123456789"
MEDIA_TYPE = "text/plain"
OURS, KLEIN, GO_ONE, GO = "ours", "klein", "go1", "go"
SERVERS = (OURS, KLEIN, GO_ONE, GO)
TITLES = {
    OURS: "tsdaemon",
    KLEIN: "Klein on twisted.web",
    GO_ONE: "Go, GOMAXPROCS=1",
    GO: "Go, all cores",
}
REFERENCES = Path(__file__).resolve().parent / "reference"


@dataclass(frozen=True)
class Job:
    """What is asked of a server again and again."""

    name: str
    service: str
    method: str
    path: str
    status: int
    body: str = ""
    on_disk: bool = False
    media_type: str = MEDIA_TYPE

    @property
    def counts(self) -> bool:
        """Whether the reply is the number of requests so far."""
        return self.service == "counter"


JOBS = {
    job.name: job
    for job in (
        Job("counter", "counter", "GET", "/", 200),
        Job("timestamp", "timestamp", "GET", "/timestamp", 200),
        Job("put-memory", "timestamp", "PUT", "/timestamp", 204, TIMESTAMP),
        Job("put-disk", "timestamp", "PUT", "/timestamp", 204, TIMESTAMP, on_disk=True),
    )
}


@dataclass(frozen=True)
class Cores:
    """Which processor cores servers and clients have, empty for any."""

    server: frozenset[int]
    clients: frozenset[int]
    every: frozenset[int]

    def taskset(self, server: str) -> list[str]:
        """Return the words before a server's command that keep it on its cores."""
        if not self.server:
            return []
        allowed = self.every if server == GO else self.server
        return ["taskset", "--cpu-list", ",".join(map(str, sorted(allowed)))]

    def keep_clients(self) -> None:
        """Keep this process, and the load generators it starts, on the clients' cores."""
        if self.clients:
            os.sched_setaffinity(0, self.clients)

    def __str__(self) -> str:
        if not self.server:
            return "Servers and clients share the cores: there is one only, or no taskset."
        return (
            f"Servers run on core {min(self.server)}, clients on the other cores; Go without "
            "GOMAXPROCS=1 runs on all."
        )


def divided_cores() -> Cores:
    """Return the first core for the server, the rest for the clients."""
    every = sorted(os.sched_getaffinity(0))
    if len(every) == 1 or shutil.which("taskset") is None:
        return Cores(frozenset(), frozenset(), frozenset())
    return Cores(frozenset(every[:1]), frozenset(every[1:]), frozenset(every))


def build_go(folder: Path) -> Path | None:
    """Build the Go reference in ``folder``; None where no Go is installed."""
    go = shutil.which("go")
    if go is None:
        return None
    binary = folder / "http_reference"
    source = REFERENCES / "http_reference.go"
    built = subprocess.run(
        [go, "build", "-o", str(binary), str(source)], check=False, capture_output=True, text=True
    )
    if built.returncode:
        raise BenchmarkError(f"go build failed:\n{built.stderr}")
    return binary


def free_port() -> int:
    """Return a TCP port on loopback that nobody uses."""
    with socket.create_server((HOST, 0)) as server:
        port: int = server.getsockname()[1]
    return port


@dataclass(frozen=True)
class Contenders:
    """How each server is started."""

    cores: Cores
    go_binary: Path | None

    def process(
        self, server: str, job: Job, folder: Path, settings: tuple[str, ...] = ()
    ) -> ServerProcess:
        """Return a server for a job on a free port, to be entered.

        :param server: one of :data:`SERVERS`.
        :param folder: its working folder; state of ours goes to ``state`` in it.
        :param settings: more settings of ours, as ``counter.window=5``.
        """
        port = free_port()
        if server == OURS:
            command = our_command(job, port, settings)
        elif server == KLEIN:
            command = klein_command(job, port)
        else:
            command = self._go_command(server, job, port)
        words = [*self.cores.taskset(server), *command]
        return ServerProcess(TITLES[server], words, port, folder)

    def _go_command(self, server: str, job: Job, port: int) -> list[str]:
        if self.go_binary is None:
            raise BenchmarkError("the Go reference has not been built")
        setting = ["GOMAXPROCS=1"] if server == GO_ONE else ["--unset=GOMAXPROCS"]
        sync = ["-sync"] if job.on_disk else []
        return ["env", *setting, str(self.go_binary), f"-addr={HOST}:{port}", *sync]


def our_command(job: Job, port: int, settings: tuple[str, ...]) -> list[str]:
    """Return the command that starts the service of a job."""
    chosen = [f"{job.service}.listen=tcp:{port}:interface={HOST}", *settings]
    if job.service == "timestamp":
        chosen.append(f"timestamp.durability={'disk' if job.on_disk else 'memory'}")
    twistd = Path(sys.executable).parent / "twistd"
    words = [str(twistd), "-n", "--pidfile=", "tsdaemon", "--only", job.service]
    words += ["--state", "state"]
    for setting in chosen:
        words += ["--set", setting]
    return words


def klein_command(job: Job, port: int) -> list[str]:
    """Return the command that starts the Klein reference."""
    script = REFERENCES / "klein_on_site.py"
    sync = ["--sync"] if job.on_disk else []
    return [sys.executable, str(script), job.service, f"--port={port}", *sync]


def resident_bytes(server: ServerProcess) -> int:
    """Return the resident size of a server's processes now, bytes."""
    pages = 0
    for pid in process_tree(server.process.pid):
        pages += int((PROC / str(pid) / "statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def ask(server: ServerProcess, method: str, path: str, body: str = "") -> tuple[int, bytes]:
    """Send one request on a connection of its own; return the status and the body."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=REQUEST_SECONDS)
    fields = {"Content-Type": MEDIA_TYPE} if body else {}
    try:
        connection.request(method, path, body or None, fields)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise server.failure(f"{method} {path}: {error!r}") from error
    finally:
        connection.close()


def require_right(server: ServerProcess, job: Job) -> int:
    """Ask once and raise unless the reply is right; return the counter's count, or 0.

    The timestamp is stored before it is asked for.
    """
    if job.service == "timestamp":
        require(server, ask(server, "PUT", job.path, TIMESTAMP) == (204, b""), "PUT failed")
        require(server, ask(server, "GET", job.path) == (200, TIMESTAMP.encode()), "GET failed")
        return 0
    status, content = ask(server, job.method, job.path)
    require(server, status == job.status and content.isdigit(), f"answered {status} {content!r}")
    return int(content)


def require(server: ServerProcess, holds: bool, what: str) -> None:
    """Raise with ``what`` and the end of the server's output unless it holds."""
    if not holds:
        raise server.failure(what)


def stop(server: ServerProcess) -> None:
    """End a server with SIGTERM; ours must end with status 0."""
    status = server.terminate()
    require(server, server.name != TITLES[OURS] or status == 0, f"ended with status {status}")
