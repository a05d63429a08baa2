"""The number server in this process: real reactor, real threads, real sockets."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, capturedLogs

from daemon.health import Health
from daemon.numbers import recorder
from daemon.numbers.service import NumberServer, Settings, build
from daemon.plugin import Host, IDraining, StartError
from daemon.state import StateFolder


@dataclass
class House:
    """A number server on a unix socket, and what it says to the daemon."""

    folder: Path
    reactor: Any
    health: Health = field(default_factory=lambda: Health("numbers"))
    stop_reasons: list[str] = field(default_factory=list)

    def build(self, **settings: Any) -> NumberServer:
        host = Host(self.reactor, StateFolder(self.folder), self.health, self.stop_reasons.append)
        given = {"listen": f"unix:{self.folder / 'socket'}", "log": str(self.log)} | settings
        return build(Settings(**given), host)

    @property
    def log(self) -> Path:
        return self.folder / "numbers.log"

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect(str(self.folder / "socket"))
        return client

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the reactor run until a condition holds; fail after 10 s or so."""
        for _ in range(10_000):
            if condition():
                return
            await deferLater(self.reactor, 0.001)
        pytest.fail("the condition never came true")

    async def closed(self, client: socket.socket) -> None:
        """Wait until the server has closed a connection, without a byte."""

        def at_end() -> bool:
            try:
                assert client.recv(1) == b""
            except BlockingIOError:
                return False
            except ConnectionResetError:
                return True
            return True

        await self.until(at_end)
        client.close()


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """Run a number server, and stop it at the end."""
    from twisted.internet import reactor

    house = House(folder, reactor)
    server = house.build(**settings)
    server.privilegedStartService()
    server.startService()
    try:
        yield house
    finally:
        await server.stopService()


def reports(events: Sequence[LogEvent]) -> list[str]:
    return [event["report"] for event in events if "report" in event]


@pytest_twisted.ensureDeferred
async def test_numbers_are_recorded_and_terminate_reaches_the_daemon(tmp_path):
    async with running(tmp_path) as house:
        one, two = house.connect(), house.connect()
        one.send(b"000000007\n000000007\n")
        await house.until(lambda: house.lines() == ["7"])
        two.send(b"000000008\nterminate\n")
        await house.closed(two)
        await house.closed(one)
        assert len(house.stop_reasons) == 1
    assert house.lines() == ["7", "8"]


@pytest_twisted.ensureDeferred
async def test_a_stop_records_what_was_sent_and_logs_the_rest_of_the_report(tmp_path):
    with capturedLogs() as events:
        async with running(tmp_path) as house:
            client = house.connect()
            client.send(b"000000001\n")
            await house.until(lambda: house.lines() == ["1"])
            client.send(b"000000002\n00000")
    client.close()
    assert house.lines() == ["1", "2"]
    assert reports(events) == ["Received 2 unique numbers, 0 duplicates. Unique total: 2"]


@pytest_twisted.ensureDeferred
async def test_everything_received_from_others_before_terminate_is_recorded(tmp_path):
    numbers = b"".join(b"%09d\n" % n for n in range(20_000))
    async with running(tmp_path) as house:
        sender, stopper = house.connect(), house.connect()
        sender.setblocking(True)
        sender.sendall(numbers[: 64 * 1024 // 10 * 10])  # lies in the system's buffer
        stopper.send(b"terminate\n")
        await house.closed(stopper)
        sender.close()
    assert len(house.lines()) == 64 * 1024 // 10


@pytest_twisted.ensureDeferred
async def test_only_local_clients_or_anyone_may_terminate_as_the_setting_says(tmp_path):
    async with running(tmp_path, terminate_from="anyone") as house:
        client = house.connect()
        client.send(b"terminate\n")
        await house.closed(client)
        assert house.stop_reasons


@pytest_twisted.ensureDeferred
async def test_a_client_that_hung_up_makes_room_at_once_and_what_it_sent_counts(tmp_path):
    async with running(tmp_path, clients=1) as house:
        for number in range(50):
            client = house.connect()
            client.send(b"%09d\n" % number)
            client.close()
        await house.until(lambda: len(house.lines()) == 50)
        kept, refused = house.connect(), house.connect()
        await house.closed(refused)
        kept.close()


@pytest_twisted.ensureDeferred
async def test_floods_are_held_back_and_recorded_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder, "FULL", 1000)  # each read of a flood fills it
    block = b"".join(b"%09d\n" % n for n in range(100_000))
    async with running(tmp_path) as house:
        clients = [house.connect() for _ in range(5)]
        left = dict.fromkeys(clients, block)

        def all_sent() -> bool:
            for client, data in left.items():
                try:
                    left[client] = data[client.send(data[: 1 << 18]) :] if data else b""
                except BlockingIOError:
                    continue
            return not any(left.values())

        await house.until(all_sent)
        for client in clients:
            client.close()
    assert sorted(map(int, house.lines())) == list(range(100_000))


@pytest_twisted.ensureDeferred
async def test_a_full_disk_ends_the_senders_and_passes(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with running(tmp_path) as house:
        idle, sender = house.connect(), house.connect()
        sender.send(b"000000001\n")
        await house.until(lambda: house.lines() == ["1"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (3, hard))
        try:
            sender.send(b"000000022\n")
            await house.closed(sender)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "cannot write" in (house.health.why or "")
        assert house.lines() == ["1"]
        idle.send(b"000000022\n")
        await house.until(lambda: house.lines() == ["1", "22"])
        await house.until(lambda: house.health.why is None)
        idle.close()


@pytest_twisted.ensureDeferred
async def test_a_disk_that_refuses_to_sync_is_told_and_nothing_later_makes_up_for_it(
    tmp_path, monkeypatch
):
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    async with running(tmp_path) as house:
        client = house.connect()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", refuse)
            client.send(b"000000001\n")
            await house.until(lambda: "Input/output error" in (house.health.why or ""))
        client.send(b"000000002\n")
        await house.until(lambda: house.lines() == ["1", "2"])
        client.close()
    assert "numbers.log is not whole" in (house.health.why or "")


@pytest_twisted.ensureDeferred
async def test_a_log_that_someone_has_removed_is_told(tmp_path):
    async with running(tmp_path) as house:
        house.log.unlink()
        client = house.connect()
        client.send(b"000000001\n")
        await house.until(lambda: "someone has cut or removed it" in (house.health.why or ""))
        client.close()


@pytest_twisted.ensureDeferred
async def test_a_flood_of_invalid_lines_is_told_in_few(tmp_path):
    with capturedLogs() as events:
        async with running(tmp_path, report_interval=0.1) as house:
            for _ in range(5):
                clients = [house.connect() for _ in range(5)]
                for client in clients:
                    client.send(b"x")
                for client in clients:
                    await house.closed(client)
            await house.until(lambda: len(refused(events)) >= 25)
    assert len(refused(events)) == 25
    assert len([event for event in events if "line" in event]) <= 20


def refused(events: Sequence[LogEvent]) -> list[object]:
    """Give an element for each refusal that is told, by itself or with others."""
    each = [event["line"] for event in events if "line" in event]
    more = [None for event in events for _ in range(event.get("count", 0))]
    return [*each, *more]


@pytest_twisted.ensureDeferred
async def test_invalid_lines_since_the_last_report_are_told_at_the_end(tmp_path):
    with capturedLogs() as events:
        async with running(tmp_path) as house:
            for _ in range(12):
                client = house.connect()
                client.send(b"x")
                await house.closed(client)
    assert len(refused(events)) == 12


@pytest_twisted.ensureDeferred
async def test_the_disk_holds_everything_when_the_server_has_stopped(tmp_path, monkeypatch):
    synced: list[str] = []

    def sync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").read_text())

    monkeypatch.setattr(os, "fdatasync", sync)
    async with running(tmp_path) as house:
        client = house.connect()
        client.send(b"000000001\n000000002\n")
        await house.until(lambda: len(house.lines()) == 2)
        client.send(b"000000003\n")
        client.close()
    assert synced[-1] == "1\n2\n3\n"


@pytest_twisted.ensureDeferred
async def test_nobody_gets_in_once_the_end_has_begun(tmp_path):
    async with running(tmp_path) as house:
        first = house.connect()
        first.send(b"terminate\n")
        await house.closed(first)
        late = house.connect()
        late.send(b"000000001\n")
        await house.closed(late)
    assert house.lines() == []
    assert len(house.stop_reasons) == 1


@pytest_twisted.ensureDeferred
async def test_a_report_that_nobody_takes_is_logged_and_the_next_one_comes(tmp_path, monkeypatch):
    printed: list[str] = []

    def write(_descriptor: int, line: bytes) -> None:
        printed.append(line.decode().rstrip())
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("daemon.numbers.service.write", write)
    with capturedLogs() as events:
        async with running(tmp_path, report_interval=0.1) as house:
            await house.until(lambda: len(printed) >= 3)
    assert printed[0] == "Received 0 unique numbers, 0 duplicates. Unique total: 0"
    assert [event for event in events if "Broken pipe" in str(event.get("why"))]


def test_it_knows_what_a_stop_now_would_lose(tmp_path):
    from twisted.internet import reactor

    server = House(tmp_path, reactor).build()
    assert IDraining.providedBy(server)
    assert server.unfinished() == f"0 numbers received and not in {tmp_path / 'numbers.log'}"


def test_a_log_that_cannot_be_opened_stops_the_start(tmp_path):
    from twisted.internet import reactor

    server = House(tmp_path, reactor).build(log="/no/log")
    with pytest.raises(StartError, match=r"cannot open the log: .*No such file"):
        server.startService()
