"""What the pool finds on a kept connection before the reactor does."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from daemon.http.client import Answer, Client
from tests.http.sources import POOL, answer, client_of


class Server:
    """A server that does nothing by itself."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.setblocking(False)
        self.connections: list[socket.socket] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    async def next_connection(self) -> socket.socket:
        """Accept."""
        while True:
            try:
                connection, _ = self.listening.accept()
            except BlockingIOError:
                await deferLater(self._reactor, 0.001)
            else:
                connection.setblocking(False)
                self.connections.append(connection)
                return connection

    async def request_on(self, connection: socket.socket) -> bytes:
        """Read what has been sent."""
        while True:
            try:
                return connection.recv(10_000)
            except BlockingIOError:
                await deferLater(self._reactor, 0.001)


@asynccontextmanager
async def kept(reactor: Any) -> AsyncIterator[tuple[Server, Client, socket.socket]]:
    """Give a server, its client, and a connection on which one request has been answered."""
    server = Server(reactor)
    client = client_of(reactor, POOL, server.url)
    try:
        get = client.get(b"/first")
        connection = await server.next_connection()
        assert await server.request_on(connection)
        connection.sendall(answer(b"first"))
        assert (await get).body == b"first"
        await deferLater(reactor, 0)
        yield server, client, connection
    finally:
        await client.close()
        for each in [*server.connections, server.listening]:
            each.close()


@pytest.mark.parametrize("surprise", ["an answer", "its end", "a reset"])
@pytest_twisted.ensureDeferred
async def test_a_kept_connection_is_not_used_when_something_has_come_on_it(reactor, surprise):
    """In the same turn of the reactor: it could not have told of it yet."""
    async with kept(reactor) as (server, client, connection):
        match surprise:
            case "an answer":
                connection.sendall(answer(b"evil"))
            case "its end":
                connection.shutdown(socket.SHUT_WR)
            case "a reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.close()
        get = client.get(b"/second")
        fresh = await server.next_connection()
        assert (await server.request_on(fresh)).startswith(b"GET /second ")
        fresh.sendall(answer(b"second"))
        assert (await get).body == b"second"
        if surprise != "a reset":
            with pytest.raises(ConnectionResetError):
                await server.request_on(connection)


@pytest.mark.parametrize("remembered", [False, True])
@pytest_twisted.ensureDeferred
async def test_what_comes_behind_an_answer_that_fills_a_read_is_seen(reactor, remembered):
    """The rest is in the socket still when the answer is whole and its caller asks again."""
    async with kept(reactor) as (server, client, connection):
        start = b"HTTP/1.1 200 OK\r\nContent-Length: 65000\r\nX: %b\r\n\r\n"
        full = start % (b"x" * (65536 - 65000 - len(start) + 2)) + b"y" * 65000
        assert len(full) == 65536
        again: list[Deferred[Answer]] = []

        def ask(got: Answer) -> Answer:
            again.append(client.get(b"/again"))
            return got

        connection.setblocking(True)
        if remembered:
            get = client.get(b"/before")
            assert await server.request_on(connection)
            connection.sendall(full)
            assert (await get).body == b"y" * 65000
            await deferLater(reactor, 0)
        get = client.get(b"/big").addCallback(ask)
        assert (await server.request_on(connection)).startswith(b"GET /big ")
        connection.sendall(full + answer(b"evil"))
        assert (await get).body == b"y" * 65000
        fresh = await server.next_connection()
        assert (await server.request_on(fresh)).startswith(b"GET /again ")
        fresh.sendall(answer(b"good"))
        assert (await again[0]).body == b"good"


@pytest_twisted.ensureDeferred
async def test_a_request_that_the_socket_does_not_take_at_once_is_sent_whole(reactor):
    async with kept(reactor) as (server, client, connection):
        path = b"/" + b"x" * 8_000_000
        get = client.get(path)
        received = b""
        while not received.endswith(b"\r\n\r\n"):
            try:
                received += connection.recv(1 << 20)
            except BlockingIOError:
                await deferLater(reactor, 0)
        assert received.startswith(b"GET " + path + b" HTTP/1.1\r\n")
        connection.sendall(answer(b"long"))
        assert (await get).body == b"long"
        assert len(server.connections) == 1


@pytest_twisted.ensureDeferred
async def test_an_answer_before_the_request_is_sent_ends_the_connection(reactor):
    async with kept(reactor) as (server, client, connection):
        get = client.get(b"/" + b"x" * 8_000_000)
        connection.sendall(answer(b"too long", "414 URI Too Long"))
        assert (await get).status == 414
        get = client.get(b"/next")
        fresh = await server.next_connection()
        assert await server.request_on(fresh)
        fresh.sendall(answer(b"next"))
        assert (await get).body == b"next"
