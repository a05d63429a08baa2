"""What is asked of the hash service, by wrk and by clients of our own."""

from __future__ import annotations

import http.client
import json
import socket

from benchmarks.http_servers import HOST, REQUEST_SECONDS, Job, require
from benchmarks.load import ServerProcess

FORM = "application/x-www-form-urlencoded"
BODY = "password=angryMonkey"
PREFIX = "ZEHhWB65gUlzdVwtDQAr"
POST = Job("POST /hash", "hash", "POST", "/hash", 200, BODY, media_type=FORM)
GET = Job("GET /hash/1", "hash", "GET", "/hash/1", 200)


def add_one(server: ServerProcess) -> None:
    """Add the first job, and raise unless it is that."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=REQUEST_SECONDS)
    connection.request("POST", "/hash", BODY, {"Content-Type": FORM})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    require(server, (response.status, content) == (200, b"1"), f"{response.status} {content!r}")


def pending(server: ServerProcess) -> int:
    """Return how many jobs of ours are not ready."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=REQUEST_SECONDS)
    connection.request("GET", "/v/status")
    count: int = json.loads(connection.getresponse().read())["pending"]
    connection.close()
    return count


class Asker:
    """One connection that asks small things one after another, without a library's overhead."""

    def __init__(self, server: ServerProcess) -> None:
        self._socket = socket.create_connection((HOST, server.port), REQUEST_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """Send a request; return its reply, which fits into one packet."""
        self._socket.sendall(request)
        return self._socket.recv(4096)

    def get(self, path: str, fields: str = "") -> bytes:
        """Ask for a path."""
        return self.ask(f"GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode())

    def post(self) -> int:
        """Add a job; return its id."""
        head = f"POST /hash HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\n"
        reply = self.ask(f"{head}Content-Length: {len(BODY)}\r\n\r\n{BODY}".encode())
        return int(reply.rpartition(b"\r\n\r\n")[2])

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
