"""The HTTP server and the services behind it: whatever comes, however it is cut."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Final, NamedTuple

import h11

from daemon.http.head import parse
from daemon.http.reader import Received, RequestReader
from tests.fuzz import http_seeds, web_worlds
from tests.fuzz.by_h11 import next_by_h11
from tests.fuzz.choices import SIZES, cut
from tests.fuzz.http_requests import EARLY
from tests.fuzz.watched import no_failure_logged
from tests.fuzz.web_worlds import LIMITS, STEP_S, Wire, World
from tests.http.responses import Response, read_responses

_CONNECTIONS: Final = 2
"""One after another, with the same bytes: heads that come again are read another way."""

_WAITS: Final = 40
"""Steps of the clock. Nobody waits for longer than two of them, one request after another."""

_PATIENCE_S: Final = 130.0
"""Longer than any timeout."""

_PLAIN: Final = b"text/plain; charset=utf-8"
_PROBLEM: Final = b"application/problem+json"

Enter = Callable[[], AbstractContextManager[World]]

WORLDS: Final[tuple[tuple[Enter, bytes], ...]] = (
    (web_worlds.timestamp, _PLAIN),
    (web_worlds.hashes, _PROBLEM),
    (web_worlds.counter, _PLAIN),
    (web_worlds.callbacks, _PROBLEM),
)
"""The services, and the media types of their errors."""

ALLOWED: Final = frozenset(
    {200, 202, 204, 304, 308, 400, 403, 404, 405, 406, 408, 410, 411, 412, 413, 414}
    | {415, 417, 422, 431, 501, 503, 505}
)
"""Any other status would be a bug."""

_ENDS: Final = 4
_FLAGS: Final = 1


class Outcome(NamedTuple):
    """What a client has got."""

    raw: bytes
    half_closed: bool


def run(data: bytes) -> None:
    """Send the same bytes in one piece, and in many."""
    flags = data[0] if data else 0
    sizes, raw = data[_FLAGS : _FLAGS + SIZES], data[_FLAGS + SIZES :]
    enter, media_type = WORLDS[flags % len(WORLDS)]
    ends = bool(flags & _ENDS)
    with no_failure_logged():
        whole = _outcomes(enter, [raw] if raw else [], ends=ends)
        pieces = _outcomes(enter, cut(raw, sizes), ends=ends)
    requests, refused = _requests(raw)
    for one, other in zip(whole, pieces, strict=True):
        replies = _replies(one, requests)
        for reply in replies:
            _check(reply, media_type)
        others = _replies(other, requests)
        assert _alike(replies, others, refused), (one.raw, other.raw)
        _read_by_h11(one.raw, [reply for reply in replies if not reply.is_interim], requests)


def _outcomes(enter: Enter, pieces: Sequence[bytes], *, ends: bool) -> list[Outcome]:
    with enter() as world:
        return [_outcome(world, pieces, ends=ends) for _ in range(_CONNECTIONS)]


def _outcome(world: World, pieces: Sequence[bytes], *, ends: bool) -> Outcome:
    """Have a connection from its beginning to its end."""
    protocol, wire = world.connect()
    for piece in pieces:
        _let_go_on(world, wire)
        if wire.gone:
            break
        protocol.dataReceived(piece)
        world.clock.advance(0)
    if ends and not wire.gone:
        protocol.readConnectionLost()
    for _ in range(_WAITS):
        if not world.is_busy:
            break
        world.clock.advance(STEP_S)
    for _ in range(3):
        if not wire.gone:
            world.clock.advance(_PATIENCE_S)
    assert wire.gone, "the connection stays open"
    assert wire.late == b"", wire.late
    protocol.connectionLost()
    assert world.factory.connections == 0
    return Outcome(wire.value(), wire.half_closed)


def _let_go_on(world: World, wire: Wire) -> None:
    """Wait until the server reads again."""
    for _ in range(_WAITS):
        if not wire.paused or wire.gone:
            return
        world.clock.advance(STEP_S)
    raise AssertionError("the server does not read on")


def _requests(raw: bytes) -> tuple[list[bytes], bool]:
    """Give the methods of all requests, as the reader sees them, and whether one is refused."""
    reader = RequestReader(partial(parse, limits=LIMITS), LIMITS)
    methods: list[bytes] = []
    refused = False
    for item in reader.feed(raw):
        if isinstance(item, Received):
            methods.append(item.head.method)
        else:
            refused = True
            methods.append(b"HEAD" if item.to_head else b"?")
    if not refused:
        # It may be refused when its time is over.
        methods.append(b"HEAD" if reader.is_head else b"?")
    return methods, refused


def _replies(outcome: Outcome, methods: Sequence[bytes]) -> list[Response]:
    """Read what came, to the letter: no byte may stand behind a reply that says it is the last."""
    replies = read_responses(outcome.raw, methods)
    final = [reply for reply in replies if not reply.is_interim]
    assert len(final) <= len(methods)
    for number, reply in enumerate(final):
        if number == len(methods) - 1:
            assert reply.closes, "a request that was refused, or never whole, ends the connection"
            assert reply.status >= 400
    return replies


def _check(reply: Response, media_type: bytes) -> None:
    """See that an error has its form."""
    if reply.is_interim:
        return
    assert reply.status in ALLOWED, reply
    if reply.status < 400 or not reply.body:
        return
    assert reply.get(b"content-type") == media_type, reply
    if media_type == _PROBLEM:
        problem = json.loads(reply.body)
        assert problem["status"] == reply.status
        assert problem["title"]
    else:
        assert reply.body.endswith(b"\n")
        assert reply.body.startswith(b"%d " % reply.status)


def _alike(ones: list[Response], others: list[Response], refused: bool) -> bool:
    """Compare replies. A last one may name another fault of a request that has two."""
    ones = [reply for reply in ones if not reply.is_interim]
    others = [reply for reply in others if not reply.is_interim]
    if ones == others:
        return True
    if len(ones) != len(others) or ones[:-1] != others[:-1]:
        return False
    return refused and ones[-1].closes and others[-1].closes and others[-1].status in EARLY


def _read_by_h11(raw: bytes, replies: Sequence[Response], methods: Sequence[bytes]) -> None:
    """See that another reader finds the same replies."""
    for reply, method in zip(replies, methods, strict=False):
        client = h11.Connection(h11.CLIENT)
        asked = method if method in (b"HEAD", b"CONNECT") else b"GET"
        client.send(h11.Request(method=asked, target=b"/", headers=[(b"host", b"a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(raw)
        status, body = next_by_h11(client)
        assert (status, body) == (reply.status, reply.body)
        raw, _ = client.trailing_data
    assert raw == b"" or not replies


WORDS: Final = (
    *http_seeds.WORDS,
    b"/timestamp",
    b"/timestamp?wait=1",
    b"/hash",
    b"/hash/1",
    b"/stats",
    b"/v/status",
    b"/shutdown",
    b"/callback",
    b"/objects?after=1&limit=2",
    b"/objects/2",
    b"/callbacks/rejected",
    b"Content-Type: text/plain\r\n",
    b"Content-Type: application/json\r\n",
    b"Content-Type: application/x-www-form-urlencoded\r\n",
    b"Content-Type: multipart/form-data; boundary=x\r\n",
    b"Accept: application/json\r\n",
    b"Accept: text/html;q=0.5\r\n",
    b"If-Match: *\r\n",
    b'If-None-Match: "boot-1"\r\n',
    b"Idempotency-Key: a\r\n",
    b"Prefer: wait=1\r\n",
    b"Origin: http://a\r\n",
    b"1700000000",
    b"password=a",
    b'{"password": "a"}',
    b'{"object_ids":[1,2]}',
)

_HOST: Final = b" HTTP/1.1\r\nHost: a\r\n"
_PUT: Final = b"PUT /timestamp" + _HOST + b"Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n17"
_FORM: Final = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 10\r\n"
_POST: Final = b"POST /hash" + _HOST + _FORM + b"\r\npassword=a"
_OF_SERVICES: Final = (
    (0, _PUT + b"GET /timestamp" + _HOST + b'If-None-Match: "x"\r\n\r\n'),
    (0, _PUT + b"GET /timestamp?wait=1" + _HOST + b'If-None-Match: "boot-1"\r\n\r\n' + _PUT),
    (0, _PUT.replace(b"17", b"1e9") + b"DELETE /timestamp" + _HOST + b"\r\n"),
    (1, _POST + b"GET /hash/1" + _HOST + b"Prefer: wait=1\r\n\r\nGET /hash/2" + _HOST + b"\r\n"),
    (1, _POST.replace(b"Host", b"Idempotency-Key: a\r\nHost") * 2),
    (1, b"POST /shutdown" + _HOST + b"Content-Length: 0\r\n\r\n" + _POST),
    (1, b"GET /stats" + _HOST + b"\r\nHEAD /v/status" + _HOST + b"\r\n"),
    (2, b"GET /" + _HOST + b"\r\nHEAD //x?y" + _HOST + b"\r\nOPTIONS *" + _HOST + b"\r\n"),
    (3, b"POST /callback" + _HOST + b'Content-Length: 20\r\n\r\n{"object_ids":[1,2]}'),
    (3, b"POST /callback" + _HOST + b"Content-Length: 2\r\n\r\n{}"),
    (3, b"GET /objects?limit=2" + _HOST + b"\r\nGET /objects/2" + _HOST + b"\r\n"),
    (3, b"GET /callbacks/rejected" + _HOST + b"\r\n"),
)
SEEDS: Final = (
    *(
        bytes([flags, size]) + bytes(SIZES - 1) + raw
        for flags, raw in _OF_SERVICES
        for size in (0, 7)
    ),
    *(bytes([number % 8]) + seed for number, seed in enumerate(http_seeds.SEEDS)),
)
