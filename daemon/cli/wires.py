"""The connections to the number server, each with what it still has to send."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from enum import Enum

from daemon.cli.lines import Block
from daemon.cli.outcome import CannotAskError

CONNECT_S = 10.0
SETTLE_S = 0.1
"""How long a server has to refuse a connection before something is sent over it."""

_ENDED = select.POLLIN | select.POLLHUP | select.POLLERR


class Ending(Enum):
    """How a connection ended."""

    IN_ORDER = "in order"
    """The server has read all and closed."""
    EARLY = "early"
    """The server closed it while there was more to send, or read not all of what was sent."""
    STRANGE = "strange"
    """Something was answered; number servers answer nothing."""


class Wire:
    """One connection.

    :param number: from 1, for messages.
    :ivar sent_bytes: what the system has taken.
    """

    def __init__(self, sock: socket.socket, number: int) -> None:
        self._socket = sock
        self.number = number
        self.sent_bytes = 0
        self._pending = memoryview(b"")
        self.last: Block | None = None
        self.is_finishing = False

    def fileno(self) -> int:
        """Give the descriptor, for poll."""
        return self._socket.fileno()

    @property
    def is_idle(self) -> bool:
        """Whether it can take a block."""
        return not self._pending and not self.is_finishing

    @property
    def wants_to_send(self) -> bool:
        """Whether something of its block is left."""
        return bool(self._pending)

    def take(self, block: Block) -> Ending | None:
        """Begin to send a block."""
        self.last = block
        self._pending = memoryview(block.data)
        return self.push()

    def push(self) -> Ending | None:
        """Send what the system takes now."""
        try:
            while self._pending:
                taken = self._socket.send(self._pending)
                self._pending = self._pending[taken:]
                self.sent_bytes += taken
        except BlockingIOError:
            return None
        except OSError:
            return Ending.EARLY
        return None

    def finish(self) -> Ending | None:
        """Say that this was all; the server closes when it has read it."""
        self.is_finishing = True
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return Ending.EARLY
        return None

    def listen(self) -> Ending | None:
        """See what the server did; None when it was nothing."""
        try:
            data = self._socket.recv(1)
        except BlockingIOError:
            return None
        except OSError:
            return Ending.EARLY
        if data:
            return Ending.STRANGE
        return Ending.IN_ORDER if self.is_finishing else Ending.EARLY

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def connect(host: str, port: int, count: int) -> list[Wire]:
    """Make connections, and leave out those that the server refuses.

    A number server that is full accepts a connection and closes it. What were sent over that one
    would be lost, so it is looked at first.

    :raises CannotAskError: there is none left.
    """
    wires: list[Wire] = []
    try:
        for number in range(1, count + 1):
            sock = socket.create_connection((host, port), CONNECT_S)
            sock.setblocking(False)
            wires.append(Wire(sock, number))
    except OSError as error:
        for wire in wires:
            wire.close()
        why = error.strerror or str(error)
        raise CannotAskError(f"cannot connect to {host} port {port}: {why}") from error
    left = _not_refused(wires)
    if not left:
        raise CannotAskError(
            f"{host} port {port} refuses all connections: as many clients are connected"
            " as it takes, or it is about to stop"
        )
    return left


def _not_refused(wires: Sequence[Wire]) -> list[Wire]:
    left = {wire.fileno(): wire for wire in wires}
    until = time.monotonic() + SETTLE_S
    poll = select.poll()
    for wire in wires:
        poll.register(wire, select.POLLIN)
    while left and (left_s := until - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(left_s * 1000):
            poll.unregister(descriptor)
            left.pop(descriptor).close()
    return list(left.values())


def poll(
    wires: Sequence[Wire], more: int | None, timeout_s: float | None
) -> tuple[list[tuple[Wire, bool]], bool]:
    """Wait until something can be done.

    :param more: a descriptor to read more from; None: there is nothing to wait for.
    :param timeout_s: None: as long as it takes.
    :returns: each connection with something to do, with whether the server did something; and
        whether there is more to read.
    """
    waiting = select.poll()
    by_descriptor = {}
    for wire in wires:
        events = select.POLLIN | (select.POLLOUT if wire.wants_to_send else 0)
        by_descriptor[wire.fileno()] = wire
        waiting.register(wire, events)
    if more is not None:
        waiting.register(more, select.POLLIN)
    found = waiting.poll(None if timeout_s is None else timeout_s * 1000)
    return (
        [(by_descriptor[d], bool(events & _ENDED)) for d, events in found if d in by_descriptor],
        any(descriptor == more for descriptor, _ in found),
    )
