"""Connections that are held: idle ones, and ones whose header never ends."""

from __future__ import annotations

import resource
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.http_servers import HOST, Job, require
from benchmarks.load import POLL_SECONDS, BenchmarkError, ServerProcess, open_sockets

SPARE_DESCRIPTORS = 500
REPLY_SECONDS = 30.0
REPLY_BYTES = 4096
TRICKLE_PERIOD_SECONDS = 1.0
AT_ONCE = 32
"""Fewer than any server's backlog: a full one costs a client a second or more."""
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER for 0 s: thousands of sockets in TIME_WAIT would use up the local ports."""


def raise_descriptor_limit(connections: int) -> None:
    """Allow this process, and the servers it starts, so many connections at once."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if connections + SPARE_DESCRIPTORS > hard:
        raise BenchmarkError(f"{connections:,} connections, but ulimit -Hn is {hard:,}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def connect(port: int) -> socket.socket:
    """Return a connection that is reset when it is closed."""
    connection = socket.create_connection((HOST, port), REPLY_SECONDS)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    return connection


def request_bytes(job: Job) -> bytes:
    """Return a request of a job without a body, as a client sends it."""
    return f"GET {job.path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


@contextmanager
def idle_connections(server: ServerProcess, job: Job, number: int) -> Iterator[None]:
    """Hold keep-alive connections that have had one reply each.

    Raise if the server closes one of them before the end.
    """
    request = request_bytes(job)
    before = sum(1 for _ in open_sockets(server.process.pid))
    held: list[socket.socket] = []
    try:
        for _ in range(number):
            connection = connect(server.port)
            held.append(connection)
            connection.sendall(request)
            reply = connection.recv(REPLY_BYTES)
            require(server, reply.startswith(b"HTTP/1.1 200 "), f"answered {reply!r}")
        yield
        closed = sum(is_closed(connection) for connection in held)
        require(server, not closed, f"closed {closed:,} of {number:,} idle connections")
    finally:
        for connection in held:
            connection.close()
    wait_until_left(server, before)


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has ended a connection."""
    connection.setblocking(False)
    try:
        return connection.recv(REPLY_BYTES) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def wait_until_left(server: ServerProcess, sockets: int) -> None:
    """Wait until a server has no more than so many sockets."""
    deadline = time.monotonic() + REPLY_SECONDS
    while sum(1 for _ in open_sockets(server.process.pid)) > sockets:
        require(server, time.monotonic() < deadline, "keeps connections that were reset")
        time.sleep(POLL_SECONDS * 50)


@dataclass
class SlowClient:
    """A connection whose header comes byte by byte, and how that ends.

    :ivar began: when its first byte was sent, ``time.monotonic()``.
    :ivar ended: when the server was seen to close it; None if it has not.
    :ivar reply: what the server said before.
    """

    connection: socket.socket
    began: float
    ended: float | None = None
    reply: bytearray = field(default_factory=bytearray)

    @property
    def open_seconds(self) -> float | None:
        """How long the server put up with it, seconds."""
        return None if self.ended is None else self.ended - self.began

    @property
    def status(self) -> str:
        """The status code of the reply, empty without one."""
        return self.reply[9:12].decode("ascii", "replace")


class SlowClients:
    """Clients that begin a request and then send a byte of a field each second, in a thread."""

    def __init__(self, server: ServerProcess, job: Job, number: int) -> None:
        self._began_with = request_bytes(job)[:-2] + b"X-Slow: "
        self._selector = selectors.DefaultSelector()
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._trickle, daemon=True)
        self.clients: list[SlowClient] = []
        for opened in range(number):
            if opened % AT_ONCE == 0:
                server.wait_until_accepted()
            connection = connect(server.port)
            connection.sendall(self._began_with)
            connection.setblocking(False)
            client = SlowClient(connection, time.monotonic())
            self._selector.register(connection, selectors.EVENT_READ, client)
            self.clients.append(client)
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until the server has closed all, or ``seconds`` since the last began."""
        self._thread.join(max(0.0, self.clients[-1].began + seconds - time.monotonic()))

    def close(self) -> None:
        """End the thread and the connections."""
        self._leave.set()
        self._thread.join()
        for client in self.clients:
            client.connection.close()
        self._selector.close()

    def _trickle(self) -> None:
        due = time.monotonic() + TRICKLE_PERIOD_SECONDS
        while self._selector.get_map() and not self._leave.is_set():
            for key, _ in self._selector.select(min(0.1, max(0.0, due - time.monotonic()))):
                self._read(key.data)
            if time.monotonic() >= due:
                due += TRICKLE_PERIOD_SECONDS
                for key in list(self._selector.get_map().values()):
                    self._send_byte(key.data)

    def _send_byte(self, client: SlowClient) -> None:
        try:
            client.connection.send(b"a")
        except (ConnectionResetError, BrokenPipeError):
            self._note_end(client)

    def _read(self, client: SlowClient) -> None:
        try:
            content = client.connection.recv(REPLY_BYTES)
        except ConnectionResetError:
            content = b""
        client.reply += content
        if not content:
            self._note_end(client)

    def _note_end(self, client: SlowClient) -> None:
        client.ended = time.monotonic()
        self._selector.unregister(client.connection)
