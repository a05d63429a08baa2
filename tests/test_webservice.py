"""What the HTTP services share: settings, a port, what is said about it, and how it stops."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
import pytest_twisted
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, capturedLogs

from daemon.health import Health
from daemon.http.limits import Limits, plain_text
from daemon.plugin import Host, StartError
from daemon.state import StateFolder
from daemon.tokens import Tokens
from daemon.webservice import HTTPSettings, WebPort

LOOPBACK = "tcp:0:interface=127.0.0.1"
EVERYWHERE = "tcp:0:interface=0.0.0.0"


@pytest.fixture
def reactor() -> Any:
    """The real reactor."""
    from twisted.internet import reactor as installed

    return installed


def application() -> tuple[Klein, list[Deferred[bytes]]]:
    """Make an application whose replies come when the test says so."""
    app = Klein()
    waiting: list[Deferred[bytes]] = []

    @app.route("/")
    def answer(request: Any) -> Deferred[bytes]:  # noqa: ARG001
        reply: Deferred[bytes] = Deferred()
        waiting.append(reply)
        return reply

    return app, waiting


@contextmanager
def web_port(
    reactor: Any,
    listen: str,
    folder: Path,
    *,
    app: Klein | None = None,
    tokens: Tokens | None = None,
    changes_something: bool = True,
    **settings: Any,
) -> Iterator[WebPort]:
    """Build a port, not yet started."""
    host = Host(
        reactor,
        StateFolder(folder),
        Health("fruit"),
        lambda _: None,
        tokens=tokens or Tokens(),
    )
    yield WebPort(
        app or Klein(),
        HTTPSettings(listen=listen, **settings),
        host,
        plain_text,
        changes_something=changes_something,
    )


def warnings(events: Any) -> list[LogEvent]:
    """Give what was logged as a warning."""
    return [event for event in events if event["log_level"].name == "warn"]


async def warnings_at_start(reactor: Any, listen: str, folder: Path, **how: Any) -> list[LogEvent]:
    """Start and stop a port; give the warnings."""
    with web_port(reactor, listen, folder, **how) as port, capturedLogs() as events:
        port.privilegedStartService()
        port.startService()
        await port.stopService()
    return warnings(events)


def test_limits_come_from_the_settings():
    settings = HTTPSettings(
        max_connections=1,
        max_body=2,
        max_header=300,
        max_header_fields=4,
        max_target=50,
        header_timeout=6.5,
        body_timeout=7.5,
        idle_timeout=8.5,
    )
    assert settings.limits() == Limits(
        connections=1,
        body_bytes=2,
        header_bytes=300,
        header_fields=4,
        target_bytes=50,
        header_s=6.5,
        body_s=7.5,
        idle_s=8.5,
    )


def test_the_defaults_are_those_of_the_server():
    assert HTTPSettings().limits() == Limits()
    assert len(msgspec.structs.fields(HTTPSettings)) == len(fields(Limits)) + 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", 0),
        ("max_body", -1),
        ("max_header", 255),
        ("max_header_fields", 0),
        ("max_target", 15),
        ("header_timeout", 0),
        ("body_timeout", 0),
        ("idle_timeout", 86_401),
    ],
)
def test_settings_of_no_use_are_refused(name, value):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({name: value}, HTTPSettings)


@pytest_twisted.ensureDeferred
async def test_a_port_that_is_open_to_all_and_to_changes_is_warned_about(reactor, tmp_path):
    (event,) = await warnings_at_start(reactor, EVERYWHERE, tmp_path)
    assert event["listen"] == EVERYWHERE
    assert "auth.tokens_file" in event["log_format"]


@pytest_twisted.ensureDeferred
async def test_nobody_is_warned_about_what_is_safe(reactor, tmp_path):
    tokens = Tokens(tmp_path / "tokens")
    assert await warnings_at_start(reactor, LOOPBACK, tmp_path) == []
    assert await warnings_at_start(reactor, EVERYWHERE, tmp_path, tokens=tokens) == []
    assert await warnings_at_start(reactor, EVERYWHERE, tmp_path, changes_something=False) == []
    with TemporaryDirectory(prefix="tsdaemon-") as folder:
        assert await warnings_at_start(reactor, f"unix:{folder}/socket", tmp_path) == []


@pytest_twisted.ensureDeferred
async def test_more_connections_than_files_are_warned_about(reactor, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
    try:
        (event,) = await warnings_at_start(reactor, LOOPBACK, tmp_path, max_connections=490)
        assert await warnings_at_start(reactor, LOOPBACK, tmp_path, max_connections=200) == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (event["connections"], event["descriptors"]) == (490, 500)


def test_a_port_that_is_taken_stops_the_start(reactor, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        with (
            web_port(reactor, listen, tmp_path) as port,
            pytest.raises(StartError, match=f"cannot listen on {listen}: "),
        ):
            port.privilegedStartService()
        assert not list(tmp_path.iterdir())


@pytest_twisted.ensureDeferred
async def test_a_stop_waits_for_what_was_asked_and_takes_nobody_new(reactor, tmp_path):
    app, waiting = application()
    with TemporaryDirectory(prefix="tsdaemon-") as folder:
        path = f"{folder}/socket"
        with web_port(reactor, f"unix:{path}", tmp_path, app=app) as port:
            port.privilegedStartService()
            port.startService()
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            while not waiting:
                await deferLater(reactor, 0.001)
            assert port.unfinished() == "the replies to 1 connections"
            stopped = port.stopService()
            await deferLater(reactor, 0.01)
            with socket.socket(socket.AF_UNIX) as late, pytest.raises(FileNotFoundError):
                late.connect(path)
            assert not stopped.called
            waiting[0].callback(b"late")
            await stopped
            reply = client.recv(1 << 16)
            assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Connection: close\r\n" in reply
            assert reply.endswith(b"\r\n\r\nlate")
            client.close()
