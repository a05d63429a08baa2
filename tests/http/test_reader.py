"""The cutting of a connection's bytes into requests: never otherwise because of the network."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.http.head import Head, parse
from daemon.http.limits import Limits, Refused
from daemon.http.reader import Awaiting, Received, RequestReader
from tests.http.requests import Sent, cut, requests, spoiled

LIMITS = Limits()

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"


def reader(limits: Limits = LIMITS) -> RequestReader:
    """Make a reader."""

    def parse_head(data: bytes) -> Head:
        return parse(data, limits)

    return RequestReader(parse_head, limits)


def told(pieces: list[bytes], limits: Limits = LIMITS) -> list[object]:
    """Give what a reader makes of bytes, as values that can be compared."""
    one = reader(limits)
    found: list[object] = []
    for piece in pieces:
        if one.awaiting is Awaiting.NOTHING:
            break
        for item in one.feed(piece):
            if isinstance(item, Refused):
                found.append(item.status)
            else:
                head = item.head
                found.append((head.method, head.target, tuple(head.fields), item.body))
    return found


def bytewise(raw: bytes) -> list[bytes]:
    """Give each byte alone."""
    return [raw[place : place + 1] for place in range(len(raw))]


def joined(sent: list[Sent]) -> bytes:
    """Give requests as they follow one another."""
    return b"".join(one.raw for one in sent)


several = st.lists(requests(), min_size=1, max_size=4)


@settings(deadline=None)
@given(several, st.data())
def test_however_requests_are_cut_they_are_read_as_sent(sent, data):
    meant = [(one.method, one.target, one.fields, one.body) for one in sent]
    raw = joined(sent)
    assert told([raw]) == meant
    assert told(data.draw(cut(raw))) == meant
    assert told(bytewise(raw)) == meant


@settings(deadline=None)
@given(several.map(joined).flatmap(spoiled), st.data())
def test_what_is_refused_does_not_depend_on_the_cuts(raw, data):
    pieces = data.draw(cut(raw))
    whole, in_pieces = told([raw]), told(pieces)
    # Bytes that can become nothing are refused early, at the latest when the head is whole.
    assert agree(whole, in_pieces)
    assert agree(in_pieces, told(bytewise(raw)))


def agree(one: list[object], other: list[object]) -> bool:
    """Whether two readings differ at most in why they refuse."""
    ends = [isinstance(found[-1], int) if found else False for found in (one, other)]
    if ends[0] != ends[1]:
        return False
    return one[:-1] == other[:-1] if ends[0] else one == other


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_make_requests_or_one_refusal_at_the_end(pieces):
    found = told(pieces)
    assert all(isinstance(item, tuple) for item in found[:-1])


@pytest.mark.parametrize("raw", [b"\n" + GET, b"\r" + GET, b"\n\r\n" + GET, b"\r\n\n" + GET])
def test_an_empty_line_before_a_request_ends_with_crlf_too(raw):
    assert told([raw]) == [400]
    assert told(bytewise(raw)) == [400]


@settings(deadline=None)
@given(st.integers(0, 3), st.data())
@example(1, None)
def test_empty_lines_before_a_request_do_not_count(lines, data):
    raw = b"\r\n" * lines + GET
    pieces = bytewise(raw) if data is None else data.draw(cut(raw))
    assert len(told(pieces)) == 1


@pytest.mark.parametrize(
    ("data", "awaiting"),
    [
        (b"", Awaiting.REQUEST),
        (b"\r", Awaiting.REQUEST),
        (b"G", Awaiting.HEAD),
        (GET[:-1], Awaiting.HEAD),
        (GET, Awaiting.REQUEST),
        (GET + b"G", Awaiting.HEAD),
        (POST[:-1], Awaiting.BODY),
        (POST[:-4], Awaiting.BODY),
        (POST, Awaiting.REQUEST),
        (CHUNKED[:-1], Awaiting.BODY),
        (CHUNKED, Awaiting.REQUEST),
        (GET + CHUNKED + POST, Awaiting.REQUEST),
        (b"?" + GET, Awaiting.NOTHING),
        (GET + b"GET /\n", Awaiting.NOTHING),
    ],
)
def test_it_knows_what_has_to_come_next(data, awaiting):
    whole, bitten = reader(), reader()
    whole.feed(data)
    for byte in bytewise(data):
        bitten.feed(byte)
    assert whole.awaiting is awaiting
    assert bitten.awaiting is awaiting


def test_an_empty_line_in_two_reads_is_no_beginning_of_a_request():
    one = reader()
    one.feed(b"\r")
    one.feed(b"\n")
    assert one.awaiting is Awaiting.REQUEST


def test_requests_before_a_malformed_one_count():
    *answered, refused = told([GET + POST + b"?\r\n\r\n" + GET])
    assert len(answered) == 2
    assert refused == 400


def test_nothing_is_read_after_stop():
    one = reader()
    one.feed(POST[:-1])
    one.stop()
    assert one.awaiting is Awaiting.NOTHING
    assert not one.wants_continue


class TestContinue:
    """Who waits for ``100 Continue``."""

    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"

    @pytest.mark.parametrize("framing", [b"Content-Length: 4", b"Transfer-Encoding: chunked"])
    def test_a_client_that_has_sent_the_head_alone_waits_until_it_is_told(self, framing):
        one = reader()
        one.feed(self.head + framing + b"\r\n\r\n")
        assert one.wants_continue
        one.continue_sent()
        assert not one.wants_continue

    @pytest.mark.parametrize(
        "body", [b"Content-Length: 4\r\n\r\nb", b"Transfer-Encoding: chunked\r\n\r\n4\r\n"]
    )
    def test_a_client_that_has_begun_with_the_body_does_not_wait(self, body):
        one = reader()
        one.feed(self.head + body)
        assert not one.wants_continue

    def test_a_request_without_body_does_not_wait(self):
        one = reader()
        (received,) = one.feed(self.head + b"\r\n")
        assert isinstance(received, Received)
        assert not one.wants_continue

    def test_each_request_has_its_own(self):
        one = reader()
        head = self.head + b"Content-Length: 4\r\n\r\n"
        one.feed(head)
        one.continue_sent()
        one.feed(b"body" + head)
        assert one.wants_continue


@pytest.mark.parametrize(("more", "status"), [(0, None), (1, 414)])
def test_limits_hold_to_the_byte_however_it_is_cut(more, status):
    raw = b"GET /" + b"a" * (LIMITS.target_bytes - 1 + more) + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    for pieces in [raw], [raw[:8000], raw[8000:]], [raw[:-1], raw[-1:]]:
        (found,) = told(pieces)
        assert (found if isinstance(found, int) else None) == status


@pytest.mark.parametrize(("more", "status"), [(0, None), (1, 431)])
def test_the_header_is_limited_to_the_byte_however_it_is_cut(more, status):
    value = b"a" * (LIMITS.header_bytes - len(b"Host: a\r\nX: \r\n") + more)
    raw = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + value + b"\r\n\r\n"
    for pieces in [raw], [raw[:9000], raw[9000:]], [raw[:-1], raw[-1:]]:
        (found,) = told(pieces)
        assert (found if isinstance(found, int) else None) == status


@pytest.mark.parametrize(("size", "status"), [(100, None), (101, 413)])
def test_bodies_are_limited_to_the_byte_in_both_framings(size, status):
    limits = Limits(body_bytes=100)
    head = b"POST / HTTP/1.1\r\nHost: a\r\n"
    body = b"a" * size
    long = head + b"Content-Length: %d\r\n\r\n%b" % (size, body)
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, body)
    for raw in long, chunked:
        (found,) = told([raw], limits)
        assert (found if isinstance(found, int) else None) == status


@given(st.lists(st.sampled_from([GET, POST, CHUNKED]), max_size=40), st.integers(1, 9))
def test_requests_are_taken_a_few_at_a_time_by_who_wants_it(sent, at_most):
    one = reader()
    found = one.feed(b"".join(sent) + GET[:5], at_most)
    taken = [found]
    while one.has_more:
        taken.append(one.feed(b"", at_most))
    assert all(len(few) <= at_most for few in taken)
    assert sum(map(len, taken)) == len(sent)
    assert one.awaiting is Awaiting.HEAD
    (last,) = one.feed(GET[5:], at_most)
    assert isinstance(last, Received)


def test_nothing_more_is_there_behind_a_refusal():
    one = reader()
    found = [*one.feed(GET * 3 + b"?\r\n\r\n" + GET * 9, 3), *one.feed(b"", 3)]
    assert [type(each) for each in found] == [Received] * 3 + [Refused]
    assert not one.has_more
