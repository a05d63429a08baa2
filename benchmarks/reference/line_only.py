"""The plain number server: a ``LineOnlyReceiver`` and a ``set``.

It keeps the same protocol as the project's number server (except the report
line), written the way one would at first.  The benchmarks measure it in turns
with the project's server.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from twisted.internet import reactor as installed_reactor
from twisted.internet.interfaces import IAddress, IReactorCore, IReactorTCP
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

HOST = "127.0.0.1"
PORT = 4000
CLIENT_LIMIT = 5
DIGITS = 9
FLUSH_SECONDS = 0.1


class NumberLog:
    """Distinct lines, and those of them which wait to be written."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        # As bytes: they need more memory than int, but less time.
        self.seen: set[bytes] = set()
        self.waiting: list[bytes] = []

    def flush(self) -> None:
        """Write what has come since the last call, without leading zeros."""
        if self.waiting:
            numbers = [line.lstrip(b"0") or b"0" for line in self.waiting]
            self.waiting.clear()
            self.stream.write(b"\n".join(numbers) + b"\n")
        self.stream.flush()


class NumberProtocol(LineOnlyReceiver):
    """One client: lines of nine digits, or ``terminate``."""

    delimiter = b"\n"

    def __init__(self, clients: NumberFactory, log: NumberLog) -> None:
        self.clients = clients
        self.seen = log.seen
        self.waiting = log.waiting

    def connectionMade(self) -> None:
        """Take one of the places."""
        self.clients.connected += 1

    def connectionLost(self, reason: Failure | None = None) -> None:  # noqa: ARG002
        """Give the place back."""
        self.clients.connected -= 1

    def lineReceived(self, line: bytes) -> None:
        """Remember a new number; close at anything which is not a number."""
        if len(line) == DIGITS and line.isdigit():
            if line not in self.seen:
                self.seen.add(line)
                self.waiting.append(line)
            return
        if line == b"terminate":
            self.clients.core.stop()
        if self.transport is not None:
            self.transport.loseConnection()


class NumberFactory(ServerFactory):
    """Accept at most five clients; close any other at once."""

    def __init__(self, core: IReactorCore, log: NumberLog) -> None:
        self.core = core
        self.log = log
        self.connected = 0

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:  # noqa: ARG002
        """Return a protocol, or None (which closes the connection)."""
        if self.connected >= CLIENT_LIMIT:
            return None
        return NumberProtocol(self, self.log)


def main() -> None:
    """Serve until SIGTERM or ``terminate``."""
    core = IReactorCore(installed_reactor)
    with Path("numbers.log").open("wb") as stream:
        log = NumberLog(stream)
        factory = NumberFactory(core, log)
        IReactorTCP(installed_reactor).listenTCP(PORT, factory, interface=HOST)
        LoopingCall(log.flush).start(FLUSH_SECONDS)
        core.run()
        log.flush()


if __name__ == "__main__":
    main()
