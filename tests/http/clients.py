"""A server and clients in one process, time in the test's hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from klein import Klein
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from daemon.http.access import AccessLog
from daemon.http.limits import Limits
from daemon.http.server import KleinFactory
from tests.http.responses import Response, read_responses

EPOCH = 784111777
"""Sunday, 6 November 1994, 08:49:37 GMT."""


def get(target: str = "/", *fields: str, method: str = "GET") -> bytes:
    """Write a request without a body."""
    lines = [f"{method} {target} HTTP/1.1", "Host: a", *fields, "", ""]
    return "\r\n".join(lines).encode()


def post(body: bytes, target: str = "/", *fields: str) -> bytes:
    """Write a request with a body."""
    return get(target, f"Content-Length: {len(body)}", *fields, method="POST") + body


class Application:
    """Answers with the target, at once or when the test says so.

    :ivar asked: the targets so far.
    :ivar waiting: the replies that are still to come.
    :ivar requests: the requests so far.
    """

    app = Klein()

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.requests: list[Any] = []
        self.waiting: list[Deferred[bytes]] = []

    @app.route("/later/<path:rest>")
    def later(self, request: Any, rest: str) -> Deferred[bytes]:  # noqa: ARG002
        self._note(request)
        reply: Deferred[bytes] = Deferred()
        self.waiting.append(reply)
        return reply

    @app.route("/fired/<path:rest>")
    async def fired(self, request: Any, rest: str) -> bytes:  # noqa: ARG002
        return self._note(request)

    @app.route("/big/<int:size>")
    def big(self, request: Any, size: int) -> bytes:
        self._note(request)
        return b"x" * size

    @app.route("/")
    @app.route("/<path:rest>")
    def now(self, request: Any, rest: str = "") -> bytes:  # noqa: ARG002
        return self._note(request)

    def _note(self, request: Any) -> bytes:
        self.requests.append(request)
        target: bytes = request.uri
        self.asked.append(target.decode())
        return target


class Wire(StringTransport):
    """Remembers how the connection ends.

    :ivar fills: whether it holds too much with each write.
    """

    def __init__(self) -> None:
        super().__init__(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 8080),
            peerAddress=IPv4Address("TCP", "127.0.0.1", 50000),
        )
        self.fills = False

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.fills:
            self.fill()

    def fill(self) -> None:
        """Let the transport say that it holds too much."""
        assert self.producer is not None
        self.producer.pauseProducing()

    def empty(self) -> None:
        """Let the transport say that there is room again."""
        assert self.producer is not None
        self.producer.resumeProducing()


class Client:
    """One connection."""

    def __init__(self, factory: KleinFactory) -> None:
        self.wire = Wire()
        self._protocol: Any = factory.buildProtocol(None)
        self._protocol.makeConnection(self.wire)

    def send(self, data: bytes) -> None:
        self._protocol.dataReceived(data)

    def close_own_side(self) -> None:
        self._protocol.readConnectionLost()

    def go(self) -> None:
        """End the connection, as the client or the server has wanted."""
        self._protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def closed(self) -> bool:
        """Whether the server closes the connection in good order."""
        return self.wire.disconnecting and not self.aborted

    @property
    def aborted(self) -> bool:
        """Whether the server has cut the connection off."""
        return bool(self.wire.disconnected)

    @property
    def reading(self) -> bool:
        """Whether the server reads what this client sends."""
        return bool(self.wire.producerState == "producing")

    def replies(self, methods: Sequence[bytes] = ()) -> list[Response]:
        return read_responses(self.wire.value(), methods)

    @property
    def statuses(self) -> list[int]:
        return [reply.status for reply in self.replies()]

    @property
    def bodies(self) -> list[str]:
        return [reply.body.decode() for reply in self.replies()]


class Server:
    """The server of an :class:`Application`, or of another one.

    :ivar now_s: the time of day.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        app: Klein | None = None,
        access: AccessLog | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.application = Application()
        self.factory = KleinFactory(
            app or self.application.app,
            self.clock,
            limits=limits or Limits(),
            now=lambda: EPOCH + self.clock.seconds(),
            access=access,
        )
        self.factory.doStart()

    def connect(self) -> Client:
        return Client(self.factory)

    def pass_time(self, seconds: float) -> None:
        """Let the time pass in small steps, as it does."""
        steps = round(seconds * 4)
        self.clock.pump([0.25] * steps)
