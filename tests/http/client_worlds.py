"""A pool with its connections and its time in the test's hand."""

from __future__ import annotations

from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from daemon.http.answer import Answer
from daemon.http.client_pool import PooledClient
from daemon.http.source_url import parse_source_url


class Wire(StringTransport):
    """One connection, seen from the server.

    :ivar open: the client has been told of no end.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "127.0.0.1", 80))
        self.protocol: Any = None
        self.open = True
        self.aborted = False
        self.sent = 0
        self._clock = clock

    @property
    def paths(self) -> list[str]:
        """What has been asked for on it so far."""
        heads = self.value().split(b"\r\n\r\n")
        assert heads.pop() == b""
        return [head.split(b" ")[1].decode() for head in heads]

    @property
    def unanswered(self) -> list[str]:
        """What has been asked for and not been answered."""
        return self.paths[self.sent :]

    def loseConnection(self) -> None:
        super().loseConnection()
        self._clock.callLater(0, self.ends, ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = True
        self.disconnecting = True
        self._clock.callLater(0, self.ends, ConnectionLost())

    def sends(self, data: bytes) -> None:
        """Send bytes, which nobody reads once the connection is broken off."""
        if self.open and not self.aborted:
            self.protocol.dataReceived(data)

    def answers(self, *fields: str) -> None:
        """Answer what was asked for first with its path."""
        body = self.unanswered[0].encode()
        self.sent += 1
        lines = ["HTTP/1.1 200 OK", *fields, f"Content-Length: {len(body)}", "", ""]
        self.sends("\r\n".join(lines).encode() + body)

    def ends(self, reason: Exception | None = None) -> None:
        """End the connection."""
        if self.open:
            self.open = False
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))


@implementer(IStreamClientEndpoint)
class Endpoint:
    """Connects when the test says so.

    :ivar pending: attempts under way, and their factories.
    """

    def __init__(self) -> None:
        self.attempts = 0
        self.pending: list[tuple[Deferred[Any], Any]] = []

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # noqa: N803
        self.attempts += 1
        attempt: Deferred[Any] = Deferred(self._cancelled)
        self.pending.append((attempt, protocolFactory))
        return attempt

    def _cancelled(self, attempt: Deferred[Any]) -> None:
        self.pending = [each for each in self.pending if each[0] is not attempt]


@implementer(IStreamClientEndpoint)
class Refusing:
    """Refuses every connection, at once."""

    def __init__(self) -> None:
        self.attempts = 0

    def connect(self, protocolFactory: Any) -> Deferred[Any]:  # noqa: ARG002, N803
        self.attempts += 1
        refused: Deferred[Any] = Deferred()
        refused.errback(Failure(error.ConnectionRefusedError()))
        return refused


class World:
    """A pool, its endpoint, its wires.

    :ivar wires: all connections so far.
    """

    def __init__(self, connections: int = 2, timeout_s: float = 10.0, endpoint: Any = None) -> None:
        self.clock = Clock()
        self.endpoint = Endpoint() if endpoint is None else endpoint
        self.wires: list[Wire] = []
        self.client = PooledClient(
            parse_source_url("http://source"),
            self.endpoint,
            self.clock,
            connections=connections,
            timeout_s=timeout_s,
            body_bytes=1000,
        )

    @property
    def open(self) -> list[Wire]:
        """The connections that are open."""
        return [wire for wire in self.wires if wire.open]

    def connects(self, which: int = 0) -> Wire:
        """Let an attempt to connect succeed."""
        attempt, factory = self.endpoint.pending.pop(which)
        wire = Wire(self.clock)
        wire.protocol = factory.buildProtocol(wire.getPeer())
        self.wires.append(wire)
        wire.protocol.makeConnection(wire)
        attempt.callback(wire.protocol)
        return wire

    def refuses(self, which: int = 0) -> None:
        """Let an attempt to connect fail."""
        attempt, _ = self.endpoint.pending.pop(which)
        attempt.errback(Failure(error.ConnectionRefusedError()))

    def get(self, path: str) -> Outcome:
        """Fetch."""
        return Outcome(self.client.get(path.encode()))


class Outcome:
    """What becomes of a request.

    :ivar got: the answers and errors it has fired with: one at the end.
    """

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred
        self.got: list[Answer | Exception | None] = []
        deferred.addCallbacks(self.got.append, self._failed)

    @property
    def body(self) -> str:
        """The answer's body."""
        (answer,) = self.got
        assert isinstance(answer, Answer)
        return answer.body.decode()

    @property
    def error(self) -> type[BaseException]:
        """The class of the error."""
        (got,) = self.got
        assert isinstance(got, Exception)
        return type(got)

    def _failed(self, failure: Failure) -> None:
        assert isinstance(failure.value, Exception)
        self.got.append(failure.value)
