"""An object source that answers at once: each object is online.

It looks for no more than the ids in what it is sent, so that it is not what is measured.
"""

from __future__ import annotations

import argparse
import re
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.interfaces import IReactorCore, IReactorTCP
from twisted.internet.protocol import Protocol, ServerFactory

from benchmarks.http_servers import HOST

BACKLOG = 1024
REQUEST = re.compile(rb"GET /objects/(-?[0-9]+) [^\r]*\r\n(?:[^\r]+\r\n)*\r\n")


class AnswerAtOnce(Protocol):
    """One connection of a client, which sends each request in one piece."""

    transport: Any

    def connectionMade(self) -> None:
        """Find the socket: Twisted's own way would ask the reactor first."""
        self.transport.setTcpNoDelay(True)
        self._send = self.transport.getHandle().send

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        asked = REQUEST.fullmatch(data)
        if asked is None:
            self.transport.abortConnection()
            return
        body = b'{"id":%b,"online":true}' % asked[1]
        self._send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )


class Source(ServerFactory):
    """The source."""

    protocol = AnswerAtOnce
    noisy = False


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    IReactorTCP(installed_reactor).listenTCP(port, Source(), BACKLOG, HOST)
    IReactorCore(installed_reactor).run()


if __name__ == "__main__":
    main()
