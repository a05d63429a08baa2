"""The clients of the number server, and the factory that admits them."""

from __future__ import annotations

import array
import fcntl
import select
import socket
import termios
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from daemon.numbers import wire
from daemon.numbers.places import Places

READ_SIZE: Final = 120_000
"""Bytes read from a client at once, where its transport lets us say so.

Whole lines, so that full reads stay in step with them, and below the size from which on malloc
asks the system for memory each time.
"""

KEEPALIVE_S: Final = 60
"""A client silent for so long is asked whether it is still there."""

KEEPALIVE_RETRY_S: Final = 10
KEEPALIVE_RETRIES: Final = 6


class Sink(Protocol):
    """Where the lines go."""

    @property
    def full(self) -> bool:
        """Whether nobody shall be read until there is room again."""

    def receive(self, block: bytes, sender: NumberClient) -> int:
        """Take the regular lines at the start of a block; gives how many bytes were taken."""

    def refused(self, client: NumberClient, line: bytes) -> None:
        """Note that a client was disconnected for an invalid line, of which this is the start."""

    def terminate(self, client: NumberClient) -> None:
        """Stop the daemon: a client that may say so has said so."""


class NumberClient(LineReceiver):
    """One client.

    Regular lines are taken as whole blocks. From the first irregular byte on the rest goes
    through LineReceiver, so its rules hold for everything unusual: a line ends with its line
    feed, and one that is too long is known as such before its end has come.

    :param places: the clients connected.
    :param sink: where the lines go.
    :param may_terminate: tells whether the client at an address may stop the daemon; the address
        is None where nobody knows it.
    """

    log = Logger()
    delimiter = b"\n"
    MAX_LENGTH = wire.DIGITS
    transport: Any

    def __init__(
        self,
        places: Places[NumberClient],
        sink: Sink,
        may_terminate: Callable[[IAddress | None], bool],
    ) -> None:
        self._places = places
        self._sink = sink
        self._may_terminate = may_terminate
        self._open_line = b""
        self._done = False

    def __str__(self) -> str:
        return _name(self.transport.getPeer())

    def connectionMade(self) -> None:
        """Take a place, or leave at once."""
        if not self._places.take(self):
            self.log.debug("refused {client}: no place is free", client=self)
            self.disconnect()
            return
        connection = self._connection()
        if connection is not None:
            connection.bufferSize = READ_SIZE
            _keep_alive(connection.getHandle())
        if self._sink.full:
            self.pause()

    def dataReceived(self, data: bytes) -> None:
        """Take the regular lines, keep an unfinished one, and look closer at anything else."""
        if self._done:
            return
        block = self._open_line + data
        taken = self._sink.receive(block, self)
        rest = block[taken:]
        if wire.may_open_a_line(rest) and (rest[:1] != b"t" or self._trusted()):
            self._open_line = rest
            return
        self._open_line = b""
        super().dataReceived(rest)
        if not self._done:
            self._refuse(rest)

    def lineReceived(self, line: bytes) -> None:
        """Obey ``terminate`` from someone trusted; any other irregular line is invalid."""
        if line == wire.TERMINATE and self._trusted():
            self.disconnect()
            self._sink.terminate(self)
        else:
            self._refuse(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line of more than nine bytes."""
        self._refuse(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        """Give the place back, however the client went."""
        self._done = True
        self._places.give_back(self)

    def disconnect(self) -> None:
        """Take nothing more from the client, and close the connection."""
        if self._done:
            return
        self._done = True
        self.clearLineBuffer()
        if ISSLTransport.providedBy(self.transport):
            self.transport.abortConnection()  # an orderly end would wait for the client
        else:
            self.transport.loseConnection()

    def has_hung_up(self) -> bool:
        """Whether the client has ended its side, even if not all it sent is read.

        While nobody is read, that is not known yet.
        """
        connection = self._connection()
        if connection is None or self._sink.full:
            return False
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def read_received(self) -> None:
        """Read what the system has received from the client so far.

        What comes later stays unread: a client that never stops sending cannot hold us here.
        """
        connection = self._connection()
        if connection is None:
            return
        source = connection.getHandle()
        unread = _unread_bytes(source)
        while unread > 0 and not self._done:
            try:
                data = source.recv(min(unread, READ_SIZE))
            except OSError:
                return  # it was reset; the reactor will find out and say so
            if not data:
                return  # what was counted as unread was no data of the stream: urgent data, say
            unread -= len(data)
            connection.protocol.dataReceived(data)

    def pause(self) -> None:
        """Read nothing for a while."""
        if not self._done:
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Read again."""
        if not self._done:
            self.transport.resumeProducing()

    def _connection(self) -> tcp.Connection | None:
        """Give the connection below TLS or a proxy's header, where there is one."""
        transport = self.transport
        while transport is not None and not isinstance(transport, tcp.Connection):
            transport = getattr(transport, "transport", None)
        return transport

    def _trusted(self) -> bool:
        """Whether the client may stop the daemon.

        Asked only when it tries to: behind a proxy the address is not known any earlier, and
        not at all if the proxy's header gives none. The proxy's own address is nobody's.
        """
        peer: IAddress | None = self.transport.getPeer()
        connection = self._connection()
        is_wrapped = connection is not self.transport
        if connection is not None and is_wrapped and not ISSLTransport.providedBy(self.transport):
            peer = None if peer == connection.getPeer() else peer
        return self._may_terminate(peer)

    def _refuse(self, line: bytes) -> None:
        self._sink.refused(self, line[: wire.LINE])
        self.disconnect()


class NumberFactory(ServerFactory):
    """Builds clients. One too many finds no place when it connects, and is closed.

    :param places: the clients connected.
    :param sink: where their lines go.
    :param may_terminate: tells whether the client at an address may stop the daemon.
    """

    noisy = False

    def __init__(
        self,
        places: Places[NumberClient],
        sink: Sink,
        may_terminate: Callable[[IAddress | None], bool],
    ) -> None:
        self._places = places
        self._sink = sink
        self._may_terminate = may_terminate

    def buildProtocol(self, addr: IAddress | None) -> NumberClient:  # noqa: ARG002  # Twisted's
        """Give a protocol for a client."""
        return NumberClient(self._places, self._sink, self._may_terminate)


def _name(address: IAddress | None) -> str:
    """Write an address for the log."""
    if isinstance(address, IPv4Address | IPv6Address):
        return f"{address.host} port {address.port}"
    return str(address)


def _keep_alive(connection: socket.socket) -> None:
    """Have the system find out that a silent client's machine is gone."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_RETRY_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_RETRIES)


def _unread_bytes(connection: socket.socket) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(connection, termios.FIONREAD, count)
    return count[0]
