"""Servers whose every byte a test decides, on loopback, and clients that ask them."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from daemon.http.client import Client, client_for
from daemon.http.client_treq import TreqClient
from daemon.http.source_url import parse_source_url
from daemon.resolving import Resolve, resolve

POOL, TREQ = "pool", "treq"

Script = Callable[["Asked"], None]


class Asked:
    """A request that has come.

    :ivar number: how many came before it on its connection.
    """

    def __init__(self, connection: SourceConnection, head: bytes, number: int) -> None:
        self.connection = connection
        self.head = head
        self.number = number

    @property
    def path(self) -> str:
        """What is asked for."""
        return self.head.split(b" ")[1].decode()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.connection.transport.write(data)

    def end(self) -> None:
        """Close the connection in good order."""
        self.connection.transport.loseConnection()

    def reset(self) -> None:
        """Break the connection off."""
        self.connection.transport.abortConnection()


class SourceConnection(Protocol):
    """One connection of a client."""

    transport: Any

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = b""
        self._count = 0

    def connectionMade(self) -> None:
        self._source.made += 1
        self._source.open.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self._source.open.discard(self)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            asked = Asked(self, head, self._count)
            self._count += 1
            self._source.asked.append(asked)
            self._source.script(asked)


class Source(Factory):
    """Does what a script says with each request.

    :ivar made: how many connections there have been.
    :ivar open: those that are open.
    :ivar asked: all requests so far.
    """

    noisy = False

    def __init__(self, script: Script) -> None:
        self.script = script
        self.made = 0
        self.open: set[SourceConnection] = set()
        self.asked: list[Asked] = []

    def buildProtocol(self, addr: Any) -> SourceConnection:  # noqa: ARG002
        return SourceConnection(self)


def answer(body: bytes = b"yes", status: str = "200 OK", *fields: str) -> bytes:
    """Write an answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def says(data: bytes, *, then_ends: bool = False) -> Script:
    """Give a script that sends the same bytes for each request."""

    def script(asked: Asked) -> None:
        asked.send(data)
        if then_ends:
            asked.end()

    return script


def silent(asked: Asked) -> None:
    """Answer nothing."""


def client_of(
    reactor: Any,
    kind: str,
    url: str,
    *,
    connections: int = 10,
    timeout_s: float = 10.0,
    body_bytes: int = 65536,
    resolve: Resolve = resolve,
) -> Client:
    """Give a client of a kind for a source."""
    if kind == TREQ:
        return TreqClient(
            parse_source_url(url),
            reactor,
            connections=connections,
            timeout_s=timeout_s,
            body_bytes=body_bytes,
            resolve=resolve,
        )
    return client_for(
        url,
        reactor,
        connections=connections,
        timeout_s=timeout_s,
        body_bytes=body_bytes,
        resolve=resolve,
    )


@asynccontextmanager
async def asking(
    reactor: Any,
    kind: str,
    script: Script,
    *,
    endpoint: str = "tcp:0:interface=127.0.0.1",
    url: str = "http://127.0.0.1:{port}",
    **limits: Any,
) -> AsyncIterator[tuple[Source, Client]]:
    """Serve; gives the source and a client of it. Nothing may be left, or logged as a failure."""
    source = Source(script)
    with capturedLogs() as events:
        port = await serverFromString(reactor, endpoint).listen(source)
        client = client_of(reactor, kind, url.format(port=port.getHost().port), **limits)
        try:
            yield source, client
        finally:
            await client.close()
            for connection in list(source.open):
                connection.transport.abortConnection()
            await eventually(reactor, lambda: not source.open)
            await port.stopListening()
        gc.collect()
    failures = [event["log_failure"] for event in events if "log_failure" in event]
    assert failures == []


async def eventually(reactor: Any, condition: Callable[[], bool]) -> None:
    """Let the reactor run until a condition holds; fail after 10 s or so."""
    for _ in range(5_000):
        if condition():
            return
        await deferLater(reactor, 0.002)
    pytest.fail("the condition never came true")


async def failure_of(deferred: Deferred[Any]) -> BaseException:
    """Give what a Deferred fails with."""
    try:
        result = await deferred
    except BaseException as error:  # noqa: BLE001
        return error
    pytest.fail(f"it did not fail, but gave {result!r}")
