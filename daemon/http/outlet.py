"""The way out of a connection: at once where the socket takes it, and never without bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IPullProducer, IPushProducer, ISSLTransport, ITCPTransport
from zope.interface import implementer

PIECE_BYTES: Final = 128 * 1024
"""So much of what waits is handed to the reactor at a time; sending it is progress."""


@implementer(IPullProducer)
class SocketOutlet:
    """Writes to a socket of Twisted's, for which the reactor need not be asked first.

    :meth:`twisted.internet.abstract.FileDescriptor.write` waits for the reactor to say that the
    socket is writable, which costs two more system calls for each reply.

    :param transport: the connection's.
    :param on_progress: told when the client has read some of what had to wait.
    :param on_drained: told when all is sent after :attr:`blocked` was True.
    :ivar blocked: the socket is full; what is written now stays in memory.
    """

    __slots__ = (
        "_half_close",
        "_on_drained",
        "_on_progress",
        "_send",
        "_transport",
        "_waiting",
        "blocked",
    )

    def __init__(
        self, transport: Any, on_progress: Callable[[], None], on_drained: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._send = transport.getHandle().send
        self._on_progress = on_progress
        self._on_drained = on_drained
        # What is taken from the front of a bytearray moves nothing; of bytes, all the rest.
        self._waiting = bytearray()
        self._half_close = False
        self.blocked = False

    def write(self, data: bytes) -> None:
        """Send, and keep what the socket does not take."""
        if self.blocked:
            self._waiting += data
            return
        try:
            sent = self._send(data)
        except OSError:
            # Full, or broken: the reactor will meet the error again, and end the connection.
            sent = 0
        if sent == len(data):
            return
        self._waiting += memoryview(data)[sent:]
        self.blocked = True
        # A pull producer is asked for more when the buffer is empty, and first of all at once.
        self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Give the next piece, when the one before is sent; or learn that all is."""
        if self._waiting:
            piece = bytes(self._waiting[:PIECE_BYTES])
            del self._waiting[:PIECE_BYTES]
            self._transport.write(piece)
            self._on_progress()
            return
        self.blocked = False
        self._transport.unregisterProducer()
        if self._half_close:
            self._transport.loseWriteConnection()
        self._on_drained()

    def stopProducing(self) -> None:
        """Learn that the connection is gone; so does the protocol."""

    def half_close(self) -> bool:
        """Close our side only, once all is sent; False where that cannot be done."""
        self._half_close = True
        if not self.blocked:
            self._transport.loseWriteConnection()
        return True

    def close(self) -> None:
        """Close the connection, once all is sent."""
        self._transport.loseConnection()


@implementer(IPushProducer)
class BufferedOutlet:
    """Writes to any other transport, such as one for TLS, which says when it holds too much.

    It would take any amount all the same, and not tell how much of it the client has read. So a
    large reply is handed over in pieces.

    :param transport: the connection's.
    :param on_progress: told when the client has read some of what had to wait.
    :param on_drained: told when there is room again after :attr:`blocked` was True.
    :ivar blocked: the transport holds too much; what is written now stays in memory.
    """

    __slots__ = (
        "_closing",
        "_half_close",
        "_on_drained",
        "_on_progress",
        "_transport",
        "_waiting",
        "blocked",
    )

    def __init__(
        self, transport: Any, on_progress: Callable[[], None], on_drained: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._on_progress = on_progress
        self._on_drained = on_drained
        # Empty as long as there is room.
        self._waiting = bytearray()
        self._half_close = False
        self._closing = False
        self.blocked = False
        transport.registerProducer(self, True)

    def write(self, data: bytes) -> None:
        """Hand over, and keep what there is no room for."""
        if not self.blocked and len(data) <= PIECE_BYTES:
            self._transport.write(data)
            return
        self._waiting += data
        self._write_on()

    def pauseProducing(self) -> None:
        """Learn that the transport holds too much."""
        self.blocked = True

    def resumeProducing(self) -> None:
        """Learn that there is room again, and use it."""
        if not self.blocked:
            return
        self.blocked = False
        self._write_on()
        if self._closing and not self._waiting:
            self._end()
            self._on_progress()
        elif self.blocked:
            self._on_progress()
        else:
            if self._half_close:
                self._transport.loseWriteConnection()
            self._on_drained()

    def stopProducing(self) -> None:
        """Learn that the connection is gone; so does the protocol."""

    def half_close(self) -> bool:
        """Close our side only, once all is sent; False where that cannot be done, as with TLS."""
        transport = self._transport
        if not ITCPTransport.providedBy(transport) or ISSLTransport.providedBy(transport):
            return False
        self._half_close = True
        if not self.blocked:
            transport.loseWriteConnection()
        return True

    def close(self) -> None:
        """Close the connection, once all is sent; no transport does while it has a producer."""
        if not self._closing:
            self._closing = True
            if not self._waiting:
                self._end()

    def _write_on(self) -> None:
        while self._waiting and not self.blocked:
            piece = bytes(self._waiting[:PIECE_BYTES])
            del self._waiting[:PIECE_BYTES]
            self._transport.write(piece)

    def _end(self) -> None:
        self._transport.unregisterProducer()
        self._transport.loseConnection()


Outlet = SocketOutlet | BufferedOutlet


def outlet(
    transport: Any, on_progress: Callable[[], None], on_drained: Callable[[], None]
) -> Outlet:
    """Give the way out that suits a transport.

    Asking for a method would not do: wrappers, those of TLS among them, pass all attributes of
    the socket below them on, and what is written to that goes out in the clear.
    """
    is_tcp = isinstance(transport.getPeer(), IPv4Address | IPv6Address)
    if is_tcp and ITCPTransport.providedBy(transport):
        # Else the second of two replies waits until the client has acknowledged the first.
        transport.setTcpNoDelay(True)
    if isinstance(transport, tcp.Connection) and not transport.TLS:
        return SocketOutlet(transport, on_progress, on_drained)
    return BufferedOutlet(transport, on_progress, on_drained)
