"""Raw requests against the server: a table of what RFC 9110 and RFC 9112 want, row by row."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.conformance.case import Case, Level, Seen
from tests.http.conformance.exchange import Exchange, Outcome, echo, exchange
from tests.http.conformance.table import TABLE

NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
NEXT_SEEN = Seen(b"GET", b"/next")
EDGE = 500
SPOILERS = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"0",
    b"HTTP/1.1",
    b"\xe4",
]

each_case = pytest.mark.parametrize("case", TABLE, ids=[case.id for case in TABLE])

SHORT = [case for case in TABLE if len(case.raw) < EDGE]
GOING_ON = [case for case in SHORT if not case.closes and not case.continues]
REFUSED = [case for case in SHORT if case.closes and not case.ends]


def in_pieces(raw: bytes, size: int) -> list[bytes]:
    """Cut bytes into pieces of a size, and the middle of many bytes into larger ones."""
    if len(raw) <= 2 * EDGE:
        return [raw[place : place + size] for place in range(0, len(raw), size)]
    middle = len(raw) - EDGE
    return [
        *in_pieces(raw[:EDGE], size),
        *(raw[place : min(place + EDGE, middle)] for place in range(EDGE, middle, EDGE)),
        *in_pieces(raw[middle:], size),
    ]


def check(case: Case, outcome: Outcome) -> None:
    """Compare all that a client and the application can see with a row."""
    assert outcome.statuses == case.expect, (case.id, [reply.body for reply in outcome.replies])
    assert outcome.seen == list(case.seen), case.id
    assert outcome.closed == case.closes, case.id
    answers = [reply.body for reply in outcome.replies if reply.status == 200]
    texts = [b"" if seen.method == b"HEAD" else echo(seen) for seen in case.seen]
    assert answers == [text for text, seen in zip(texts, case.seen, strict=True) if is_echoed(seen)]
    if case.closes and outcome.replies and not case.ends:
        assert outcome.replies[-1].closes
    for reply in outcome.replies:
        if reply.status >= 400 and reply.body:
            assert (reply.get(b"content-type") or b"").startswith(b"text/")


def is_echoed(seen: Seen) -> bool:
    return seen.target not in {b"/none", b"/same"}


@each_case
def test_sent_as_one(case):
    outcome = exchange([case.raw], case.asked, ends=case.ends)
    check(case, outcome)
    assert outcome.continues <= case.continues


@each_case
def test_sent_in_its_pieces(case):
    outcome = exchange(case.send, case.asked, ends=case.ends)
    check(case, outcome)
    if len(case.send) > 1:
        assert outcome.continues == case.continues


@each_case
def test_sent_byte_by_byte(case):
    outcome = exchange(in_pieces(case.raw, 1), case.asked, ends=case.ends)
    check(case, outcome)
    assert outcome.continues == case.continues


@pytest.mark.parametrize("size", [2, 3, 4, 7])
def test_sent_a_few_bytes_at_a_time(size):
    for case in SHORT:
        outcome = exchange(in_pieces(case.raw, size), case.asked, ends=case.ends)
        check(case, outcome)


@pytest.mark.parametrize(
    "case", [case for case in TABLE if not case.ends], ids=lambda case: str(case.id)
)
def test_with_a_request_before_and_behind(case):
    around = replace(
        case,
        seen=(NEXT_SEEN, *case.seen, *([] if case.closes else [NEXT_SEEN])),
        expect=(200, *case.expect, *([] if case.closes else [200])),
    )
    methods = (b"GET", *case.asked)
    # What follows an error may be the end of the bad line: it has to come by itself.
    deliveries = [NEXT + case.raw, NEXT] if case.closes else [NEXT + case.raw + NEXT]
    check(around, exchange(deliveries, methods))


def cuts(raw: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes at places, which are taken modulo the length."""
    edges = sorted({0, len(raw), *(place % (len(raw) + 1) for place in places)})
    return [raw[start:end] for start, end in pairwise(edges)]


@given(
    st.lists(st.sampled_from(GOING_ON), min_size=1, max_size=6),
    st.none() | st.sampled_from(REFUSED),
    st.lists(st.integers(0, 10_000), max_size=12),
)
def test_however_a_pipeline_is_cut_the_replies_are_the_same(going_on, last, places):
    cases = [*going_on, *([last] if last else [])]
    raw = b"".join(case.raw for case in cases)
    methods: list[bytes] = []
    for case in cases:
        methods += case.asked or (b"GET",) * len(case.expect)
    whole = exchange([raw], methods)
    assert whole.statuses == tuple(status for case in cases for status in case.expect)
    assert whole.seen == [seen for case in cases for seen in case.seen]
    cut = exchange(cuts(raw, places), methods)
    # How much of a bad request had come says how much can be said about it.
    same = len(whole.replies) - (last is not None)
    assert cut.replies[:same] == whole.replies[:same]
    assert cut.statuses == whole.statuses
    assert cut.seen == whole.seen
    assert cut.closed == whole.closed


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Some rows in which bytes were replaced, put in or taken out."""
    cases = draw(st.lists(st.sampled_from(SHORT), min_size=1, max_size=3))
    raw = bytearray(b"".join(case.raw for case in cases) + NEXT)
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.integers(0, len(raw)))
        with_bytes = draw(st.sampled_from(SPOILERS) | st.binary(max_size=3))
        raw[where : where + draw(st.integers(0, 3))] = with_bytes
    return bytes(raw)


@given(spoiled(), st.lists(st.integers(0, 10_000), max_size=12))
def test_however_noise_is_cut_the_same_requests_reach_the_application(raw, places):
    whole, cut = Exchange(), Exchange()
    whole.send(raw)
    for piece in cuts(raw, places):
        cut.send(piece)
    assert cut.application.seen == whole.application.seen
    assert cut.wire.closed == whole.wire.closed


@pytest.mark.parametrize(
    "case",
    [case for case in TABLE if case.continues == 1 and len(case.send) == 2],
    ids=lambda case: str(case.id),
)
def test_the_interim_reply_comes_before_the_body_is_sent(case):
    one = Exchange()
    one.send(case.send[0])
    assert one.outcome(case.asked).continues == 1
    one.send(case.send[1])
    outcome = one.outcome(case.asked)
    assert (outcome.statuses, outcome.continues) == (case.expect, 1)


def test_a_body_that_is_there_already_needs_no_interim_reply():
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert exchange([head + b"hi"]).continues == 0


def test_the_fields_of_a_reply_to_head_are_those_of_a_reply_to_get():
    get, head = (
        exchange([method + b" /x HTTP/1.1\r\nHost: a\r\n\r\n"], [method]).replies[0]
        for method in (b"GET", b"HEAD")
    )
    length = int(head.get(b"content-length") or b"")
    assert length == len(get.body) + len(b"HEAD") - len(b"GET")
    assert [name for name, _ in head.headers] == [name for name, _ in get.headers]


def test_a_reply_to_1_0_says_that_the_connection_goes_on():
    request = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    assert exchange([request]).replies[0].get(b"connection") == b"keep-alive"


def test_a_refusal_is_one_line_of_text():
    (refusal,) = exchange([b"GET / HTTP/1.1\r\n\r\n"]).replies
    assert refusal.get(b"content-type") == b"text/plain; charset=utf-8"
    assert re.fullmatch(rb"400 Bad Request: [^\n]+\n", refusal.body)


def test_every_row_says_what_it_is_about():
    for what in ([case.id for case in TABLE], [(case.send, case.ends) for case in TABLE]):
        assert [row for row, count in Counter(what).items() if count > 1] == []
    for case in TABLE:
        assert re.fullmatch(r"[a-z0-9.-]+", case.id)
        assert re.match(r"RFC \d{4} section \d+", case.rule)
        assert re.fullmatch(r"[A-Z].{8,}\.", case.why), case.id
        assert case.continues == 0 or len(case.send) > 1


def test_the_table_is_large():
    assert len(TABLE) >= 150
    assert sum(case.level is Level.MUST for case in TABLE) >= 100
