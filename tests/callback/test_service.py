"""The callback service in this process: real reactor, real threads, real sockets, real SQLite."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
import treq
from klein import Klein
from prometheus_client import CollectorRegistry
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import deferLater

from daemon.callback.service import CallbackServer, Settings, build
from daemon.health import Health
from daemon.http.server import KleinFactory
from daemon.metrics import Metrics
from daemon.plugin import Host, IDraining, StartError
from daemon.state import StateFolder


class Source:
    """A source at which even objects are online."""

    app = Klein()

    @app.route("/objects/<int(signed=True):number>")
    def one(self, request: Any, number: int) -> str:  # noqa: ARG002
        return json.dumps({"id": number, "online": number % 2 == 0})


@dataclass
class House:
    """A callback service, and what it says to the daemon."""

    folder: Path
    reactor: Any
    source: str
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    health: Health = field(default_factory=lambda: Health("callback"))

    def __post_init__(self) -> None:
        self.state = StateFolder(self.folder)

    def build(self, **settings: Any) -> CallbackServer:
        host = Host(
            self.reactor,
            self.state,
            self.health,
            lambda _: None,
            metrics=Metrics("callback", self.registry),
        )
        given = {"listen": f"unix:{self.folder / 'socket'}", "source": self.source} | settings
        return build(Settings(**given), host)

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"tsdaemon_callback_{name}", labels)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the reactor run until a condition holds; fail after 10 s or so."""
        for _ in range(10_000):
            if condition():
                return
            await deferLater(self.reactor, 0.001)
        pytest.fail("the condition never came true")


@pytest.fixture
def reactor() -> Any:
    """The real reactor."""
    from twisted.internet import reactor as installed

    return installed


@pytest_twisted.async_yield_fixture
async def house(reactor, tmp_path):
    """A place for a service, beside a source."""
    factory = KleinFactory(Source().app, reactor)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    house = House(tmp_path, reactor, f"http://127.0.0.1:{port.getHost().port}")
    yield house
    house.state.close()
    await port.stopListening()
    await factory.drain()


async def post(reactor: Any, port: int, body: bytes) -> int:
    """Post a callback; give the status."""
    reply = await treq.post(
        f"http://127.0.0.1:{port}/callback", body, persistent=False, timeout=10, reactor=reactor
    )
    await treq.content(reply)
    return int(reply.code)


def free_port() -> int:
    """Give a port that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest_twisted.ensureDeferred
async def test_what_happens_can_be_read_as_metrics(house):
    port = free_port()
    service = house.build(listen=f"tcp:{port}:interface=127.0.0.1")
    service.privilegedStartService()
    service.startService()
    assert await post(house.reactor, port, b'{"object_ids":[1,2,4]}') == 204
    assert await post(house.reactor, port, b"{") == 400
    await house.until(lambda: house.sample("rows_stored_total") == 2)
    await house.until(lambda: house.sample("inbox_depth") == 0)
    assert house.sample("accepted_total") == 1
    assert house.sample("rejected_total") == 1
    assert house.sample("refused_total") == 0
    assert house.sample("lookups_total", outcome="online") == 2
    assert house.sample("lookups_total", outcome="offline") == 1
    assert house.sample("lookups_in_flight") == 0
    assert house.sample("lookup_retries_total") == 0
    assert house.sample("lookup_seconds_count") == 3
    assert house.sample("upsert_seconds_count") == 1
    assert house.sample("accept_seconds_count") == 1
    assert house.sample("rows_waiting") == 0
    assert house.sample("expired_callbacks_total") == 0
    await house.until(lambda: house.sample("sweep_seconds_count") > 0)
    assert house.sample("rows_expired_total") == 0
    assert 0 <= house.sample("expiry_lateness_seconds") < 10
    await service.stopService()
    assert house.health.why is None


@pytest_twisted.ensureDeferred
async def test_the_age_of_the_oldest_callback_is_told_while_the_source_is_down(house):
    port = free_port()
    house.source = f"http://127.0.0.1:{free_port()}"
    service = house.build(listen=f"tcp:{port}:interface=127.0.0.1")
    service.privilegedStartService()
    service.startService()
    assert await post(house.reactor, port, b'{"object_ids":[1]}') == 204
    await house.until(lambda: house.sample("oldest_waiting_seconds") > 0)
    assert house.sample("inbox_depth") == 1
    assert "1 callbacks" in IDraining(service).unfinished()
    await service.stopService()


@pytest_twisted.ensureDeferred
async def test_a_service_that_is_built_has_touched_nothing(house):
    house.build()
    assert list(house.folder.iterdir()) == []


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("name", ["inbox.sqlite", "objects.sqlite"])
async def test_a_file_of_a_later_version_stops_the_start_and_stays(house, name):
    first = house.build()
    first.privilegedStartService()
    first.startService()
    await first.stopService()
    path = house.folder / name
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 99")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StartError, match=r"later version|newer"):
        house.build().startService()
    assert path.read_bytes() == before


@pytest_twisted.ensureDeferred
async def test_a_damaged_file_is_put_aside_and_the_service_runs_degraded(house):
    for name in ("inbox.sqlite", "objects.sqlite"):
        (house.folder / name).write_bytes(b"garbage" * 1000)
    service = house.build()
    service.privilegedStartService()
    service.startService()
    assert "inbox.sqlite" in house.health.why
    assert "objects.sqlite" in house.health.why
    await service.stopService()
    assert (house.folder / "objects.sqlite.aside-1").read_bytes() == b"garbage" * 1000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source", "ftp://a"),
        ("source", "http://"),
        ("source", "http://user:secret@a"),
        ("database", "oracle:"),
        ("database", "postgresql://a:b@c:port/d"),
    ],
)
def test_a_source_or_database_that_is_none_is_refused_by_its_key(key, value):
    with pytest.raises(ValueError, match=rf"^callback\.{key}: got "):
        Settings(**{key: value})
