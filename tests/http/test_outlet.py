"""The way out, over real sockets of each kind: large replies to slow readers, whole, in order."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import pytest_twisted
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, optionsForClientTLS
from twisted.internet.task import deferLater

from daemon.http.connection import Connection
from daemon.http.limits import Limits
from daemon.http.server import KleinFactory
from tests.certificates import write_self_signed
from tests.http.clients import get
from tests.http.responses import read_responses

SIZE = 16_000_000
"""More than sockets of any kind hold."""


class Answers:
    """An application whose replies have the size that is asked for.

    :ivar asked: the sizes so far.
    :ivar secure: whether the connections were encrypted.
    """

    app = Klein()

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.secure: set[bool] = set()

    @app.route("/<int:size>")
    def answer(self, request: Any, size: int) -> bytes:
        self.asked.append(size)
        self.secure.add(request.isSecure())
        request.setHeader("Content-Type", "text/plain")
        return body(size)


def body(size: int) -> bytes:
    """Give bytes in which no two places look alike."""
    return np.arange(size // 4 + 1, dtype=np.uint32).tobytes()[:size]


@asynccontextmanager
async def serving(reactor: Any, endpoint: str) -> AsyncIterator[tuple[Answers, Any]]:
    """Serve on an endpoint; gives the application and the port."""
    answers = Answers()
    factory = KleinFactory(answers.app, reactor, limits=Limits())
    port = await serverFromString(reactor, endpoint).listen(factory)
    try:
        yield answers, port
    finally:
        await port.stopListening()
        drained = factory.drain()
        await until(reactor, lambda: bool(drained.called))


class Reader(Protocol):
    """Collects what the server sends; reads when it is told to."""

    transport: Any

    def __init__(self) -> None:
        self.got = bytearray()
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002
        self.lost.callback(None)


async def connected(reactor: Any, client: socket.socket) -> Reader:
    """Hand a connected socket to the reactor."""
    reader = Reader()
    adopt(reactor, client, reader)
    return reader


def adopt(reactor: Any, client: socket.socket, reader: Protocol) -> None:
    """Have the reactor read a connected socket."""
    client.setblocking(False)
    reactor.adoptStreamConnection(client.fileno(), client.family, _factory(reader))
    client.close()


def _factory(reader: Protocol) -> Any:
    factory = Factory.forProtocol(lambda: reader)
    factory.noisy = False
    factory.doStart()
    return factory


async def until(reactor: Any, condition: Callable[[], bool]) -> None:
    """Let the reactor run until a condition holds; fail after 10 s or so."""
    for _ in range(2_000):
        if condition():
            return
        await deferLater(reactor, 0.005)
    pytest.fail("the condition never came true")


SIZES = [10, SIZE, 0, 300, SIZE // 2, 7]


async def ask_for_much_and_read_late(reactor: Any, reader: Reader, answers: Answers) -> None:
    """See that a client that reads late gets all replies, and that they are not made at once."""
    reader.transport.write(get(f"/{SIZES[0]}"))
    await until(reactor, lambda: len(reader.got) > SIZES[0])
    reader.transport.pauseProducing()
    requests = [get(f"/{size}") for size in SIZES[1:]]
    reader.transport.write(b"".join(requests) + get("/1", "Connection: close"))
    await until(reactor, lambda: len(answers.asked) >= 2)
    for _ in range(10):
        await deferLater(reactor, 0)
    assert answers.asked == SIZES[:2]
    reader.transport.resumeProducing()
    await until(reactor, lambda: bool(reader.lost.called))
    replies = read_responses(bytes(reader.got))
    assert [len(reply.body) for reply in replies] == [*SIZES, 1]
    assert all(reply.body == body(len(reply.body)) for reply in replies)
    assert answers.asked == [*SIZES, 1]


class Sips(Protocol):
    """A client that reads a little, and then does not for a while."""

    transport: Any

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.got = bytearray()
        self.sips = 0
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        self.sips += 1
        if self.sips % 8 == 0:
            self.transport.pauseProducing()
            self._reactor.callLater(0, self._go_on)

    def _go_on(self) -> None:
        if not self.lost.called:
            self.transport.resumeProducing()

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002
        self.lost.callback(None)


def tcp(port: int) -> socket.socket:
    """Connect to a port of this machine."""
    return socket.create_connection(("127.0.0.1", port))


@pytest_twisted.ensureDeferred
async def test_over_tcp(reactor):
    async with serving(reactor, "tcp:0:interface=127.0.0.1") as (answers, port):
        reader = await connected(reactor, tcp(port.getHost().port))
        await ask_for_much_and_read_late(reactor, reader, answers)
        assert answers.secure == {False}


@pytest_twisted.ensureDeferred
async def test_replies_need_not_wait_until_those_before_are_acknowledged(reactor):
    async with serving(reactor, "tcp:0:interface=127.0.0.1") as (_, port):
        before = set(reactor.getReaders())
        await connected(reactor, tcp(port.getHost().port))
        await until(reactor, lambda: len(set(reactor.getReaders()) - before) >= 2)
        ours = [
            transport
            for transport in set(reactor.getReaders()) - before
            if isinstance(getattr(transport, "protocol", None), Connection)
        ]
        assert [transport.getTcpNoDelay() for transport in ours] == [True]


@pytest_twisted.ensureDeferred
async def test_over_a_unix_socket(reactor):
    with TemporaryDirectory(prefix="tsdaemon-") as folder:
        path = str(Path(folder) / "http.sock")
        async with serving(reactor, f"unix:{path}") as (answers, _):
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            reader = await connected(reactor, client)
            await ask_for_much_and_read_late(reactor, reader, answers)


@pytest_twisted.ensureDeferred
async def test_a_large_reply_arrives_whole_through_a_socket_that_takes_little_at_a_time(reactor):
    async with serving(reactor, "tcp:0:interface=127.0.0.1") as (_, port):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        client.connect(("127.0.0.1", port.getHost().port))
        reader = Sips(reactor)
        adopt(reactor, client, reader)
        reader.transport.write(get(f"/{2 * SIZE + 1}") + get("/3", "Connection: close"))
        await until(reactor, lambda: bool(reader.lost.called))
        large, small = read_responses(bytes(reader.got))
        assert len(large.body) == 2 * SIZE + 1
        assert large.body == body(2 * SIZE + 1)
        assert small.body == body(3)


@pytest_twisted.ensureDeferred
async def test_behind_a_proxy(reactor):
    async with serving(reactor, "haproxy:tcp:0:interface=127.0.0.1") as (answers, port):
        number = port.getHost().port
        reader = await connected(reactor, tcp(number))
        reader.transport.write(b"PROXY TCP4 203.0.113.5 127.0.0.1 5000 %d\r\n" % number)
        await ask_for_much_and_read_late(reactor, reader, answers)


twisteds_own_warning = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file with a key and a certificate for localhost."""
    return write_self_signed(tmp_path_factory.mktemp("tls") / "both.pem")


def trusting(certificate: Path) -> Any:
    """Give the options of a client that trusts this certificate alone."""
    return optionsForClientTLS("localhost", Certificate.loadPEM(certificate.read_bytes()))


async def connected_by_tls(reactor: Any, port: int, certificate: Path) -> Reader:
    """Connect, and trust the certificate of the server alone."""
    from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS

    reader = Reader()
    endpoint = HostnameEndpoint(reactor, "127.0.0.1", port)
    await wrapClientTLS(trusting(certificate), endpoint).connect(_factory(reader))
    return reader


@twisteds_own_warning
@pytest_twisted.ensureDeferred
async def test_over_tls(reactor, certificate):
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={certificate}"
    async with serving(reactor, endpoint) as (answers, port):
        reader = await connected_by_tls(reactor, port.getHost().port, certificate)
        await ask_for_much_and_read_late(reactor, reader, answers)
        assert answers.secure == {True}


@twisteds_own_warning
@pytest_twisted.ensureDeferred
async def test_over_tls_no_byte_of_a_reply_goes_out_in_the_clear(reactor, certificate):
    """The bytes on the wire, seen by a client that does the cryptography outside the socket."""
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={certificate}"
    async with serving(reactor, endpoint) as (_, port):
        reader = await connected(reactor, tcp(port.getHost().port))
        context = ssl.create_default_context(cafile=certificate)
        arriving, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(arriving, leaving, server_hostname="localhost")
        wire, clear = bytearray(), bytearray()

        def shake_hands() -> bool:
            session.do_handshake()
            return True

        async def step(work: Callable[[], Any]) -> Any:
            while True:
                try:
                    result = work()
                except ssl.SSLWantReadError:
                    result = None
                reader.transport.write(leaving.read())
                if result is not None:
                    return result
                await until(reactor, lambda: bool(reader.got))
                wire.extend(reader.got)
                arriving.write(bytes(reader.got))
                reader.got.clear()

        await step(shake_hands)
        await step(lambda: session.write(get("/5000") * 2 + get("/9000")))
        while len(clear) < 5000 + 5000 + 9000 or not clear.endswith(body(9000)):
            clear += await step(lambda: session.read(100_000))
        assert [reply.body for reply in read_responses(bytes(clear))] == [
            body(5000),
            body(5000),
            body(9000),
        ]
        assert b"HTTP/1.1" not in wire
        assert body(100) not in wire
        reader.transport.abortConnection()
        await reader.lost


@pytest_twisted.ensureDeferred
async def test_a_client_that_breaks_off_harms_no_other(reactor):
    async with serving(reactor, "tcp:0:interface=127.0.0.1") as (answers, port):
        number = port.getHost().port
        readers = [await connected(reactor, tcp(number)) for _ in range(5)]
        for reader in readers:
            reader.transport.pauseProducing()
            reader.transport.write(get(f"/{SIZE}") * 3)
        await until(reactor, lambda: len(answers.asked) >= 5)
        for reader in readers:
            reader.transport.abortConnection()
        other = await connected(reactor, tcp(number))
        other.transport.write(get("/100", "Connection: close"))
        await other.lost
        (reply,) = read_responses(bytes(other.got))
        assert reply.body == body(100)


@pytest_twisted.ensureDeferred
async def test_a_refused_client_gets_the_reply_although_it_sends_on(reactor):
    async with serving(reactor, "tcp:0:interface=127.0.0.1") as (_, port):
        reader = await connected(reactor, tcp(port.getHost().port))
        reader.transport.write(
            get("/1", "Content-Length: 1000000", method="POST") + b"x" * 1_000_000
        )
        await until(reactor, lambda: b"\r\n\r\n" in reader.got)
        assert [reply.status for reply in read_responses(bytes(reader.got))] == [413]
        reader.transport.loseConnection()
        await reader.lost


@pytest_twisted.ensureDeferred
async def test_a_client_that_closes_its_side_gets_its_replies(reactor):
    async with serving(reactor, "tcp:0:interface=127.0.0.1") as (_, port):
        client = tcp(port.getHost().port)
        client.sendall(get(f"/{SIZE}") + get("/5"))
        client.shutdown(socket.SHUT_WR)
        reader = Reader()
        client.setblocking(False)
        while True:
            try:
                data = client.recv(1 << 16)
            except BlockingIOError:
                await deferLater(reactor, 0.001)
                continue
            if not data:
                break
            reader.got += data
        client.close()
        assert [len(reply.body) for reply in read_responses(bytes(reader.got))] == [SIZE, 5]
