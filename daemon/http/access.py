"""The access log: a line for each request, where somebody wants one.

Connections that are logged are a class of their own: those that are not pay nothing.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from daemon.http.connection import Connection
from daemon.http.head import Head
from daemon.http.limits import Refused

if TYPE_CHECKING:
    from daemon.http.server import KleinFactory

PATH_CHARACTERS: Final = 256
_STATUS: Final = slice(9, 12)
"""Where the status is in a reply."""


class AccessLog:
    """Says who asked for what, and what came of it. Queries may hold secrets, so none is shown.

    :param service: who answers.
    """

    log = Logger()

    def __init__(self, service: str) -> None:
        self._service = service

    def note(
        self, peer: str, head: Head | None, status: str, size_bytes: int, duration_s: float
    ) -> None:
        """Write the line of one request.

        :param head: None when it has none that is well-formed.
        :param status: that of the reply; ``-`` when the client left before there was one.
        :param size_bytes: the whole reply, its head included.
        :param duration_s: from the request's last byte to the reply's first.
        """
        self.log.info(
            "{service} {peer} {method} {target} {status} {size_bytes} B {duration_us} us",
            service=self._service,
            peer=peer,
            method="-" if head is None else head.method.decode("ascii", "backslashreplace"),
            target="-" if head is None else target(head),
            status=status,
            size_bytes=size_bytes,
            duration_us=ceil(duration_s * 1_000_000),
        )


class LoggedConnection(Connection):
    """A connection whose requests are logged.

    :param factory: the server.
    :param access: the log.
    """

    def __init__(self, factory: KleinFactory, access: AccessLog) -> None:
        super().__init__(factory)
        self._access = access
        self._peer = "-"
        self._head: Head | None = None
        self._began_s = 0.0

    def connectionMade(self) -> None:
        """Note who it is."""
        self._peer = peer_name(self.transport.getPeer())
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note a request whose client waits no more for the reply."""
        if self._head is not None:
            self._note("-", 0)
        super().connectionLost(reason)

    def _answer_at_once(self, head: Head, body: bytes) -> None:
        """Answer as any other request: the short way has no place for a log."""
        self._answer(head, body)
        self._advance()
        self._settle(None)

    def _answer(self, head: Head, body: bytes) -> None:
        self._head = head
        self._began_s = self.server.clock.seconds()
        super()._answer(head, body)

    def _reply_refusal(self, refused: Refused) -> None:
        if self._head is None:
            self._began_s = self.server.clock.seconds()
        super()._reply_refusal(refused)

    def _put(self, reply: bytes) -> None:
        super()._put(reply)
        self._note(reply[_STATUS].decode(), len(reply))

    def _note(self, status: str, size_bytes: int) -> None:
        duration_s = self.server.clock.seconds() - self._began_s
        self._access.note(self._peer, self._head, status, size_bytes, duration_s)
        self._head = None


def target(head: Head) -> str:
    """Give what a request is for, without its query."""
    path = head.path.decode("ascii", "backslashreplace")
    if len(path) > PATH_CHARACTERS:
        path = f"{path[:PATH_CHARACTERS]}…"
    return f"{path}?…" if head.query else path


def peer_name(peer: Any) -> str:
    """Give the address of a client."""
    if isinstance(peer, IPv4Address):
        return f"{peer.host}:{peer.port}"
    if isinstance(peer, IPv6Address):
        return f"[{peer.host}]:{peer.port}"
    return "unix"
