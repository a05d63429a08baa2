"""Callbacks, posted to real sockets whose other side does as the test says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, capturedLogs

from daemon.objectsource.sender import Sender

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
NEVER_S = 3_600.0


@pytest.fixture
def reactor() -> Any:
    """The real reactor."""
    from twisted.internet import reactor as installed

    return installed


class Receiver(Protocol):
    """Reads whole requests, and does with each what it is told."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.received = b""

    def connectionMade(self) -> None:
        self.server.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if end and len(body) == length_of(head):
            self.received = b""
            self.server.requests.append((head, body))
            self.server.act(self.transport)
            self.server.arrived()

    def connectionLost(self, *_: object) -> None:
        self.server.lost(self)


def length_of(head: bytes) -> int:
    (length,) = [
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    ]
    return length


class Server(Factory):
    """The other side.

    :param act: what is done with the connection when a request has come.
    """

    noisy = False

    def __init__(self, act: Callable[[Any], object]) -> None:
        self.act = act
        self.requests: list[tuple[bytes, bytes]] = []
        self.connections: list[Receiver] = []
        self.accepted = 0
        self.ended: Deferred[None] = Deferred()
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def buildProtocol(self, addr: object) -> Receiver:  # noqa: ARG002
        return Receiver(self)

    def when_arrived(self, count: int) -> Deferred[None]:
        """Give a Deferred that fires when so many requests have come."""
        waiter: Deferred[None] = Deferred()
        self._waiting.append((count, waiter))
        return waiter

    def lost(self, connection: Receiver) -> None:
        self.connections.remove(connection)
        self.accepted += 1
        if not self.connections:
            ended, self.ended = self.ended, Deferred()
            ended.callback(None)

    def arrived(self) -> None:
        for count, waiter in self._waiting:
            if len(self.requests) == count:
                waiter.callback(None)


def said(events: Any) -> list[LogEvent]:
    """Give what the sender has logged."""
    return [
        event for event in events if event["log_namespace"] == "daemon.objectsource.sender.Sender"
    ]


@asynccontextmanager
async def sending(
    reactor: Any, act: Callable[[Any], object], **how: Any
) -> AsyncIterator[tuple[Server, Sender]]:
    """Give a server and a sender that posts nothing by itself unless told to."""
    server = Server(act)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(server)
    url = f"http://127.0.0.1:{port.getHost().port}/callback"
    how = {"period_s": NEVER_S, "patience_s": 30.0} | how
    sender = Sender(reactor, url, lambda: [7, 7, 8], **how)
    sender.startService()
    try:
        yield server, sender
    finally:
        await sender.stopService()
        await port.stopListening()
        if server.connections:
            await server.ended


async def outcome_of(reactor: Any, act: Callable[[Any], object], **how: Any) -> tuple[str, str]:
    """Post one callback; give what it came to, and the line of the log."""
    async with sending(reactor, act, **how) as (_, sender):
        with capturedLogs() as events:
            await sender.post([1, 2, 3])
        ((outcome, count),) = sender.outcomes.items()
    assert count == 1
    (event,) = said(events)
    line: str = event["log_format"].format(**event)
    assert line.startswith("callback of 3 ids: ")
    return outcome, line


@pytest_twisted.ensureDeferred
async def test_a_callback_is_json_and_its_204_is_told_with_its_time(reactor):
    async with sending(reactor, lambda out: out.write(NO_CONTENT)) as (server, sender):
        with capturedLogs() as events:
            await sender.post([3, -1, 3])
        ((head, body),) = server.requests
    assert head.startswith(b"POST /callback HTTP/1.1\r\n")
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body) == {"object_ids": [3, -1, 3]}
    assert sender.outcomes == {"204": 1}
    (event,) = said(events)
    assert event["log_level"].name == "info"
    assert (event["ids"], event["status"], event["elapsed_ms"] > 0) == (3, 204, True)


@pytest_twisted.ensureDeferred
async def test_a_connection_is_kept_for_the_next_callback(reactor):
    async with sending(reactor, lambda out: out.write(NO_CONTENT)) as (server, sender):
        for _ in range(3):
            await sender.post([])
        assert len(server.requests) == 3
        assert len(server.connections) == 1
    assert server.accepted == 1


@pytest_twisted.ensureDeferred
async def test_callbacks_are_posted_again_and_again(reactor):
    async with sending(reactor, lambda out: out.write(NO_CONTENT), period_s=0) as (server, sender):
        await server.when_arrived(3)
    assert sender.outcomes["204"] >= 2
    assert [json.loads(body)["object_ids"] for _, body in server.requests[:3]] == [[7, 7, 8]] * 3


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno", "400"),
        (b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", "503"),
        (b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", "302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_any_other_answer_is_told_by_its_status(reactor, answer, outcome):
    told, line = await outcome_of(reactor, lambda out: out.write(answer))
    assert told == outcome
    assert f"answered {outcome}" in line


@pytest_twisted.ensureDeferred
async def test_an_answer_that_ends_with_its_connection_is_one(reactor):
    def answer(out: Any) -> None:
        out.write(b"HTTP/1.0 200 OK\r\n\r\nwell")
        out.loseConnection()

    assert (await outcome_of(reactor, answer))[0] == "200"


@pytest.mark.parametrize(
    "begun",
    [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["nothing", "half a head", "half a body"],
)
@pytest_twisted.ensureDeferred
async def test_an_exchange_that_takes_too_long_is_given_up_and_its_connection_ended(reactor, begun):
    """The server's side of the connection ends as well, or this test would not."""
    outcome, line = await outcome_of(reactor, lambda out: out.write(begun), patience_s=0.05)
    assert outcome == "gave up"
    assert "no whole answer within 0.05 s" in line


@pytest.mark.parametrize(
    "begun",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["nothing", "half a body"],
)
@pytest_twisted.ensureDeferred
async def test_a_connection_that_breaks_is_told_and_nothing_is_posted_twice(reactor, begun):
    def answer(out: Any) -> None:
        out.write(begun)
        out.loseConnection()

    async with sending(reactor, answer) as (server, sender):
        await sender.post([1])
        await deferLater(reactor, 0.01)
        assert len(server.requests) == 1
    assert sender.outcomes == {"broken": 1}


@pytest_twisted.ensureDeferred
async def test_nobody_listening_is_told(reactor):
    async with sending(reactor, lambda _: None) as (server, sender):
        pass
    sender.startService()
    with capturedLogs() as events:
        await sender.post([1])
    await sender.stopService()
    assert sender.outcomes == {"refused": 1}
    assert server.requests == []
    assert [event["why"] for event in said(events)] == ["nobody listens there"]


@pytest_twisted.ensureDeferred
async def test_a_stop_breaks_off_what_is_under_way_and_says_nothing_of_it(reactor):
    with capturedLogs() as events:
        async with sending(reactor, lambda _: None, period_s=0) as (server, sender):
            await server.when_arrived(1)
    assert sender.outcomes == {}
    assert said(events) == []


@pytest_twisted.ensureDeferred
async def test_a_bug_that_ends_the_posting_is_logged(reactor):
    sender = Sender(reactor, "http://127.0.0.1:1/", lambda: [1] * "x", period_s=0)  # type: ignore[operator]  # the bug
    with capturedLogs() as events:
        sender.startService()
        await deferLater(reactor, 0.02)
    await sender.stopService()
    (event,) = said(events)
    assert "no more callbacks" in event["log_format"]
