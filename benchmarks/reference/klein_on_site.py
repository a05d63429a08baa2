"""The plain counter and timestamp servers: Klein on twisted.web.

Written the way one would at first, and kept in memory unless ``--sync`` asks for
an fsync for each timestamp.  The benchmarks measure it in turns with the project's
own services.  Where it could be slower than it has to be, it is not: it keeps no
access log, and its backlog is long enough for all clients to connect at once.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import deque
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import BinaryIO

from klein import Klein
from twisted.internet import reactor as installed_reactor
from twisted.internet.interfaces import IReactorCore, IReactorTCP
from twisted.web.http import Request as HTTPRequest
from twisted.web.iweb import IRequest
from twisted.web.server import Site

HOST = "127.0.0.1"
BACKLOG = 4096
WINDOW_SECONDS = 60.0
MEDIA_TYPE = "text/plain"


class Counter:
    """How many requests came in the last minute, exactly."""

    app = Klein()

    def __init__(self) -> None:
        self.arrivals: deque[float] = deque()

    @app.route("/")
    def count(self, request: IRequest) -> str:
        """Count this request and answer with the window's size."""
        now = time.monotonic()
        arrivals = self.arrivals
        arrivals.append(now)
        while arrivals[0] <= now - WINDOW_SECONDS:
            arrivals.popleft()
        request.setHeader("Content-Type", MEDIA_TYPE)
        return str(len(arrivals))


class Timestamp:
    """One timestamp, stored and read back."""

    app = Klein()

    def __init__(self, stored_in: BinaryIO | None) -> None:
        self.value = b""
        self.stored_in = stored_in

    @app.route("/timestamp", methods=["GET"])
    def read(self, request: IRequest) -> bytes:
        """Answer with the timestamp as it was sent, or with 404."""
        request.setHeader("Content-Type", MEDIA_TYPE)
        if not self.value:
            request.setResponseCode(404)
            return b"no timestamp is stored"
        return self.value

    @app.route("/timestamp", methods=["PUT"])
    def write(self, request: IRequest) -> bytes:
        """Store a timestamp, on disk first if it is to be there."""
        value = request.content.read().strip()
        try:
            Decimal(value.decode("ascii"))
        except (InvalidOperation, UnicodeDecodeError):
            request.setResponseCode(400)
            return b"not a timestamp"
        if self.stored_in is not None:
            self.stored_in.seek(0)
            self.stored_in.write(value.ljust(64) + b"\n")
            self.stored_in.flush()
            os.fsync(self.stored_in.fileno())
        self.value = value
        request.setResponseCode(204)
        return b""


class QuietSite(Site):
    """A site without an access log."""

    def log(self, request: HTTPRequest) -> None:
        """Write nothing."""


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("service", choices=["counter", "timestamp"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--sync", action="store_true", help="fsync each timestamp")
    options = parser.parse_args()
    if options.service == "counter":
        resource = Counter().app.resource()
    else:
        stored_in = Path("timestamp").open("wb") if options.sync else None  # noqa: SIM115
        resource = Timestamp(stored_in).app.resource()
    site = QuietSite(resource)
    # Site is no ServerFactory to the type stubs.
    tcp = IReactorTCP(installed_reactor)
    tcp.listenTCP(options.port, site, BACKLOG, HOST)  # type: ignore[arg-type]
    IReactorCore(installed_reactor).run()


if __name__ == "__main__":
    main()
