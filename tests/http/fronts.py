"""One application behind two servers: ours, and twisted.web's, whose replies are the reference.

Every contract test of an HTTP service runs over both. Where they differ on purpose, the test says
so by :data:`DIFFERENCES`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, Final

import pytest
from klein import Klein
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.web.server import Site

from daemon.http.limits import RenderRefusal, plain_text
from daemon.http.server import KleinFactory

OURS: Final = "ours"
TWISTED_WEB: Final = "twisted.web"

DIFFERENCES: Final = {
    "OPTIONS": "Klein answers 405 to OPTIONS unless a route takes it",
    "encoding": "Klein refuses a path that is no UTF-8",
    "asterisk": "twisted.web looks for the path '*'",
    "refusals": "what twisted.web's parser refuses gets a bare '400 Bad Request', or a closed"
    " connection",
    "limits": "twisted.web has no limit on bodies",
    "Host": "twisted.web asks for no Host",
    "methods": "twisted.web hands unknown methods to the application",
    "length": "twisted.web sends chunks where no handler sets Content-Length",
    "results": "Klein takes a dict or a number for an empty reply",
    "CONNECT": "twisted.web hands CONNECT to the application",
}
"""Known faults of twisted.web and Klein that our server does not share."""


@dataclass(frozen=True)
class Reply:
    """What a client got.

    :ivar fields: names in lower case; those that say how the reply is carried are left away.
    """

    status: int
    fields: Mapping[str, str]
    body: bytes


class Exchange:
    """One request under way, on a connection of its own."""

    def __init__(self, factory: Any, method: str) -> None:
        protocol = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
        assert protocol is not None
        self.protocol: Any = protocol
        self.transport = StringTransport(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 8090),
            peerAddress=IPv4Address("TCP", "127.0.0.1", 50000),
        )
        self._method = method
        self.protocol.makeConnection(self.transport)

    def send(self, raw: bytes) -> None:
        self.protocol.dataReceived(raw)

    def hang_up(self) -> None:
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def answered(self) -> bool:
        return bool(self.transport.value())

    @property
    def reply(self) -> Reply:
        assert self.answered, "no reply yet"
        response = HTTPResponse(_Socket(self.transport.value()), method=self._method)  # type: ignore[arg-type]  # enough of one
        response.begin()
        body = response.read()
        carried = {"date", "content-length", "transfer-encoding", "connection", "server"}
        fields = {
            name.lower(): value
            for name, value in response.getheaders()
            if name.lower() not in carried
        }
        return Reply(response.status, fields, body)


class _Socket:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: Any) -> io.BytesIO:
        return io.BytesIO(self._raw)


class Front:
    """A server for an application, with a clock in the test's hand.

    :ivar name: :data:`OURS` or :data:`TWISTED_WEB`.
    """

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self._factory: Any = None

    def serve(self, app: Klein, render: RenderRefusal = plain_text) -> None:
        if self.name == OURS:
            self._factory = KleinFactory(app, self.clock, render_refusal=render)
        else:
            self._factory = Site(app.resource(), reactor=self.clock)
        self._factory.doStart()

    def begin(
        self, method: str, target: str, body: bytes = b"", fields: Mapping[str, str] | None = None
    ) -> Exchange:
        """Send a request; the reply may come later."""
        assert self._factory is not None
        exchange = Exchange(self._factory, method)
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost:8090"]
        if body or method in ("PUT", "POST"):
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
        exchange.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return exchange

    def ask(
        self, method: str, target: str, body: bytes = b"", fields: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request, and give the reply, which has to come at once."""
        return self.begin(method, target, body, fields).reply

    def differs(self, difference: str) -> None:
        """Skip the rest of a test of what twisted.web does not do."""
        if self.name == TWISTED_WEB:
            pytest.skip(DIFFERENCES[difference])


@pytest.fixture(params=[OURS, TWISTED_WEB])
def front(request: pytest.FixtureRequest) -> Front:
    """Each server in turn."""
    return Front(request.param, Clock())
