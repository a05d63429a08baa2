"""The number server's lines, in blocks, beside the plainest reading of the rules."""

from __future__ import annotations

from typing import Final, NamedTuple

from twisted.internet.address import IPv4Address
from twisted.internet.testing import StringTransport

from daemon.numbers import wire
from daemon.numbers.intake import Intake
from daemon.numbers.places import Places
from daemon.numbers.protocol import NumberClient
from daemon.peers import is_local
from tests.fuzz.choices import SIZES, cut

_DIGITS: Final = b"0123456789"
_ADDRESSES: Final = (
    IPv4Address("TCP", "127.0.0.1", 50000),
    IPv4Address("TCP", "192.0.2.1", 50000),
)


class Outcome(NamedTuple):
    """What became of a client.

    :ivar numbers: what counted.
    :ivar ended: the client was disconnected.
    :ivar terminated: it has stopped the daemon.
    """

    numbers: list[int]
    ended: bool
    terminated: bool


class Sink:
    """Takes lines as the service does."""

    full = False

    def __init__(self) -> None:
        self.intake: Intake[NumberClient] = Intake()
        self.refusals = 0
        self.terminated = 0

    def receive(self, block: bytes, sender: NumberClient) -> int:
        return self.intake.add(block, sender)

    def refused(self, _client: NumberClient, line: bytes) -> None:
        assert len(line) <= wire.LINE
        self.refusals += 1

    def terminate(self, _client: NumberClient) -> None:
        self.terminated += 1


def run(data: bytes) -> None:
    """Send bytes as one client, in one piece and in many; from here, or from elsewhere."""
    trusted = not (data and data[0] & 1)
    sizes, raw = data[1 : 1 + SIZES], data[1 + SIZES :]
    expected = _expected(raw, trusted=trusted)
    for pieces in ([raw], cut(raw, sizes)):
        assert _outcome(pieces, trusted=trusted) == expected, expected
    numbers = wire.parse(raw).tolist()
    regular = _expected(raw, trusted=False).numbers
    assert numbers == regular
    assert wire.regular_bytes(raw) == len(numbers) * wire.LINE


def _expected(raw: bytes, *, trusted: bool) -> Outcome:
    """Read byte by byte."""
    numbers: list[int] = []
    line = b""
    for value in raw:
        line += bytes([value])
        if line == b"terminate\n" and trusted:
            return Outcome(numbers, True, True)
        if len(line) == wire.LINE and line.endswith(b"\n") and _are_digits(line[:-1]):
            numbers.append(int(line))
            line = b""
        elif not _may_go_on(line, trusted=trusted):
            return Outcome(numbers, True, False)
    return Outcome(numbers, False, False)


def _may_go_on(line: bytes, *, trusted: bool) -> bool:
    if len(line) <= wire.DIGITS and _are_digits(line):
        return True
    return trusted and b"terminate".startswith(line)


def _are_digits(text: bytes) -> bool:
    return all(byte in _DIGITS for byte in text)


def _outcome(pieces: list[bytes], *, trusted: bool) -> Outcome:
    sink = Sink()
    places: Places[NumberClient] = Places(1)
    client = NumberClient(places, sink, is_local)
    transport = StringTransport(peerAddress=_ADDRESSES[0 if trusted else 1])
    client.makeConnection(transport)
    for piece in pieces:
        client.dataReceived(piece)
    client.connectionLost()
    assert transport.value() == b""
    assert sink.refusals + sink.terminated == transport.disconnecting
    batch = sink.intake.take().numbers.tolist() if sink.intake.count else []
    return Outcome(batch, bool(transport.disconnecting), bool(sink.terminated))


WORDS: Final = (b"terminate\n", b"000000000\n", b"999999999\n", b"123456789", b"\r\n", b"\n")

_START: Final = bytes(1 + SIZES)
SEEDS: Final = (
    _START + b"123456789\n000000000\n",
    _START + b"123456789\nterminate\n000000000\n",
    bytes([1, 7, 0, 0, 0]) + b"123456789\nterminate\n",
    bytes([0, 1, 0, 0, 0]) + b"123456789\n12345678\n",
    bytes([0, 3, 9, 1, 0]) + b"1234567890\n",
    bytes([0, 4, 0, 0, 0]) + b"12345x",
    _START + b"123456789\n12345x789\n",
    bytes([0, 255, 255, 255, 255]) + b"123456789\n" * 420 + b"1234\n",
)
