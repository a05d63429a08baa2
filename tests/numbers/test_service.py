"""The number server in this process: real reactor, real threads, real sockets."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs

from daemon.health import Health
from daemon.numbers.service import NumberServer, Settings, build
from daemon.plugin import Host, IDraining, StartError
from daemon.state import StateFolder


@dataclass
class House:
    """A number server on a unix socket, and what it said to the daemon."""

    server: NumberServer
    health: Health
    path: Path
    log: Path
    reactor: object
    shut_down: list[str] = field(default_factory=list)

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect(str(self.path))
        return client

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the reactor run until a condition holds; fail after 10 s."""
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
async def running(tmp_path: Path, **settings: object) -> AsyncIterator[House]:
    from twisted.internet import reactor

    path, log, health = tmp_path / "socket", tmp_path / "numbers.log", Health("numbers")
    shut_down: list[str] = []
    host = Host(reactor, StateFolder(tmp_path / "state"), health, shut_down.append)
    server = build(Settings(listen=f"unix:{path}", log=str(log), **settings), host)
    server.privilegedStartService()
    server.startService()
    yield House(server, health, path, log, reactor, shut_down)
    await server.stopService()


def in_reactor(test: Callable[..., Awaitable[None]]) -> Callable[..., object]:
    return pytest_twisted.ensureDeferred(test)


@in_reactor
async def test_numbers_are_recorded_and_terminate_reaches_the_daemon(tmp_path):
    async with running(tmp_path) as house:
        one, two = house.connect(), house.connect()
        one.send(b"000000007\n000000007\n")
        await house.until(lambda: house.lines() == ["7"])
        two.send(b"000000008\nterminate\n")
        await house.closed(two)
        await house.closed(one)
        assert len(house.shut_down) == 1
    assert house.lines() == ["7", "8"]


@in_reactor
async def test_what_a_client_has_sent_is_recorded_by_a_stop_and_told_in_the_log(tmp_path):
    async with running(tmp_path) as house:
        client = house.connect()
        client.send(b"000000001\n")
        await house.until(lambda: house.lines() == ["1"])
        client.send(b"000000002\n00000")
        with capturedLogs() as events:
            await house.server.stopService()
        assert house.lines() == ["1", "2"]
        assert [event["report"] for event in events if "report" in event] == [
            "Received 2 unique numbers, 0 duplicates. Unique total: 2"
        ]
        client.close()
        await restart(house)


async def restart(house: House) -> None:
    """Start the server again, so that the end of the test can stop it."""
    house.server.__init__(  # type: ignore[misc]
        Settings(listen=f"unix:{house.path}", log=str(house.log)), house.server._host
    )
    house.server.privilegedStartService()
    house.server.startService()


@in_reactor
async def test_a_log_that_cannot_be_opened_stops_the_start(tmp_path):
    from twisted.internet import reactor

    host = Host(reactor, StateFolder(tmp_path), Health("numbers"), lambda _reason: None)
    server = build(Settings(listen=f"unix:{tmp_path / 's'}", log=str(tmp_path / "no" / "log")), host)
    server.privilegedStartService()
    with pytest.raises(StartError, match="cannot open the log: .*No such file"):
        server.startService()
    await server._port.stopService()
