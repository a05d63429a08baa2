"""What the HTTP server takes for a request, beside h11, which shares no code with it."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple

import h11

from daemon.http.head import parse
from daemon.http.limits import Limits, Refused
from daemon.http.reader import Awaiting, Received, RequestReader
from tests.fuzz import http_seeds
from tests.fuzz.choices import SIZES, cut

LIMITS: Final = Limits(header_fields=12, header_bytes=600, target_bytes=100, body_bytes=200)
SEEDS: Final = http_seeds.SEEDS
WORDS: Final = http_seeds.WORDS

_UNLIMITED: Final = 1 << 20
EARLY: Final = {400, 414, 431}
"""What a head can be refused with before its end has come. It may have another fault behind."""


BEHIND_HEAD: Final = "behind the head: "

H11_REFUSES: Final = {
    # It reads a trailer section as if it were a header, and we throw it away.
    f"{BEHIND_HEAD}Only Transfer-Encoding: chunked is supported",
    f"{BEHIND_HEAD}multiple Transfer-Encoding headers",
    f"{BEHIND_HEAD}conflicting Content-Length headers",
    f"{BEHIND_HEAD}bad Content-Length",
}
"""What h11 has against requests that we take."""


class Seen(NamedTuple):
    """A request, as somebody has read it."""

    method: bytes
    target: bytes
    body: bytes


class Read(NamedTuple):
    """What was read: the requests that were whole, and what came then."""

    requests: list[Any]
    refused: tuple[int, bool] | None
    awaiting: Awaiting


def run(data: bytes) -> None:
    """Read the same bytes in one piece, in many, and by h11."""
    sizes, raw = data[:SIZES], data[SIZES:]
    whole = _read([raw] if raw else [])
    pieces = _read(cut(raw, sizes))
    if not _has_two_faults(whole.refused, pieces.refused):
        assert whole == pieces, (whole, pieces)
    _compare([Seen(r[0], r[1], r[-1]) for r in whole.requests], whole, raw)


def _has_two_faults(whole: tuple[int, bool] | None, pieces: tuple[int, bool] | None) -> bool:
    """Whether a head has another fault than the one that shows before its end has come."""
    if whole is None or pieces is None or whole[1] != pieces[1]:
        return False
    return pieces[0] in EARLY


def _read(pieces: list[bytes]) -> Read:
    reader = RequestReader(partial(parse, limits=LIMITS), LIMITS)
    requests: list[Any] = []
    refused = None
    for piece in pieces:
        for item in reader.feed(piece):
            assert refused is None, "something was read behind what was refused"
            if isinstance(item, Received):
                requests.append(_shown(item))
            else:
                refused = _refusal(item)
    return Read(requests, refused, reader.awaiting)


def _shown(request: Received) -> tuple[Any, ...]:
    head = request.head
    assert len(request.body) <= LIMITS.body_bytes
    assert len(head.fields) <= LIMITS.header_fields
    return (
        head.method,
        head.target,
        head.path,
        head.query,
        head.authority,
        tuple(head.fields),
        head.is_1_0,
        head.keep_alive,
        request.body,
    )


def _refusal(refused: Refused) -> tuple[int, bool]:
    assert 400 <= refused.status <= 505
    assert "\n" not in refused.why
    return refused.status.value, refused.to_head


def _compare(ours: list[Seen], read: Read, raw: bytes) -> None:
    """See that both have read the same, as far as both take it.

    What we refuse is refused for a reason that h11 may not share, and what follows has no meaning
    then. What we take, h11 has to take as well.
    """
    theirs, why = _by_h11(raw, len(ours))
    for mine, other in zip(ours, theirs, strict=False):
        assert mine == other, (mine, other)
    if len(theirs) < len(ours):
        assert why in H11_REFUSES, (why, ours[len(theirs)])
    elif read.refused is None and read.awaiting in (Awaiting.HEAD, Awaiting.BODY):
        more, _ = _by_h11(raw, len(ours) + 1)
        assert len(more) == len(ours), more[-1]


def _by_h11(raw: bytes, count: int) -> tuple[list[Seen], str]:
    """Give what h11 reads, so many requests at most, and why it read no more."""
    seen: list[Seen] = []
    while len(seen) < count:
        # RFC 9112 section 2.2 has empty lines before a request passed over; h11 does not.
        while raw.startswith(b"\r\n"):
            raw = raw[2:]
        server = h11.Connection(h11.SERVER, max_incomplete_event_size=_UNLIMITED)
        server.receive_data(raw)
        try:
            request = _next_by_h11(server)
        except h11.RemoteProtocolError as error:
            is_behind_head = server.their_state is h11.ERROR and server.their_http_version
            return seen, f"{BEHIND_HEAD if is_behind_head else ''}{error}"
        if request is None:
            return seen, "more is needed"
        seen.append(request)
        raw, _ = server.trailing_data
    return seen, ""


def _next_by_h11(server: h11.Connection) -> Seen | None:
    request, body = None, b""
    while True:
        event = server.next_event()
        if isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return Seen(bytes(request.method), bytes(request.target), body)
        else:
            return None
