"""Servers on real sockets that do what a test says, as no honest server would."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

TIMEOUT_S: Final = 60.0
"""How long anything may take before a test gives up."""

Behave = Callable[[socket.socket], None]

RESET: Final = struct.pack("ii", 1, 0)


@contextmanager
def serving(behave: Behave, *, clients: int = 1) -> Iterator[int]:
    """Serve some clients, each in a thread of its own, and give the port.

    What goes wrong with a client that hangs up is no failure of the test.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(TIMEOUT_S)
        thread = threading.Thread(target=_accept, args=(listening, behave, clients))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def answering(*answers: bytes) -> Behave:
    """Answer each request, as far as its header, with the next of some answers; then close."""
    left = list(answers)

    def behave(client: socket.socket) -> None:
        received = b""
        while b"\r\n\r\n" not in received:
            received += client.recv(65_536)
        client.sendall(left.pop(0))

    return behave


def reply(status: str, body: bytes = b"", *fields: str) -> bytes:
    """Write an answer that ends its connection."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *fields]
    return "\r\n".join([*head, "", ""]).encode() + body


def read_all(client: socket.socket) -> bytes:
    """Read until the client has said that this was all."""
    received = bytearray()
    while piece := client.recv(65_536):
        received += piece
    return bytes(received)


def reset(client: socket.socket) -> None:
    """End a connection as a crash does."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def _accept(listening: socket.socket, behave: Behave, clients: int) -> None:
    threads = []
    with suppress(OSError):
        for _ in range(clients):
            client, _ = listening.accept()
            client.settimeout(TIMEOUT_S)
            threads.append(threading.Thread(target=_serve, args=(client, behave)))
            threads[-1].start()
    for thread in threads:
        thread.join()


def _serve(client: socket.socket, behave: Behave) -> None:
    with client, suppress(OSError):
        behave(client)
