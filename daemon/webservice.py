"""What the HTTP services share: their settings, their port, and how it stops."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from klein import Klein
from msgspec import Meta
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure

from daemon.http.access import AccessLog
from daemon.http.limits import Limits, RenderRefusal
from daemon.http.server import KleinFactory
from daemon.peers import is_local
from daemon.plugin import Host
from daemon.settings_types import seconds, size

Listen = Annotated[str, Meta(description="Where the service listens.", extra={"endpoint": True})]

_OTHER_DESCRIPTORS: Final = 64
"""Files and sockets of the process that are no connections, about."""


class HTTPSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that every HTTP service has: what it puts up with (see ``Limits``)."""

    listen: Listen = ""
    max_connections: Annotated[
        int, Meta(ge=1, le=1_000_000, description="How many connections may be open at once.")
    ] = 10_000
    max_body: Annotated[int, size("The largest body of a request.", ge=0, le=2**30)] = 64 * 1024
    max_header: Annotated[int, size("The largest header of a request.", ge=256, le=2**20)] = (
        16 * 1024
    )
    max_header_fields: Annotated[
        int, Meta(ge=1, le=10_000, description="How many fields a header may have.")
    ] = 100
    max_target: Annotated[int, size("The longest request target.", ge=16, le=2**20)] = 8 * 1024
    header_timeout: Annotated[
        float,
        seconds("From the first byte of a request to the end of its header.", gt=0, le=86_400),
    ] = 10.0
    body_timeout: Annotated[
        float, seconds("How long a body under way may stand still.", gt=0, le=86_400)
    ] = 30.0
    idle_timeout: Annotated[
        float, seconds("How long a connection may be silent between requests.", gt=0, le=86_400)
    ] = 120.0

    def limits(self) -> Limits:
        """Give these settings as the HTTP server takes them."""
        return Limits(
            header_fields=self.max_header_fields,
            header_bytes=self.max_header,
            target_bytes=self.max_target,
            body_bytes=self.max_body,
            header_s=self.header_timeout,
            body_s=self.body_timeout,
            idle_s=self.idle_timeout,
            connections=self.max_connections,
        )


class WebPort(Service):
    """Serves a Klein application on an endpoint.

    :param app: the application.
    :param settings: where it listens and what it puts up with.
    :param host: what the daemon gives to a service.
    :param render: what its errors look like.
    :param changes_something: whether some of its requests need a token, if tokens are in use.
    :param metrics_name: what the names of its metrics begin with; a service's second port needs
        another.
    """

    log = Logger()

    def __init__(
        self,
        app: Klein,
        settings: HTTPSettings,
        host: Host,
        render: RenderRefusal,
        *,
        changes_something: bool,
        metrics_name: str = "http",
    ) -> None:
        self.factory = KleinFactory(
            app,
            host.reactor,
            limits=settings.limits(),
            render_refusal=render,
            access=AccessLog(host.health.service) if host.access_log else None,
        )
        self._port = host.listen(settings.listen, self.factory)
        self._settings = settings
        self._is_closing = False
        self._closed = False
        self._when_closed: list[Deferred[None]] = []
        self._open_to_all = changes_something and not host.tokens.needed
        self._metrics = host.metrics
        self._metrics_name = metrics_name

    def privilegedStartService(self) -> None:
        """Bind the port.

        :raises StartError: it is taken, or cannot be.
        """
        super().privilegedStartService()
        self._port.privilegedStartService()
        self._show_metrics()

    def startService(self) -> None:
        """Serve."""
        super().startService()
        self._port.startService()
        if self._open_to_all and not all(map(_is_of_this_machine, self._port.addresses)):
            self.log.warn(
                "{listen} can be reached from other machines, and no tokens are asked for"
                " (auth.tokens_file): anyone there can change what is stored",
                listen=self._settings.listen,
            )
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if self._settings.max_connections + _OTHER_DESCRIPTORS > descriptors:
            self.log.warn(
                "{connections} connections are allowed on {listen}, but the process may open"
                " {descriptors} files only (ulimit -n)",
                connections=self._settings.max_connections,
                listen=self._settings.listen,
                descriptors=descriptors,
            )

    def close_port(self) -> Deferred[None]:
        """Listen no longer; those who are connected are served as before until :meth:`stopService`.

        Every reply ends its connection from now on, unless its handler asks otherwise.

        :returns: fires when nobody can connect any more; may be cancelled, which stops nothing.
        """
        self.factory.wind_down()
        waiter: Deferred[None] = Deferred()
        if self._closed:
            waiter.callback(None)
            return waiter
        self._when_closed.append(waiter)
        if not self._is_closing:
            self._is_closing = True
            self._port.take_waiting()
            self._port.stopService().addBoth(self._port_closed)
        return waiter

    def stopService(self) -> Deferred[None]:
        """Listen no longer, answer what was asked, and close every connection."""
        super().stopService()
        self.factory.end_with_replies()
        return Deferred.fromCoroutine(self._stop())

    def unfinished(self) -> str:
        """Say whose replies are outstanding."""
        return f"the replies to {self.factory.connections} connections"

    def _show_metrics(self) -> None:
        """Say what can be asked of this port, after what the service itself has said."""
        metrics, name, factory = self._metrics, self._metrics_name, self.factory
        metrics.counter(
            f"{name}_replies",
            "Replies, by the class of their status.",
            lambda: reply_classes(factory.replies),
            label="status",
            plot="Replies",
        )
        metrics.gauge(
            f"{name}_connections",
            "Connections that are open.",
            lambda: factory.connections,
            plot="Connections",
        )
        metrics.counter(
            f"{name}_turned_away",
            "Connections that there was no room for.",
            lambda: factory.turned_away,
        )

    async def _stop(self) -> None:
        await self.close_port()
        await self.factory.drain()

    def _port_closed(self, outcome: object) -> None:
        if isinstance(outcome, Failure):
            self.log.failure("{listen} could not be closed", outcome, listen=self._settings.listen)
        self._closed = True
        waiters, self._when_closed = self._when_closed, []
        for waiter in waiters:
            waiter.callback(None)


def reply_classes(replies: Mapping[int, int]) -> dict[str, int]:
    """Add up how many replies there were of each status, to classes such as ``2xx``."""
    classes = dict.fromkeys(("2xx", "3xx", "4xx", "5xx"), 0)
    for status, number in replies.items():
        name = f"{status // 100}xx"
        classes[name] = classes.get(name, 0) + number
    return classes


def _is_of_this_machine(address: IAddress) -> bool:
    """Whether only this machine can reach an address; what is no network address is a pipe."""
    return is_local(address) or not isinstance(address, IPv4Address | IPv6Address)
