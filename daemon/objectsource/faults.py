"""Answers that go wrong below HTTP: what is done to a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from itertools import repeat
from typing import Any, Final

from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from daemon.objectsource.behaviour import Fault

FLOOD_BYTES: Final = 100_000_000
NOISE: Final = b"\x16\x03\x01 this is no HTTP \xff\r\n\r\n" * 8

_PIECE: Final = b" " * 50_000


def spoil(transport: Any, fault: Fault, body: bytes) -> None:
    """Answer in a way that no server should, and end the connection.

    :param transport: the connection's, on which no reply is under way.
    :param fault: RESET, CUT, NOISE or FLOOD.
    :param body: the body that a good answer would have had.
    """
    whole = _head(len(body)) + body
    half = whole[: -len(body) // 2]
    match fault:
        case Fault.RESET:
            _Pieces(transport, iter([half]), transport.abortConnection)
        case Fault.CUT:
            _Pieces(transport, iter([half]), transport.loseConnection)
        case Fault.NOISE:
            _Pieces(transport, iter([NOISE]), transport.loseConnection)
        case Fault.FLOOD:
            _Pieces(transport, _flood(), transport.loseConnection)
        case _:
            raise ValueError(f"{fault} is an answer")


def _head(length: int) -> bytes:
    status = HTTPStatus.OK
    return b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (
        status.value,
        status.phrase.encode(),
        length,
    )


def _flood() -> Iterator[bytes]:
    yield _head(FLOOD_BYTES)
    yield from repeat(_PIECE, FLOOD_BYTES // len(_PIECE))


@implementer(IPullProducer)
class _Pieces:
    """Sends one piece after another, each when the one before is on its way; then ends it all.

    :param end: what ends the connection.
    """

    def __init__(self, transport: Any, pieces: Iterator[bytes], end: Callable[[], object]) -> None:
        self._transport = transport
        self._pieces = pieces
        self._end = end
        transport.unregisterProducer()  # the server's own, which some transports have
        transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Send the next piece."""
        piece = next(self._pieces, None)
        if piece is None:
            self._transport.unregisterProducer()
            self._end()
        else:
            self._transport.write(piece)

    def stopProducing(self) -> None:
        """Learn that the connection is gone: nothing is left to do."""
