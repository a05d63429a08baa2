"""What the HTTP client takes for an answer, however it is cut, beside h11."""

from __future__ import annotations

from typing import Final, NamedTuple

import h11
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from daemon.http.answer import Answer, FetchError
from daemon.http.answer_head import RememberedHeads
from daemon.http.client_connection import ClientConnection, Fetch
from daemon.http.limits import Limits
from tests.fuzz.by_h11 import next_by_h11
from tests.fuzz.choices import SIZES, cut
from tests.fuzz.http_requests import BEHIND_HEAD, H11_REFUSES

BODY_BYTES: Final = 200
_BREAKS: Final = 1
_REQUEST: Final = b"GET /objects/1 HTTP/1.1\r\nHost: a\r\n\r\n"
_UNLIMITED: Final = 1 << 20
_WITHOUT_BODY: Final = {204, 304}


class Wire(StringTransport):
    """A connection to a source.

    :ivar over: the client has ended it.
    """

    def __init__(self) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "127.0.0.1", 80))
        self.over = False

    def loseConnection(self) -> None:
        self.over = True

    def abortConnection(self) -> None:
        self.over = True


class Outcome(NamedTuple):
    """What became of one request.

    :ivar answer: what the client got, or the kind of error.
    :ivar goes_on: the connection takes another request.
    """

    answer: Answer | type[FetchError] | None
    goes_on: bool


class Owner:
    """Whom the connection tells what becomes of it."""

    def __init__(self) -> None:
        self.told: list[Answer | FetchError] = []
        self.gone_with: list[Fetch | None] = []

    def answered(self, _connection: ClientConnection, _fetch: Fetch, answer: Answer) -> None:
        self.told.append(answer)

    answered_last = answered

    def failed(self, _connection: ClientConnection, _fetch: Fetch, error: FetchError) -> None:
        self.told.append(error)

    def ending(self, _connection: ClientConnection) -> None:
        pass

    def gone(self, _connection: ClientConnection, stale: Fetch | None) -> None:
        self.gone_with.append(stale)


def run(data: bytes) -> None:
    """Have two requests answered, in one piece each and in many."""
    flags, first_bytes = data[:1], data[1:2]
    sizes, raw = data[2 : 2 + SIZES], data[2 + SIZES :]
    end = first_bytes[0] if first_bytes else 0
    answers = [raw[:end], raw[end:]] if end else [raw]
    breaks = bool(flags and flags[0] & _BREAKS)
    whole = _outcomes([[answer] if answer else [] for answer in answers], breaks=breaks)
    pieces = _outcomes([cut(answer, sizes) for answer in answers], breaks=breaks)
    assert whole == pieces, (whole, pieces)
    _compare(answers[0], whole[0].answer, closed=not breaks)


def _outcomes(answers: list[list[bytes]], *, breaks: bool) -> list[Outcome]:
    owner, wire = Owner(), Wire()
    connection = ClientConnection(owner, RememberedHeads(BODY_BYTES), Limits(body_bytes=BODY_BYTES))
    connection.makeConnection(wire)
    outcomes: list[Outcome] = []
    for number, pieces in enumerate(answers, 1):
        if wire.over:
            break
        owner.told.clear()
        connection.start(Fetch(_REQUEST, 0.0, Deferred()))
        for piece in pieces:
            if not wire.over:
                connection.dataReceived(piece)
        is_last = number == len(answers)
        goes_on = bool(owner.told) and not wire.over
        if is_last or not owner.told:
            connection.connectionLost(Failure(ConnectionLost() if breaks else ConnectionDone()))
        outcomes.append(Outcome(_only(owner), goes_on))
        if owner.gone_with:
            break
    assert len(owner.gone_with) <= 1
    return outcomes


def _only(owner: Owner) -> Answer | type[FetchError] | None:
    """Give what was told: one thing at most, and one that may be sent once more otherwise."""
    if not owner.told:
        assert owner.gone_with
        assert owner.gone_with[0] is not None, "nobody learns what becomes of a request"
        return None
    assert len(owner.told) == 1, owner.told
    told = owner.told[0]
    if isinstance(told, Answer):
        assert 200 <= told.status <= 999
        assert len(told.body) <= BODY_BYTES
        return told
    return type(told)


def _compare(raw: bytes, answer: Answer | type[FetchError] | None, *, closed: bool) -> None:
    """See that h11 reads an answer that we take as the same."""
    if not isinstance(answer, Answer):
        return
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=_UNLIMITED)
    client.send(h11.Request(method=b"GET", target=b"/", headers=[(b"host", b"a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    if closed:
        client.receive_data(b"")
    try:
        read = next_by_h11(client)
    except h11.RemoteProtocolError as error:
        # It looks at how long the body would be of an answer that has none, and at trailers.
        assert f"{BEHIND_HEAD}{error}" in H11_REFUSES, (str(error), answer)
        assert answer.status in _WITHOUT_BODY or b"transfer-encoding" in answer.fields
    else:
        assert read == (answer.status, answer.body), (read, answer)


_OK: Final = b"HTTP/1.1 200 OK\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n\r\n"

WORDS: Final = (
    b"\r\n",
    b"\r\n\r\n",
    _OK,
    b"HTTP/1.0 200 OK\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 \r\n",
    b"HTTP/1.1 304\r\n",
    b"HTTP/1.1 101 X\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 999999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Upgrade: h2c\r\nConnection: upgrade\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b";a=b",
)

_START: Final = bytes(2 + SIZES)
SEEDS: Final = (
    _START + _OK + b"Content-Length: 3\r\n\r\nabc",
    _START + _OK + b"Content-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n",
    _START + _OK + b"Content-Length: 201\r\n\r\nabc",
    _START + _OK + _CHUNKED + b"3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n",
    _START + _OK + _CHUNKED + b"ff\r\nabc\r\n",
    _START + _OK + b"\r\nuntil the end",
    _START + b"HTTP/1.1 100 Continue\r\n\r\n" + _OK + b"Content-Length: 0\r\n\r\n",
    _START + b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    _START + b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx",
    _START + b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    _START + b"HTTP/1.1 204\r\n\r\n",
    _START + _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    _START + _OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    bytes([0, 40, 3, 0, 0, 0]) + (_OK + b"Content-Length: 2\r\n\r\nab") * 2,
    bytes([1, 40, 3, 0, 0, 0]) + (_OK + b"Content-Length: 2\r\n\r\nab") * 2,
    bytes([1, 0, 5, 0, 0, 0]) + _OK + b"\r\nuntil it breaks",
)
