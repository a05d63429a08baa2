"""Daemons with an admin service and others beside it, and what is asked of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.system.conftest import Starter
from tests.system.http_clients import HTTPClient, WebDaemon
from tests.system.running import ReservedPort


class _Daemon(WebDaemon):
    def connect_to(self, address: tuple[str, int]) -> HTTPClient:
        """Connect to one of its services."""
        client = HTTPClient(address)
        self._clients.append(client)
        return client


class Watched:
    """A daemon with an admin service.

    :param services: started beside it, each on a port of its own.
    :param settings: such as ``counter.window=2``.
    :param state: the state folder; one of its own if None.
    """

    def __init__(
        self,
        start: Starter,
        *services: str,
        settings: tuple[str, ...] = (),
        state: Path | None = None,
    ) -> None:
        self.ports: dict[str, ReservedPort] = {name: start.port() for name in ("admin", *services)}
        listen = [
            f"{name}.listen=tcp:{port.number}:interface=127.0.0.1"
            for name, port in self.ports.items()
        ]
        given = [word for setting in (*listen, *settings) for word in ("--set", setting)]
        arguments = ["-n", "--pidfile=", "tsdaemon", "--only", ",".join(self.ports), *given]
        if state is not None:
            arguments += ["--state", str(state)]
        self.daemon = _Daemon(start.folder(), arguments, self.address("admin"))
        start.adopt(self.daemon).wait_until_ready()

    def address(self, name: str) -> tuple[str, int]:
        """Give where a service listens."""
        return ("127.0.0.1", self.ports[name].number)

    @property
    def url(self) -> str:
        """Where the page is."""
        return "http://{}:{}/".format(*self.address("admin"))

    def connect(self, name: str) -> HTTPClient:
        """Connect to a service."""
        return self.daemon.connect_to(self.address(name))

    def json(self, target: str, status: int = 200) -> Any:
        """Ask the admin."""
        reply = self.daemon.get(target)
        assert reply.status == status
        return json.loads(reply.body)
