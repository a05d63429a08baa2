"""The hash service as a whole: what it takes up, in which order it stops, and what it tells."""

from __future__ import annotations

import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import pytest_twisted
from prometheus_client import CollectorRegistry
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from daemon.hash.jobs import DIGEST_BYTES
from daemon.hash.service import FOLDER_NAME, HashServer, Settings, build
from daemon.health import Health
from daemon.http.limits import Limits
from daemon.metrics import Metrics
from daemon.plugin import Host, StartError
from daemon.state import StateFolder
from daemon.storage.ring import CAPACITY
from daemon.storage.ringfiles import RingFiles, Shape, State, boot_id
from tests.storage.columns import full_disk

FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
LOOPBACK = "tcp:0:interface=127.0.0.1"


@pytest.fixture
def reactor() -> Any:
    """The real reactor."""
    from twisted.internet import reactor as installed

    return installed


class Place:
    """Where services run one after another."""

    def __init__(self, reactor: Any, folder: Path) -> None:
        self.reactor = reactor
        self.folder = folder
        self.reasons: list[str] = []
        self.health = Health("hash")
        self.registry = CollectorRegistry()
        self.state = StateFolder(folder)
        self.latest: HashServer | None = None

    def start(self, *, drain_timeout_s: float = 30, **settings: Any) -> HashServer:
        self.registry = CollectorRegistry()
        self.health = Health("hash")
        host = Host(
            self.reactor,
            self.state,
            self.health,
            self.reasons.append,
            metrics=Metrics("hash", self.registry),
            drain_timeout_s=drain_timeout_s,
        )
        chosen: dict[str, Any] = {"listen": f"unix:{self.folder}/socket", "sync": 0.01}
        service = build(Settings(**{**chosen, **settings}), host)
        self.latest = service
        service.privilegedStartService()
        service.startService()
        return service

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"tsdaemon_hash_{name}")

    async def until(self, condition: Any) -> None:
        for _ in range(2000):
            if condition():
                return
            await deferLater(self.reactor, 0.005)
        raise AssertionError("not true in time")


class Client:
    """One connection, whose replies are awaited without blocking the reactor."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(f"{place.folder}/socket")
        self._socket.setblocking(False)

    async def ask(self, method: str, target: str, body: bytes = b"", fields: bytes = b"") -> bytes:
        head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
        self._socket.sendall(head.encode() + fields + b"\r\n" + body)
        return await self.read()

    async def post(self, password: bytes = b"x") -> bytes:
        return await self.ask("POST", "/hash", b"password=" + password, FORM)

    async def read(self) -> bytes:
        found: list[bytes] = []

        def received() -> bool:
            try:
                found.append(self._socket.recv(1 << 16))
            except BlockingIOError:
                return False
            return True

        await self._place.until(received)
        return found[0]

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def place(reactor: Any) -> Iterator[Place]:
    with TemporaryDirectory(prefix="tsdaemon-") as folder:
        yield Place(reactor, Path(folder))


def test_the_limits_are_those_of_all_services_but_for_the_body():
    assert Settings().limits() == Limits(body_bytes=512 * 1024)


@pytest_twisted.ensureDeferred
async def test_it_stops_at_once_when_nothing_is_pending(place):
    service = place.start(delay=0)
    client = Client(place)
    assert (await client.post()).endswith(b"\r\n\r\n1")
    await service.stopService()
    assert await client.read() == b""
    assert not (place.folder / FOLDER_NAME).exists()
    client.close()


@pytest_twisted.ensureDeferred
async def test_a_stop_lets_what_is_pending_be_read_and_takes_nothing_new(place):
    service = place.start(delay=0.5, linger=0.3)
    reader, idle = Client(place), Client(place)
    await reader.post()
    stopped = service.stopService()
    await place.until(lambda: not (place.folder / "socket").exists())
    early = await reader.ask("GET", "/hash/1")
    assert early.startswith(b"HTTP/1.1 202 ")
    assert b"Connection: close" not in early
    refused = await idle.post()
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"Connection: close" in refused
    assert "1 jobs not ready" in service.unfinished()
    late = await reader.ask("GET", "/hash/1", fields=b"Prefer: wait=5\r\n")
    assert late.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in late
    await stopped
    for client in (reader, idle):
        client.close()


class Stop:
    """A service that is being stopped, time in the test's hand."""

    def __init__(self, tmp_path: Path, delay: float, linger: float) -> None:
        self.clock: Any = MemoryReactorClock()
        self.service = build(
            Settings(listen="tcp:8080", delay=delay, linger=linger),
            Host(
                self.clock,
                StateFolder(tmp_path),
                Health("hash"),
                lambda _: None,
                now=lambda: 1_000_000_000_000 + round(self.clock.seconds() * 1e6),
            ),
        )
        self.service.privilegedStartService()
        self.service.startService()
        self.clients = [self.connect() for _ in range(2)]
        self.ask(0, b"POST /hash", FORM + b"Content-Length: 10\r\n", b"password=a")
        self.stopped = self.service.stopService()

    @property
    def has_ended(self) -> bool:
        return bool(self.stopped.called)

    def connect(self) -> Any:
        protocol = self.service.port.factory.buildProtocol(None)
        address = IPv4Address("TCP", "127.0.0.1", 5)
        protocol.makeConnection(StringTransport(hostAddress=address, peerAddress=address))
        return protocol

    def ask(self, at: int, line: bytes, fields: bytes = b"", body: bytes = b"") -> bytes:
        client = self.clients[at]
        client.transport.clear()
        client.dataReceived(line + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + body)
        return bytes(client.transport.value())

    def hang_up(self, at: int) -> None:
        self.clients[at].connectionLost(Failure(ConnectionDone()))

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))


def test_who_has_been_silent_can_read_the_last_job_until_linger_is_over(tmp_path):
    stop = Stop(tmp_path, delay=5, linger=10)
    stop.pass_time(14)
    assert not stop.has_ended
    reply = stop.ask(0, b"GET /hash/1")
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in reply
    stop.hang_up(0)
    stop.pass_time(0.9)
    assert not stop.has_ended
    stop.pass_time(0.5)
    assert stop.clients[1].transport.disconnecting
    stop.hang_up(1)
    assert stop.has_ended


def test_a_stop_waits_for_nobody_once_the_last_client_has_gone(tmp_path):
    stop = Stop(tmp_path, delay=5, linger=600)
    stop.pass_time(6)
    stop.hang_up(0)
    stop.pass_time(6)
    assert not stop.has_ended
    stop.hang_up(1)
    stop.pass_time(0.2)
    assert stop.has_ended


@pytest_twisted.ensureDeferred
async def test_times_longer_than_a_stop_may_take_are_warned_about_once(place):
    for settings, warnings in [
        ({"delay": 20, "linger": 10}, 0),
        ({"delay": 20, "linger": 11}, 1),
        ({"delay": 31, "linger": 0}, 1),
    ]:
        with capturedLogs() as events:
            service = place.start(drain_timeout_s=30, **settings)
            await service.stopService()
        found = [e["log_format"] for e in events if e["log_level"].name == "warn"]
        assert len(found) == warnings
        assert all("hash.delay" in each and "drain_timeout" in each for each in found)


@pytest_twisted.ensureDeferred
async def test_kept_jobs_that_take_too_long_are_left_to_the_next_start(place):
    service = place.start(keep=True, delay=600, drain_timeout_s=0.5)
    client = Client(place)
    await client.post()
    assert "1 jobs not ready (kept for the next start)" in service.unfinished()
    with capturedLogs() as events:
        await service.stopService()
    assert any("kept for the next start" in event["log_format"] for event in events)
    client.close()
    folder = place.folder / FOLDER_NAME
    files = RingFiles(folder, Shape(DIGEST_BYTES, CAPACITY), boot_id())
    assert [files.read(*each).state for each in files.paths()] == [State.CLOSED]
    service = place.start(keep=True, delay=0.1, drain_timeout_s=0.5)
    client = Client(place)
    assert (await client.ask("GET", "/hash/1")).startswith(b"HTTP/1.1 202 ")
    await service.stopService()
    client.close()


@pytest_twisted.ensureDeferred
async def test_an_evicted_job_stays_evicted_after_a_start_with_more_room(place):
    service = place.start(keep=True, delay=0, capacity=2)
    client = Client(place)
    for _ in range(5):
        await client.post()
    await service.stopService()
    client.close()
    service = place.start(keep=True, delay=0, capacity=100)
    client = Client(place)
    for number, status in [(1, 410), (3, 410), (4, 200), (5, 200), (6, 404)]:
        reply = await client.ask("GET", f"/hash/{number}")
        assert reply.startswith(b"HTTP/1.1 %d " % status)
    await service.stopService()
    client.close()


@pytest_twisted.ensureDeferred
async def test_shutdown_closes_the_port_before_it_answers_and_stops_the_daemon_once(place):
    service = place.start(delay=0.1, linger=0)
    first, second = Client(place), Client(place)
    await first.post()
    assert (await first.ask("POST", "/shutdown")).endswith(b'{"state":"draining","pending":1}')
    assert not (place.folder / "socket").exists()
    assert place.reasons == ["POST /shutdown"]
    assert (await second.ask("POST", "/shutdown")).startswith(b"HTTP/1.1 200 ")
    assert place.reasons == ["POST /shutdown"]
    await service.stopService()
    for client in (first, second):
        client.close()


@pytest_twisted.ensureDeferred
async def test_jobs_that_are_kept_survive_with_their_times(place):
    service = place.start(keep=True, delay=0.2)
    client = Client(place)
    await client.post(b"angryMonkey")
    await service.stopService()
    client.close()
    files = list((place.folder / FOLDER_NAME).iterdir())
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    service = place.start(keep=True, delay=0.2, linger=0)
    client = Client(place)
    reply = await client.ask("GET", "/hash/1")
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b"ZEHhWB65gUlzdVwtDQArEyx" in reply
    assert (await client.post()).endswith(b"\r\n\r\n2")
    assert place.metric("jobs_total") == 1
    assert (place.metric("ready_jobs") or 0) + (place.metric("pending_jobs") or 0) == 2
    assert place.metric("evicted_jobs_total") == 0
    assert place.metric("refused_jobs_total") == 0
    assert place.metric("waiters") == 0
    assert place.metric("idempotency_keys") == 0
    assert place.metric("work_seconds_count") == 1
    await service.stopService()
    client.close()


@pytest_twisted.ensureDeferred
async def test_a_full_disk_degrades_and_recovers(place):
    with full_disk():
        service = place.start(keep=True, delay=0)
        client = Client(place)
        assert (await client.post()).endswith(b"\r\n\r\n1")
        await place.until(lambda: place.health.why)
        assert (await client.ask("GET", "/hash/1")).startswith(b"HTTP/1.1 200 ")
    await place.until(lambda: place.health.why is None)
    client.close()
    await service.stopService()
    assert place.health.why is None


@pytest_twisted.ensureDeferred
async def test_what_is_damaged_is_told(place):
    await place.start(keep=True).stopService()
    (place.folder / FOLDER_NAME / "0000000000-1.ring").write_text("hello")
    service = place.start(keep=True)
    assert "aside-1" in str(place.health.why)
    await service.stopService()


@pytest_twisted.ensureDeferred
async def test_a_newer_format_stops_the_start(place):
    service = place.start(keep=True, delay=0)
    client = Client(place)
    await client.post()
    client.close()
    await service.stopService()
    (path,) = (place.folder / FOLDER_NAME).iterdir()
    with path.open("r+b") as file:
        file.seek(8)
        file.write(struct.pack("=q", 99))
    with pytest.raises(StartError, match="format 99"):
        place.start(keep=True)
    assert place.latest is not None
    await place.latest.port.stopService()
