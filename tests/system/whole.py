"""The whole daemon, all six services in one process, and what keeps all of them busy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.system.callbacks import LONG_S, Database, sqlite_database, url_of
from tests.system.conftest import Starter
from tests.system.http_clients import HTTPClient, Place, Reply, WebDaemon, tcp
from tests.system.running import ReservedPort

WEB: Final = ("timestamp", "counter", "hash", "callback", "admin")
SERVICES: Final = (*WEB, "numbers")


class Whole:
    """Daemons with all services that come one after another, in one folder and on the same ports.

    :param source: where objects are looked up.
    :param settings: such as ``counter.window=2``.
    :param environment: variables beside the test's own.
    :ivar daemon: the one that was started last.
    """

    daemon: WebDaemon

    def __init__(
        self,
        start: Starter,
        source: ReservedPort,
        *settings: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._start = start
        self._environment = environment
        self._folder: Path = start.folder()
        self.places: dict[str, Place] = {name: tcp(start.port()) for name in SERVICES}
        self.database: Database = sqlite_database(start.folder() / "objects.sqlite")
        self._settings = [
            *(f"{name}.listen={place.endpoint}" for name, place in self.places.items()),
            f"callback.source={url_of(source)}",
            f"callback.database={self.database.setting}",
            f"callback.lifespan={LONG_S}",
            *settings,
        ]

    @property
    def log(self) -> Path:
        """The log of numbers."""
        return self._folder / "numbers.log"

    def address(self, name: str) -> tuple[str, int]:
        """Give the host and the port of a service."""
        address = self.places[name].address
        assert not isinstance(address, str)
        return address

    def add(self, *settings: str) -> None:
        """Let those that come next have more settings."""
        self._settings += settings

    def live(self, *, wait: bool = True) -> WebDaemon:
        """Start the next one.

        :param wait: until it is ready.
        """
        given = [word for setting in self._settings for word in ("--set", setting)]
        arguments = ["-n", "--pidfile=", "tsdaemon", *given]
        self.daemon = WebDaemon(
            self._folder, arguments, self.address("admin"), environment=self._environment
        )
        self._start.adopt(self.daemon)
        return self.daemon.wait_until_ready() if wait else self.daemon

    def ask(
        self, name: str, method: str, target: str, body: bytes | None = None, **fields: str
    ) -> Reply:
        """Ask a service on a connection of its own."""
        client = HTTPClient(self.places[name].address)
        try:
            return client.ask(method, target, body, **fields)
        finally:
            client.close()

    def troubles(self) -> dict[str, str]:
        """Tell which services say that they cannot do all of their job, and why."""
        reply = self.daemon.get("/readyz")
        services = json.loads(reply.body)["services"]
        assert set(services) == set(SERVICES)
        return {
            name: state["why"]
            for name, state in services.items()
            if state["degraded"] or not state["ok"]
        }
