"""The way out where it is no socket of Twisted's, as over TLS: in pieces, as there is room."""

from __future__ import annotations

import pytest
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.testing import StringTransport
from zope.interface import directlyProvides

from daemon.http.outlet import PIECE_BYTES, BufferedOutlet, outlet
from tests.http.clients import Wire
from tests.http.test_outlet import body


def test_a_transport_that_is_no_socket_of_twisteds_is_asked_when_it_is_full():
    transport = StringTransport()
    told: list[str] = []
    way = outlet(transport, lambda: told.append("progressed"), lambda: told.append("drained"))
    assert isinstance(way, BufferedOutlet)
    way.write(b"a")
    assert not way.blocked
    way.pauseProducing()
    assert way.blocked
    way.resumeProducing()
    way.resumeProducing()
    assert told == ["drained"]
    assert not way.half_close()
    way.close()
    way.close()
    assert transport.disconnecting
    assert transport.producer is None


def test_such_a_transport_gets_large_replies_in_pieces_as_it_has_room():
    transport = Wire()
    transport.fills = True
    told: list[str] = []
    way = outlet(transport, lambda: told.append("progressed"), lambda: told.append("drained"))
    assert isinstance(way, BufferedOutlet)
    sent = body(3 * PIECE_BYTES)
    way.write(sent[: 2 * PIECE_BYTES + 5])
    way.write(sent[2 * PIECE_BYTES + 5 :])
    pieces = 1
    while way.blocked:
        assert len(transport.value()) == pieces * PIECE_BYTES
        way.resumeProducing()
        pieces += 1
    assert transport.value() == sent
    assert told == ["progressed"] * 2 + ["drained"]


class HalfClosing(Wire):
    """A transport whose one side can be closed.

    :ivar sent_before_end: how much it held when our side was closed.
    """

    sent_before_end: int | None = None

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    def loseWriteConnection(self) -> None:
        self.sent_before_end = len(self.value())


@pytest.mark.parametrize("size", [5, 3 * PIECE_BYTES + 5])
def test_our_side_of_such_a_transport_is_closed_when_all_is_sent(size):
    transport = HalfClosing()
    directlyProvides(transport, ITCPTransport)
    told: list[str] = []
    way = outlet(transport, lambda: told.append("progressed"), lambda: told.append("drained"))
    transport.fills = size > PIECE_BYTES
    way.write(body(size))
    assert way.half_close()
    while way.blocked:
        assert transport.sent_before_end is None
        transport.fills = len(transport.value()) < size - PIECE_BYTES
        transport.empty()
    assert transport.sent_before_end == size
    assert told.count("drained") == (size > PIECE_BYTES)
    assert transport.value() == body(size)
