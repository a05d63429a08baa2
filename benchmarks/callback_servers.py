"""The callback service and what stands around it: the daemon, its sources, its sender."""

from __future__ import annotations

import http.client
import json
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_connection

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.http_servers import HOST, REQUEST_SECONDS, Cores, free_port, require
from benchmarks.load import ServerProcess

TITLE = "tsdaemon"
STATE = "state"
PREFIX = "tsdaemon_callback_"
POLL_SECONDS = 0.1
NO_CONTENT = b"HTTP/1.1 204 "

IMMEDIATE, DOWN, DELAYED = "immediate", "down", "delayed"


class Daemon(ServerProcess):
    """The callback service, and the admin port to look at it.

    :param source_port: where its source is, or is not.
    :param settings: more of the callback service's, as ``lifespan=30``.
    """

    def __init__(
        self, cores: Cores, folder: Path, source_port: int, settings: Iterable[str]
    ) -> None:
        port, self._admin_port = free_port(), free_port()
        twistd = Path(sys.executable).parent / "twistd"
        words = [*cores.taskset(TITLE), str(twistd), "-n", "--pidfile=", "tsdaemon"]
        words += ["--only", "callback,admin", "--state", STATE]
        chosen = [
            f"callback.listen=tcp:{port}:interface={HOST}",
            f"admin.listen=tcp:{self._admin_port}:interface={HOST}",
            f"callback.source=http://{HOST}:{source_port}",
            *(f"callback.{setting}" for setting in settings),
        ]
        for setting in chosen:
            words += ["--set", setting]
        super().__init__(TITLE, words, port, folder)

    def metrics(self) -> dict[str, float]:
        """Return the service's metrics by their names; a label's value follows a slash."""
        self.require_alive()
        connection = http.client.HTTPConnection(HOST, self._admin_port, timeout=REQUEST_SECONDS)
        with closing(connection):
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        found = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith(PREFIX) and "le" not in sample.labels:
                    name = "/".join([sample.name[len(PREFIX) :], *sample.labels.values()])
                    found[name] = sample.value
        return found

    def metrics_at_rest(self) -> dict[str, float]:
        """Return the metrics when nothing is accepted any more of what was sent before."""
        found = self.metrics()
        while True:
            time.sleep(2 * POLL_SECONDS)
            before, found = found, self.metrics()
            if found["accepted_total"] == before["accepted_total"]:
                return found

    def wait_until_empty(self, seconds: float) -> float | None:
        """Wait until no callback is in the inbox; return how long that took; None: too long."""
        began = time.monotonic()
        while self.metrics()["inbox_depth"]:
            if time.monotonic() - began > seconds:
                return None
            time.sleep(POLL_SECONDS)
        return time.monotonic() - began

    def require_empty(self, seconds: float) -> None:
        """Wait until no callback is in the inbox; raise if that takes too long."""
        require(self, self.wait_until_empty(seconds) is not None, "the inbox is not empty")

    def post(self, bodies: list[bytes]) -> None:
        """Post callbacks, pipelined on one connection; raise unless all are answered 204."""
        head = f"POST /callback HTTP/1.1\r\nHost: {HOST}:{self.port}\r\nContent-Length: "
        block = b"".join(head.encode() + b"%d\r\n\r\n%b" % (len(body), body) for body in bodies)
        with create_connection((HOST, self.port), REQUEST_SECONDS) as sender:
            sender.sendall(block)
            found, rest = 0, b""
            while found < len(bodies):
                data = sender.recv(65536)
                require(self, bool(data), f"only {found} of {len(bodies)} callbacks were answered")
                found += (rest + data).count(NO_CONTENT)
                rest = data[1 - len(NO_CONTENT) :]

    def rows(self) -> int:
        """Return how many callbacks are in the file of the inbox; the daemon must have ended."""
        path = self.folder / STATE / "inbox.sqlite"
        with closing(sqlite3.connect(path)) as connection:
            return int(connection.execute("select count(*) from callbacks").fetchone()[0])

    def stop(self) -> None:
        """End it with SIGTERM."""
        status = self.terminate()
        require(self, status == 0, f"ended with status {status}")


def body_of(ids: Iterable[int]) -> bytes:
    """Return the body of a callback."""
    return json.dumps({"object_ids": list(ids)}, separators=(",", ":")).encode()


@contextmanager
def source(kind: str, folder: Path) -> Iterator[int]:
    """Run a source on the clients' cores; give its port, on which nobody listens if it is down."""
    port = free_port()
    own = folder / "source"
    own.mkdir()
    if kind == DOWN:
        yield port
        return
    if kind == IMMEDIATE:
        words = [sys.executable, "-m", "benchmarks.callback_source", f"--port={port}"]
        words = ["env", f"PYTHONPATH={Path.cwd()}", *words]
    else:
        twistd = Path(sys.executable).parent / "twistd"
        words = [str(twistd), "-n", "--pidfile=", "tsobjectsource", "--no-callbacks"]
        words += ["--online", "all", "--listen", f"tcp:{port}:interface={HOST}"]
    with ServerProcess(f"source, {kind}", words, port, own):
        yield port


@contextmanager
def running(
    cores: Cores, folder: Path, kind: str, settings: Iterable[str] = ()
) -> Iterator[Daemon]:
    """Run a source and the daemon."""
    with source(kind, folder) as port, Daemon(cores, folder, port, settings) as daemon:
        yield daemon
