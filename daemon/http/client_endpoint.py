"""The way to a source: its name looked up beside the reactor's own threads, its addresses tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as TimedOutError
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from daemon.resolving import Resolve, resolve
from daemon.threads import in_thread_of_its_own


@implementer(IStreamClientEndpoint)
class SourceEndpoint:
    """Connects to a host by its name, as :class:`HostnameEndpoint` does, but for its threads.

    The reactor looks names up in threads that it waits for when it ends, and a name server that is
    silent keeps them for a long time. Here nobody waits for the thread, and there is one at most:
    who connects while a name is being looked up waits for the same answer.

    :param reactor: connects, schedules, is told of the thread.
    :param host: a name, or an address of IPv4 or IPv6.
    :param timeout_s: how long looking the name up may take, and then each address.
    :param resolve: gives the addresses of a name; blocks.
    """

    def __init__(
        self, reactor: Any, host: str, port: int, *, timeout_s: float, resolve: Resolve = resolve
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._resolve = resolve
        self._is_looking = False
        self._waiting: dict[Deferred[list[str]], None] = {}

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:  # noqa: N803  # Twisted's
        """Connect.

        :returns: fires with the protocol; fails with why the last address cannot be reached, or
            with :class:`DNSLookupError`. To cancel it ends it at once.
        """
        found = self._addresses()
        return found.addCallback(self._connect, protocolFactory)

    def _addresses(self) -> Deferred[list[str]]:
        if isIPAddress(self._host) or isIPv6Address(self._host):
            return succeed([self._host])
        waiting: Deferred[list[str]] = Deferred(self._give_up)
        self._waiting[waiting] = None
        waiting.addTimeout(self._timeout_s, self._reactor)
        waiting.addErrback(self._not_found)
        if not self._is_looking:
            self._is_looking = True
            looked_up = in_thread_of_its_own(self._reactor, self._resolve, self._host)
            looked_up.addBoth(self._looked_up)
        return waiting

    def _give_up(self, waiting: Deferred[list[str]]) -> None:
        self._waiting.pop(waiting, None)

    def _looked_up(self, outcome: list[str] | Failure) -> None:
        self._is_looking = False
        waiting, self._waiting = self._waiting, {}
        for each in waiting:
            if each.called:
                continue  # one before it has cancelled it
            if isinstance(outcome, Failure):
                each.errback(outcome)
            else:
                each.callback(outcome)

    def _not_found(self, failure: Failure) -> Failure:
        """Say what the name was; how it went wrong is the system's own text."""
        match failure.value:
            case TimedOutError():
                why = f"no answer for {self._timeout_s:g} s"
            case OSError(strerror=str(why)):
                pass
            case _:
                return failure
        return Failure(DNSLookupError(f"{self._host}: {why}"))

    def _connect(self, addresses: Sequence[str], factory: IProtocolFactory) -> Deferred[Any]:
        known = _KnownAddresses(self._reactor, addresses)
        endpoint = HostnameEndpoint(known, self._host, self._port, timeout=self._timeout_s)
        connecting: Deferred[Any] = endpoint.connect(factory)
        return connecting


@implementer(IHostResolution)
class _Resolution:
    """A name that has been looked up."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Do nothing: it is over."""


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class _KnownAddresses:
    """A reactor that knows the addresses of a name, for an endpoint that would look it up.

    :param reactor: does everything else.
    :param addresses: in the order in which they are to be tried.
    """

    def __init__(self, reactor: Any, addresses: Sequence[str]) -> None:
        self._reactor = reactor
        self._addresses = addresses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    @property
    def nameResolver(self) -> IHostnameResolver:
        """Give what knows the addresses."""
        return self

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Refuse: there is nothing left to look up."""
        raise NotImplementedError(resolver)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type[IAddress]] | None = None,  # noqa: ARG002, N803
        transportSemantics: str = "TCP",  # noqa: ARG002, N803
    ) -> IHostResolution:
        """Give the addresses."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        for address in self._addresses:
            kind = IPv4Address if isIPAddress(address) else IPv6Address
            resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution
