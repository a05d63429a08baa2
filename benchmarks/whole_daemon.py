"""The whole daemon, all six services in one process, and what it says of itself."""

from __future__ import annotations

import copy
import http.client
import json
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.http_servers import HOST, REQUEST_SECONDS, Cores, free_port
from benchmarks.load import PROC, ServerProcess, stat_fields

TITLE = "tsdaemon"
STATE = "state"
LOG_NAME = "numbers.log"
SERVICES = ("timestamp", "counter", "hash", "callback", "numbers", "admin")
ZOMBIE = "Z"
QUIET = frozenset({"debug", "info"})


class WholeDaemon(ServerProcess):
    """All services on free ports; its own port is the admin's.

    :param source_port: where objects are looked up.
    :param settings: more, as ``callback.lifespan=30``.
    """

    def __init__(
        self, cores: Cores, folder: Path, source_port: int, settings: Iterable[str] = ()
    ) -> None:
        self.ports = {name: free_port() for name in SERVICES}
        twistd = Path(sys.executable).parent / "twistd"
        words = [*cores.taskset(TITLE), str(twistd), "-n", "--pidfile=", "tsdaemon"]
        words += ["--state", STATE, "--log-format", "json"]
        chosen = [
            *(f"{name}.listen=tcp:{port}:interface={HOST}" for name, port in self.ports.items()),
            f"callback.source=http://{HOST}:{source_port}",
            *settings,
        ]
        for setting in chosen:
            words += ["--set", setting]
        super().__init__(TITLE, words, self.ports["admin"], folder)

    @property
    def log(self) -> Path:
        """The log of numbers."""
        return self.folder / LOG_NAME

    def require_alive(self) -> None:
        """Raise if it has ended; right in forked processes too, whose child it is not."""
        fields = stat_fields(self.process.pid)
        if not fields or fields[0] == ZOMBIE:
            raise self.failure("ended early")

    def at(self, service: str) -> Self:
        """Return the same process as the server that one service is."""
        view = copy.copy(self)
        view.port = self.ports[service]
        return view

    def get(self, service: str, path: str) -> tuple[int, bytes]:
        """Ask a service on a connection of its own; return the status and the body."""
        self.require_alive()
        port = self.ports[service]
        with closing(http.client.HTTPConnection(HOST, port, timeout=REQUEST_SECONDS)) as client:
            client.request("GET", path)
            response = client.getresponse()
            return response.status, response.read()

    def metrics(self) -> dict[str, float]:
        """Return all metrics by their names; a label's value follows a slash."""
        found = {}
        text = self.get("admin", "/metrics")[1].decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found["/".join([sample.name, *sample.labels.values()])] = sample.value
        return found

    def complaints(self) -> list[str]:
        """Return what it has logged above info."""
        lines = (self.folder / "stderr").read_text("utf-8", "replace").splitlines()
        return [line for line in lines if _level(line) not in QUIET]

    def descriptors(self) -> int:
        """Return how many descriptors the process holds."""
        return len(list((PROC / str(self.process.pid) / "fd").iterdir()))


def _level(line: str) -> str:
    try:
        return str(json.loads(line)["level"])
    except (ValueError, KeyError, TypeError):
        return "not a line of the log"
