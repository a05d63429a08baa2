"""Crowds of clients that mean harm, from one thread, and ways for them to go."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final, Self

from tests.system.clients import TCP_REPAIR

TIMEOUT_S: Final = 15.0
PIECE_BYTES: Final = 64 * 1024


class Hostile:
    """One connection; nothing that is done with it waits for the daemon.

    :param address: host and port.
    :param to_send: what it sends, as soon as the daemon takes it.
    :param reads: whether it reads what comes.
    :ivar sent: how many bytes went out.
    :ivar received: what it has read.
    :ivar ended: the daemon has closed or reset the connection.
    """

    def __init__(
        self, address: tuple[str, int], to_send: bytes = b"", *, reads: bool = True
    ) -> None:
        self.received = b""
        self.sent = 0
        self.ended = False
        self._left = memoryview(to_send)
        self._reads = reads
        self.socket = socket.create_connection(address, timeout=TIMEOUT_S)
        if not reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    @property
    def statuses(self) -> list[int]:
        """The statuses of the replies it has read, by what no body here contains."""
        return [int(part[:3]) for part in self.received.split(b"HTTP/1.1 ")[1:]]

    def add(self, data: bytes) -> None:
        """Let it send more, behind what it has to send."""
        self._left = memoryview(bytes(self._left) + data)

    def step(self, at_most: int = PIECE_BYTES) -> bool:
        """Send and read what is possible now.

        :param at_most: so many bytes go out.
        :returns: whether anything was.
        """
        return self._send(at_most) | self._read()

    def has_been_broken(self) -> bool:
        """Whether the daemon has ended the connection, also if what it sent is not read."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return self.ended or bool(poll.poll(0))

    def reset(self) -> None:
        """Break the connection off (RST)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def vanish(self) -> None:
        """Be gone without a packet, as a machine without power is.

        :raises PermissionError: this takes CAP_NET_ADMIN.
        """
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        self.socket.close()

    def close(self) -> None:
        """Close the connection (FIN, or RST where something is unread)."""
        self.socket.close()

    def _send(self, at_most: int) -> bool:
        if self.ended or not self._left:
            return False
        try:
            count = self.socket.send(self._left[:at_most])
        except BlockingIOError:
            return False
        except ConnectionError:
            self.ended = True
            return True
        self._left = self._left[count:]
        self.sent += count
        return True

    def _read(self) -> bool:
        if self.ended or not self._reads:
            return False
        try:
            data = self.socket.recv(PIECE_BYTES)
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""
        self.received += data
        self.ended = not data
        return True


class Crowd:
    """Many of them; leaving the context closes all."""

    def __init__(self, members: Iterator[Hostile]) -> None:
        self.members: Sequence[Hostile] = tuple(members)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.close()

    @property
    def sent(self) -> int:
        """How many bytes they have sent together."""
        return sum(member.sent for member in self.members)

    def push(self, rounds: int = 5, at_most: int = PIECE_BYTES) -> None:
        """Let all send and read, so often, or until nothing is possible now."""
        for _ in range(rounds):
            moved = [member.step(at_most) for member in self.members]
            if not any(moved):
                return

    def all_ended(self) -> bool:
        """Let all read; whether the daemon has ended all connections."""
        self.push()
        return all(member.has_been_broken() for member in self.members)


def may_vanish() -> bool:
    """Whether connections can be left without a packet."""
    with socket.socket() as trial:
        try:
            trial.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        except OSError:
            return False
    return True
