"""Clients of the number server, on real sockets."""

from __future__ import annotations

import array
import fcntl
import itertools
import socket
import ssl
import struct
import termios
import time
from collections.abc import Iterable
from typing import Self

TIMEOUT_S = 60.0
TCP_REPAIR = 19

_serial = itertools.count(100_000_007, 101)


def fresh_numbers(count: int) -> list[int]:
    """Give numbers of nine digits that no test was given before."""
    return list(itertools.islice(_serial, count))


def lines(numbers: Iterable[int]) -> bytes:
    """Write numbers as a client sends them."""
    return b"".join(b"%09d\n" % number for number in numbers)


class Client:
    """One connection.

    :param address: host and port, or the path of a unix socket.
    :param tls: wraps the connection.
    """

    def __init__(
        self, address: tuple[str, int] | str, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._socket = _connected(address)
        if tls is not None:
            self._socket = tls.wrap_socket(self._socket, server_hostname="localhost")

    def send(self, data: bytes) -> Self:
        """Send bytes, all of them."""
        self._socket.sendall(data)
        return self

    def send_numbers(self, numbers: Iterable[int]) -> Self:
        """Send lines."""
        return self.send(lines(numbers))

    def send_while_possible(self, data: bytes) -> None:
        """Send bytes until the other side has closed."""
        try:
            self._socket.sendall(data)
        except ConnectionError:
            return

    def until_delivered(self) -> Self:
        """Wait until the daemon's system holds all that was sent."""
        unsent = array.array("i", [1])
        deadline = time.monotonic() + TIMEOUT_S
        while unsent[0]:
            assert time.monotonic() < deadline
            fcntl.ioctl(self._socket, termios.TIOCOUTQ, unsent)
        return self

    def until_end(self) -> bytes:
        """Wait until the other side closes or resets the connection; gives what it had sent."""
        received = b""
        try:
            while chunk := self._socket.recv(4096):
                received += chunk
        except ConnectionError:
            pass
        return received

    def finish(self) -> None:
        """End the client's side only (FIN)."""
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Break the connection off (RST)."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def vanish(self) -> None:
        """Be gone without a packet, as a machine without power is.

        :raises PermissionError: this takes CAP_NET_ADMIN.
        """
        self._socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self._socket.close()

    def close(self) -> None:
        """Close the connection (FIN)."""
        self._socket.close()


def _connected(address: tuple[str, int] | str) -> socket.socket:
    if isinstance(address, str):
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(TIMEOUT_S)
        connection.connect(address)
        return connection
    try:
        connection = socket.create_connection(address, timeout=TIMEOUT_S)
    except ConnectionResetError:
        # It was made, and broken off before this process got to see it.
        return _ended()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _ended() -> socket.socket:
    """Give a connection whose other side has gone."""
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours
