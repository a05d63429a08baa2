"""A client and the server in one process, with an application that tells what reached it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from werkzeug.exceptions import MethodNotAllowed

from daemon.http.limits import Limits
from daemon.http.server import KleinFactory
from tests.http.conformance.case import Seen
from tests.http.responses import Response, read_responses


class Wire(StringTransport):
    """Keeps what the server writes, and how it ends the connection."""

    def __init__(self) -> None:
        super().__init__(lenient=True)
        self.half_closed = False
        self.late = b""

    @property
    def closed(self) -> bool:
        """Whether the server has said that it will send no more."""
        return self.half_closed or self.disconnecting

    def loseWriteConnection(self) -> None:
        """Close the server's side only."""
        self.half_closed = True

    def write(self, data: bytes) -> None:
        """Keep bytes, those apart that come behind the end."""
        if self.closed:
            self.late += data
        super().write(data)


class Application:
    """Answers with what it was asked.

    :ivar seen: the requests so far.
    :ivar waiting: the requests under ``/slow`` whose replies are still to come.
    """

    app = Klein()

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.waiting: list[Deferred[bytes]] = []

    @app.route("/none")
    def none(self, request: Any) -> bytes:
        """Answer 204."""
        self._note(request)
        request.setResponseCode(204)
        return b""

    @app.route("/same")
    def same(self, request: Any) -> bytes:
        """Answer 304."""
        self._note(request)
        request.setResponseCode(304)
        return b""

    @app.route("/posted")
    def posted(self, request: Any) -> bytes:
        """Answer POST only."""
        if request.method != b"POST":
            raise MethodNotAllowed(["POST"])
        return self._note(request)

    @app.route("/slow")
    def slow(self, request: Any) -> Deferred[bytes]:
        """Answer when somebody says so."""
        text = self._note(request)
        reply: Deferred[bytes] = Deferred()
        self.waiting.append(reply)
        return reply.addCallback(lambda _: text)

    @app.route("/")
    @app.route("/<path:rest>")
    def echo(self, request: Any, rest: str = "") -> bytes:  # noqa: ARG002  # Klein's
        """Answer everything else."""
        return self._note(request)

    def _note(self, request: Any) -> bytes:
        _, mark, query = request.uri.partition(b"?")
        seen = Seen(
            request.method,
            request.path + mark + query,
            request.content.read(),
            request.getRequestHostname(),
        )
        self.seen.append(seen)
        request.setHeader("Content-Type", "text/plain")
        return echo(seen)


def echo(seen: Seen) -> bytes:
    """Give the body of the reply to a request."""
    digest = sha256(seen.body).hexdigest().encode()
    return b" ".join([seen.method, seen.host, seen.target, b"%d" % len(seen.body), digest])


@dataclass(frozen=True)
class Outcome:
    """What became of a connection.

    :ivar replies: the final replies.
    :ivar continues: how many interim ones came.
    :ivar seen: the requests that reached the application.
    :ivar closed: the server has ended it.
    """

    replies: list[Response]
    continues: int
    seen: list[Seen]
    closed: bool

    @property
    def statuses(self) -> tuple[int, ...]:
        """The status of every final reply."""
        return tuple(reply.status for reply in self.replies)


class Exchange:
    """One new connection.

    :param limits: the server's.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.application = Application()
        clock = Clock()
        factory = KleinFactory(
            self.application.app, clock, limits=limits or Limits(), now=clock.seconds
        )
        factory.doStart()
        self.wire = Wire()
        self._protocol = factory.buildProtocol(None)
        self._protocol.makeConnection(self.wire)

    def send(self, data: bytes) -> None:
        """Deliver bytes, and let slow requests be answered, one at a time."""
        self._protocol.dataReceived(data)
        waiting = self.application.waiting
        while waiting:
            assert len(waiting) == 1, "a request was begun before the one before it was answered"
            waiting.pop().callback(b"")

    def end(self) -> None:
        """Close the client's side."""
        assert IHalfCloseableProtocol.providedBy(self._protocol)
        self._protocol.readConnectionLost()

    def outcome(self, methods: Sequence[bytes] = ()) -> Outcome:
        """Read what came back.

        :param methods: see :func:`tests.http.responses.read_responses`.
        """
        assert self.wire.late == b"", "bytes behind the end of the connection"
        replies = read_responses(self.wire.value(), methods)
        final = [reply for reply in replies if not reply.is_interim]
        interim = len(replies) - len(final)
        return Outcome(final, interim, self.application.seen, self.wire.closed)


def exchange(
    deliveries: Iterable[bytes], methods: Sequence[bytes] = (), *, ends: bool = False
) -> Outcome:
    """Deliver bytes on a new connection, and read what comes back.

    :param deliveries: as the server gets them.
    :param methods: of the requests, in order.
    :param ends: whether the client closes its side afterwards.
    """
    one = Exchange()
    for data in deliveries:
        one.send(data)
    if ends:
        one.end()
    return one.outcome(methods)
