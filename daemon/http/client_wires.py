"""The connections below treq: counted, and bounded in what an answer may send over them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from daemon.http.answer import AnswerTooLargeError
from daemon.http.answer_head import HEADER_BYTES
from daemon.http.client_endpoint import SourceEndpoint
from daemon.http.source_url import SourceURL
from daemon.resolving import Resolve

AROUND: Final = 16
"""Bytes of chunk sizes for a byte of data that are put up with."""


@implementer(IAgentEndpointFactory)
class Wires:
    """Connects for an agent, and knows all connections.

    :param source: what is connected to, whatever the agent's URL says.
    :param reactor: connects.
    :param policy: whom TLS trusts; None for whom the system does.
    :param timeout_s: how long a connection may take.
    :param body_bytes: the largest body of an answer.
    :param resolve: gives a name's addresses; blocks.
    """

    def __init__(
        self,
        source: SourceURL,
        reactor: Any,
        policy: IPolicyForHTTPS | None,
        *,
        timeout_s: float,
        body_bytes: int,
        resolve: Resolve,
    ) -> None:
        self.most_bytes = 2 * HEADER_BYTES + (1 + AROUND) * body_bytes
        self._source = source
        self._policy = policy or BrowserLikePolicyForHTTPS()
        self._endpoint = SourceEndpoint(
            reactor, source.host, source.port, timeout_s=timeout_s, resolve=resolve
        )
        self._open: set[Wire] = set()
        self._gone: Deferred[None] | None = None

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:  # noqa: ARG002  # there is one only
        """Give what connects to the source."""
        scheme, host, port, *_ = self._source
        endpoint: IStreamClientEndpoint = self._endpoint
        if scheme == "https":
            creator = self._policy.creatorForNetloc(host.encode(), port)
            endpoint = wrapClientTLS(creator, endpoint)
        return _Endpoint(endpoint, self)

    def close(self) -> Deferred[None]:
        """End all connections; fires when they are gone."""
        for wire in list(self._open):
            wire.loseConnection()
        if not self._open:
            return succeed(None)
        if self._gone is None:
            self._gone = Deferred()
        waiting: Deferred[None] = Deferred()
        self._gone.chainDeferred(waiting)
        return waiting

    def join(self, wire: Wire) -> None:
        """Take a connection in."""
        self._open.add(wire)

    def leave(self, wire: Wire) -> None:
        """Let a connection go."""
        self._open.discard(wire)
        if not self._open and self._gone is not None:
            gone, self._gone = self._gone, None
            gone.callback(None)


class Wire(ProtocolWrapper):
    """One connection. What it takes between two requests is bounded, whatever it is.

    Twisted bounds the lines of a header, but not their number.
    """

    def __init__(self, factory: _WireFactory, wrapped: Any) -> None:
        super().__init__(factory, wrapped)
        self._wires = factory.wires
        self._taken_bytes = 0

    def makeConnection(self, transport: Any) -> None:
        """Join the others."""
        self._wires.join(self)
        super().makeConnection(transport)

    def write(self, data: bytes) -> None:
        """Send a request, which may have another answer."""
        self._taken_bytes = 0
        super().write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send a request, which may have another answer."""
        self._taken_bytes = 0
        super().writeSequence(data)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes, but not without bound."""
        self._taken_bytes += len(data)
        if self._taken_bytes > self._wires.most_bytes:
            self.loseConnection()
        else:
            super().dataReceived(data)

    def loseConnection(self) -> None:
        """Close at once: what is given up may go on for ever, and TLS waits for a goodbye."""
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Leave."""
        if self._taken_bytes > self._wires.most_bytes:
            reason = Failure(AnswerTooLargeError(f"more than {self._wires.most_bytes} bytes"))
        super().connectionLost(reason)
        self._wires.leave(self)


class _WireFactory(WrappingFactory[Wire]):
    protocol = Wire
    noisy = False

    def __init__(self, wrapped: IProtocolFactory, wires: Wires) -> None:
        super().__init__(wrapped)
        self.wires = wires


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """Connects, and puts a :class:`Wire` between a connection and its protocol."""

    def __init__(self, endpoint: IStreamClientEndpoint, wires: Wires) -> None:
        self._endpoint = endpoint
        self._wires = wires

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803  # Twisted's
        """Connect."""
        connecting: Deferred[Any] = self._endpoint.connect(
            _WireFactory(protocolFactory, self._wires)
        )
        return connecting.addCallback(lambda wire: wire.wrappedProtocol)
