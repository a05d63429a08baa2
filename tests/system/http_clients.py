"""Clients of the HTTP services, on real sockets, and the daemons that they talk to."""

from __future__ import annotations

import re
import select
import socket
import ssl
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.system.clients import Client
from tests.system.conftest import Starter
from tests.system.running import ReservedPort, RunningDaemon

TEXT = "text/plain"

_HEAD = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [^\r\n]*\r\n((?:[!-9;-~]+: [^\r\n]*\r\n)+)\r\n")
_WITHOUT_BODY = frozenset({204, 304})
_BUG = re.compile(r"Traceback|Unhandled|incident")


class EndedError(Exception):
    """The connection ended without a byte of the reply that was to come."""


class Reply(NamedTuple):
    """What a server answered.

    :ivar fields: by their names in lower case.
    """

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def etag(self) -> str:
        """The entity tag, as it was sent."""
        return self.fields["etag"]


def request(method: str, target: str, body: bytes | None = None, **fields: str) -> bytes:
    """Write a request.

    :param fields: by their names, with ``_`` for ``-``.
    """
    fields = {"host": "localhost"} | fields
    if body is not None:
        fields["content_length"] = str(len(body))
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name.replace('_', '-').title()}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


class HTTPClient(Client):
    """One connection, whose replies must be well-formed."""

    def __init__(
        self, address: tuple[str, int] | str, *, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(address, tls=tls)
        self._received = bytearray()

    def ask(self, method: str, target: str, body: bytes | None = None, **fields: str) -> Reply:
        """Send a request, and read its reply.

        :raises EndedError: there is none.
        """
        try:
            self.send(request(method, target, body, **fields))
        except ConnectionError as error:
            raise EndedError from error
        return self.reply(to_head=method == "HEAD")

    def reply(self, *, to_head: bool = False) -> Reply:
        """Read one whole reply.

        :param to_head: it is to a HEAD request, and has no body.
        :raises EndedError: the connection ended before its first byte.
        :raises AssertionError: it is torn, or malformed.
        """
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._receive()
        head = bytes(self._received[: end + 4])
        match = _HEAD.fullmatch(head)
        assert match is not None, f"no head of a reply: {head!r}"
        status = int(match[1])
        lines = [line.split(": ", 1) for line in match[2].decode("latin-1").splitlines()]
        fields = {name.lower(): value for name, value in lines}
        assert len(fields) == len(lines), f"a field comes twice: {head!r}"
        length = 0
        if not (to_head or status in _WITHOUT_BODY or status < 200):
            length = int(fields["content-length"])
        while len(self._received) < len(head) + length:
            self._receive()
        body = bytes(self._received[len(head) : len(head) + length])
        del self._received[: len(head) + length]
        return Reply(status, fields, body)

    def has_ended(self) -> bool:
        """Wait for the end of the connection; whether nothing more came before it."""
        return not self._received and not self.until_end()

    def read_some(self, at_most: int = 65_536) -> bytes:
        """Read what has come; empty at the end."""
        return self._socket.recv(at_most)

    def with_small_buffer(self) -> Self:
        """Have the system keep little of what comes, though more than a packet."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
        return self

    def send_until_stuck(self, piece: bytes) -> int:
        """Send a piece again and again, until the other side has taken none for half a second.

        :returns: how many went out whole.
        :raises AssertionError: it takes tens of megabytes, and still no end.
        """
        left = memoryview(piece * (64 * 1024 * 1024 // len(piece)))
        total_bytes = len(left)
        while select.select([], [self._socket], [], 0.5)[1]:
            try:
                left = left[self._socket.send(left[:65_536]) :]
            except ConnectionError:
                break  # the other side has lost patience already
            assert left, "all of it was taken"
        return (total_bytes - len(left)) // len(piece)

    def fileno(self) -> int:
        """Give the descriptor, for select()."""
        return self._socket.fileno()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(65_536)
        except ConnectionError:
            data = b""
        if not data:
            assert not self._received, f"a torn reply: {bytes(self._received)!r}"
            raise EndedError
        self._received += data


class Place(NamedTuple):
    """Where a service listens.

    :ivar endpoint: for the daemon.
    :ivar address: for clients: host and port, or the path of a unix socket.
    """

    endpoint: str
    address: tuple[str, int] | str


def tcp(port: ReservedPort, *, kind: str = "tcp", options: str = "") -> Place:
    """Give the place of a port."""
    endpoint = f"{kind}:port={port.number}:interface={port.host}{options}"
    return Place(endpoint, (port.host, port.number))


class WebDaemon(RunningDaemon):
    """A daemon with one HTTP service. What clients do may put no bug of ours into its log."""

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        assert not _BUG.search(self.stderr), self.stderr

    def connect(self, **options: Any) -> HTTPClient:
        """Connect a client, whose socket the daemon's end or :meth:`hang_up` closes."""
        client = HTTPClient(self.address, **options)
        self._clients.append(client)
        return client

    def ask(self, method: str, target: str, body: bytes | None = None, **fields: str) -> Reply:
        """Ask on a connection of its own."""
        client = HTTPClient(self.address)
        try:
            return client.ask(method, target, body, **fields)
        finally:
            client.close()

    def put(self, timestamp: str, **fields: str) -> Reply:
        """Write a timestamp."""
        return self.ask("PUT", "/timestamp", timestamp.encode(), content_type=TEXT, **fields)

    def get(self, target: str = "/timestamp", **fields: str) -> Reply:
        """Read a timestamp, or something else."""
        return self.ask("GET", target, None, **fields)


def flags(service: str, place: Place, **settings: object) -> list[str]:
    """Give the flags of a daemon with this one service.

    :param settings: of the service.
    """
    given = [f"{service}.{name}={value}" for name, value in settings.items()]
    chosen = [f"{service}.listen={place.endpoint}", *given]
    return ["--only", service, *(word for setting in chosen for word in ("--set", setting))]


def serve(
    start: Starter,
    service: str,
    *more_flags: str | Path,
    place: Place | None = None,
    folder: Path | None = None,
    wait: bool = True,
    **settings: object,
) -> WebDaemon:
    """Start a daemon with one HTTP service.

    :param place: where; a free port if None.
    :param folder: its working folder; an empty one if None.
    :param wait: for the daemon to be ready.
    :param settings: of the service.
    """
    place = place or tcp(start.port())
    arguments = ["-n", "--pidfile=", "tsdaemon", *flags(service, place, **settings), *more_flags]
    daemon = WebDaemon(folder or start.folder(), arguments, place.address)
    start.adopt(daemon)
    if wait:
        daemon.wait_until_ready()
    return daemon
