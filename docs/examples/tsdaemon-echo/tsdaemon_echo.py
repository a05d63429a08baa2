"""A service for tsdaemon: a line server that answers each line with a greeting and the line."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

from daemon.plugin import Host


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings table ``[echo]``."""

    listen: Annotated[
        str, Meta(description="Where the server listens.", extra={"endpoint": True})
    ] = "tcp:4007:interface=127.0.0.1"
    greeting: Annotated[str, Meta(description="What stands before each line.")] = "hello, "
    longest_line: Annotated[
        int,
        Meta(
            ge=1,
            le=65_536,
            description="A client that sends a longer line is disconnected.",
            extra={"unit": "bytes"},
        ),
    ] = 1024


def build(settings: Settings, host: Host) -> EchoService:
    """Put the service together; the daemon calls this."""
    return EchoService(settings, host)


class EchoService(Service):
    """Listens while the daemon runs.

    :param settings: its settings table.
    :param host: what the daemon gives to a service.
    """

    def __init__(self, settings: Settings, host: Host) -> None:
        factory = Factory.forProtocol(partial(EchoClient, settings))
        self._port = host.listen(settings.listen, factory)

    def privilegedStartService(self) -> None:
        """Bind the port."""
        super().privilegedStartService()
        self._port.privilegedStartService()

    def startService(self) -> None:
        """Let clients in."""
        super().startService()
        self._port.startService()

    def stopService(self) -> Deferred[None]:
        """Take no more clients."""
        super().stopService()
        closed: Deferred[None] = self._port.stopService()
        return closed


class EchoClient(LineOnlyReceiver):
    """One client's connection.

    :param settings: the service's settings table.
    """

    delimiter = b"\n"

    def __init__(self, settings: Settings) -> None:
        self._greeting = settings.greeting.encode()
        self.MAX_LENGTH = settings.longest_line

    def lineReceived(self, line: bytes) -> None:
        """Answer a line."""
        self.sendLine(self._greeting + line)
