"""An object source that answers at once, and every request with the same bytes.

It does no more than count the ends of requests, so that it is not what is measured.
"""

from __future__ import annotations

import argparse
import time
from email.utils import formatdate
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.interfaces import IAddress, IReactorCore, IReactorTCP, IReactorTime
from twisted.internet.protocol import Protocol, ServerFactory

HOST = "127.0.0.1"
BACKLOG = 1024
BODY = b'{"id":7,"online":false}'
END = b"\r\n\r\n"


class AnswerAtOnce(Protocol):
    """One connection of a client; it sends small requests, and each in one piece or a few."""

    transport: Any

    def __init__(self, source: Source) -> None:
        self._source = source

    def connectionMade(self) -> None:
        """Find the socket: Twisted's own way would ask the reactor first."""
        self.transport.setTcpNoDelay(True)
        self._send = self.transport.getHandle().send
        self._rest = b""

    def dataReceived(self, data: bytes) -> None:
        """Answer each request that has ended."""
        data = self._rest + data
        count = data.count(END)
        self._rest = data[data.rfind(END) + len(END) :] if count else data
        if count:
            self._send(self._source.answer * count)


class Source(ServerFactory):
    """Makes the answer anew each second, as servers do."""

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self.answer = b""
        self._make()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:  # noqa: ARG002
        """Return a protocol."""
        return AnswerAtOnce(self)

    def _make(self) -> None:
        lines = [
            "HTTP/1.1 200 OK",
            f"Date: {formatdate(time.time(), usegmt=True)}",
            f"Content-Length: {len(BODY)}",
            "Content-Type: text/plain; charset=utf-8",
        ]
        self.answer = "\r\n".join([*lines, "", ""]).encode() + BODY
        self._clock.callLater(1.0, self._make)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    source = Source(IReactorTime(installed_reactor))
    IReactorTCP(installed_reactor).listenTCP(port, source, BACKLOG, HOST)
    IReactorCore(installed_reactor).run()


if __name__ == "__main__":
    main()
