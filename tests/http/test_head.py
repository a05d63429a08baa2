"""The head of a request: what it says, and what is refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.http.head import END, Head, check_unfinished, parse
from daemon.http.limits import Limits, Refused
from tests.http.requests import Sent, requests, spoiled

LIMITS = Limits()


def head(*lines: str, start: str = "GET / HTTP/1.1", host: str = "Host: a") -> bytes:
    """Write a head."""
    return "\r\n".join([line for line in (start, host, *lines) if line] + ["", ""]).encode(
        "latin-1"
    )


def refusal(raw: bytes, limits: Limits = LIMITS) -> HTTPStatus:
    """Give the status with which a head is refused."""
    with pytest.raises(Refused) as caught:
        parse(raw, limits)
    return caught.value.status


def head_of(sent: Sent) -> bytes:
    """Give the head of a request alone, as the reader cuts it out."""
    raw = sent.raw.lstrip(b"\r\n")
    return raw[: raw.index(END) + len(END)]


@settings(deadline=None)
@given(requests())
def test_a_head_says_what_was_sent(sent):
    read = parse(head_of(sent), LIMITS)
    assert (read.method, read.target) == (sent.method, sent.target)
    assert read.fields == list(sent.fields)
    path, _, query = sent.target.partition(b"?")
    assert (read.path, read.query) == (path, query)
    assert read.authority == b"localhost"
    chunked = (b"Transfer-Encoding", b"chunked") in sent.fields
    assert read.length == (None if chunked else len(sent.body))
    assert read.keep_alive
    assert not read.is_1_0


@settings(deadline=None)
@given(st.binary(max_size=200) | requests().flatmap(lambda sent: spoiled(head_of(sent))))
def test_any_bytes_make_a_head_or_a_refusal(data):
    with suppress(Refused):
        assert isinstance(parse(data + END, LIMITS), Head)


@settings(deadline=None)
@given(requests(), st.data())
def test_no_beginning_of_a_good_head_is_refused(sent, data):
    raw = head_of(sent)
    check_unfinished(raw[: data.draw(st.integers(1, len(raw) - 1))], LIMITS)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\n",
        b"\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b" GET",
        b"G\0T",
        b"GET / HTTP/1.1\r\nHost: a\nX",
    ],
)
def test_what_cannot_become_a_head_is_refused_before_it_ends(data):
    with pytest.raises(Refused) as caught:
        check_unfinished(data, LIMITS)
    assert caught.value.status == HTTPStatus.BAD_REQUEST


def test_the_last_of_several_values_counts_and_all_can_be_had():
    read = parse(head("X-A: 1", "x-a:  2 ", "X-B: \t"), LIMITS)
    assert read.values[b"x-a"] == b"2"
    assert read.all(b"x-a") == [b"1", b"2"]
    assert read.all(b"x-b") == [b""]
    assert read.all(b"x-c") == []


@pytest.mark.parametrize(
    ("start", "host", "authority", "path", "query"),
    [
        ("GET /a?b=c HTTP/1.1", "Host: h:1", b"h:1", b"/a", b"b=c"),
        ("GET http://x:2/a?b HTTP/1.1", "Host: h", b"x:2", b"/a", b"b"),
        ("GET HTTPS://x HTTP/1.1", "Host: h", b"x", b"/", b""),
        ("GET http://x?q HTTP/1.1", "Host: h", b"x", b"/", b"q"),
        ("GET //x/y HTTP/1.1", "Host: h", b"h", b"//x/y", b""),
        ("OPTIONS * HTTP/1.1", "Host: h", b"h", b"*", b""),
        ("OPTIONS http://x HTTP/1.1", "Host: h", b"x", b"*", b""),
        ("OPTIONS http://x/ HTTP/1.1", "Host: h", b"x", b"/", b""),
        ("GET / HTTP/1.0", "", b"", b"/", b""),
        ("GET / HTTP/1.1", "Host: [::1]:8080", b"[::1]:8080", b"/", b""),
        ("GET / HTTP/1.1", "Host: a:", b"a:", b"/", b""),
    ],
)
def test_all_forms_of_the_target_are_understood(start, host, authority, path, query):
    read = parse(head(start=start, host=host), LIMITS)
    assert (read.authority, read.path, read.query) == (authority, path, query)


@pytest.mark.parametrize(
    ("version", "connection", "keep_alive"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close", False),
        ("1.1", "Connection: foo, CLOSE", False),
        ("1.1", "Connection: keep-alive", True),
        ("1.1", "Connection: closed", True),
        ("1.0", "", False),
        ("1.0", "Connection: Keep-Alive", True),
        ("1.0", "Connection: close", False),
    ],
)
def test_the_version_and_the_connection_field_decide_whether_it_goes_on(
    version, connection, keep_alive
):
    read = parse(head(connection, start=f"GET / HTTP/{version}"), LIMITS)
    assert read.keep_alive is keep_alive
    assert read.is_1_0 is (version == "1.0")


@pytest.mark.parametrize(
    "name", ["Authorization", "cookie", "Idempotency-Key", "PROXY-AUTHORIZATION"]
)
def test_credentials_make_a_head_secret(name):
    assert parse(head(f"{name}: x"), LIMITS).secret
    assert not parse(head(f"X-{name}: x"), LIMITS).secret


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (head(host=""), 400),
        (head("Host: a"), 400),
        (head(host="Host: a b"), 400),
        (head(host="Host: a:65536"), 400),
        (head(host="Host: a:-1"), 400),
        (head(host="Host: user@a"), 400),
        (head(start="GET /a#b HTTP/1.1"), 400),
        (head(start="GET /\\ HTTP/1.1"), 400),
        (head(start="GET * HTTP/1.1"), 400),
        (head(start="GET a HTTP/1.1"), 400),
        (head(start="GET ftp://a/ HTTP/1.1"), 400),
        (head(start="GET http:///a HTTP/1.1"), 400),
        (head(start="GET  / HTTP/1.1"), 400),
        (head(start="GET / HTTP/1.1 "), 400),
        (head(start="GET / http/1.1"), 400),
        (head(start="GET /\xe9 HTTP/1.1"), 400),
        (head(start="CONNECT a HTTP/1.1"), 400),
        (head(start="FROB / HTTP/1.1"), 501),
        (head(start="get / HTTP/1.1"), 501),
        (head(start="GET / HTTP/2.0"), 505),
        (head(start="GET / HTTP/0.9"), 505),
        (head("Content-Length: 1", "Content-Length: 1"), 400),
        (head("Content-Length: 1, 1"), 400),
        (head("Content-Length: +1"), 400),
        (head("Content-Length: 1_0"), 400),
        (head("Content-Length:"), 400),
        (head("Content-Length: 1", "Transfer-Encoding: chunked"), 400),
        (head("Transfer-Encoding: chunked", start="GET / HTTP/1.0"), 400),
        (head("Transfer-Encoding: identity"), 400),
        (head("Transfer-Encoding: chunked, chunked"), 400),
        (head("Transfer-Encoding: gzip, chunked"), 501),
        (head("Expect: 100-continue, tea"), 417),
        (head("X-A : 1"), 400),
        (head("X-A: 1", " folded"), 400),
        (head("X-A: a\0b"), 400),
        (head("X-A: a\rb"), 400),
        (head(": 1"), 400),
        (head("X-A"), 400),
    ],
)
def test_what_is_wrong_has_its_status(raw, status):
    assert refusal(raw) == status


def test_a_length_of_any_number_of_digits_is_understood():
    assert refusal(head("Content-Length: " + "9" * 5000)) in {400, 413}
    assert parse(head("Content-Length: " + "0" * 5000 + "1"), LIMITS).length == 1


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue", "100-continue, 100-continue"])
def test_the_one_expectation_is_known_and_http_1_0_has_none(expect):
    fields = (f"Expect: {expect}", "Content-Length: 1")
    assert parse(head(*fields), LIMITS).expects_continue
    assert not parse(head(*fields, start="POST / HTTP/1.0"), LIMITS).expects_continue


def test_a_target_may_have_8192_bytes():
    fits = "/" + "a" * (LIMITS.target_bytes - 1)
    assert len(parse(head(start=f"GET {fits} HTTP/1.1"), LIMITS).target) == 8192
    assert refusal(head(start=f"GET {fits}a HTTP/1.1")) == 414


def test_a_target_that_is_too_long_is_refused_before_it_ends():
    check_unfinished(b"GET /" + b"a" * 8191, LIMITS)
    with pytest.raises(Refused) as caught:
        check_unfinished(b"GET /" + b"a" * 8192, LIMITS)
    assert caught.value.status == 414


def test_a_header_may_have_16_kib():
    filler = "X-A: " + "a" * (LIMITS.header_bytes - len("Host: a\r\nX-A: \r\n"))
    fits = head(filler)
    assert parse(fits, LIMITS).values[b"x-a"]
    assert refusal(head(filler + "a")) == 431
    check_unfinished(fits[:-1], LIMITS)


def test_a_header_that_is_too_long_is_refused_before_it_ends():
    with pytest.raises(Refused) as caught:
        check_unfinished(b"GET / HTTP/1.1\r\nX: " + b"a" * LIMITS.header_bytes, LIMITS)
    assert caught.value.status == 431


def test_a_header_may_have_100_fields():
    fields = [f"X-{number}: 1" for number in range(LIMITS.header_fields - 1)]
    assert len(parse(head(*fields), LIMITS).fields) == 100
    assert refusal(head(*fields, "X-100: 1")) == 431


def test_a_body_may_have_as_many_bytes_as_the_limit_says():
    assert parse(head("Content-Length: 65536"), LIMITS).length == 65536
    assert refusal(head("Content-Length: 65537")) == 413
    assert refusal(head("Content-Length: 1"), Limits(body_bytes=0)) == 413


def test_a_method_without_end_is_refused():
    with pytest.raises(Refused):
        check_unfinished(b"G" * (LIMITS.target_bytes + LIMITS.header_bytes + 1), LIMITS)


@pytest.mark.parametrize(
    ("raw", "ordinary"),
    [
        (head(), True),
        (head("Content-Length: 3", start="POST / HTTP/1.1"), True),
        (head(start="HEAD / HTTP/1.1"), False),
        (head("Connection: keep-alive", start="GET / HTTP/1.0"), False),
        (head("Connection: close"), False),
    ],
)
def test_ordinary_is_what_needs_no_word_on_the_connection(raw, ordinary):
    assert parse(raw, LIMITS).ordinary is ordinary


def fresh_parse() -> Callable[[bytes, Limits], Head]:
    """Give the function as it is in a process that has read no head yet."""
    spec = importlib.util.find_spec("daemon.http.head")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[[bytes, Limits], Head]", module.parse)


def verdict(read_head: Callable[[bytes, Limits], Head], data: bytes) -> object:
    """Give all that a head says, or why it is refused."""
    try:
        read = read_head(data, LIMITS)
    except Refused as refused:
        return refused.status, refused.why
    return [getattr(read, name) for name in Head.__slots__]


DIRECTIONS = [
    "Connection: close",
    "Connection: keep-alive",
    "Connection: upgrade",
    "Upgrade: h2c",
    "Content-Length: 0",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Expect: 100-continue",
    "X-A: 1",
]
directed = st.builds(
    lambda fields, start: head(*fields, start=start),
    st.lists(st.sampled_from(DIRECTIONS), max_size=3),
    st.sampled_from(
        ["GET / HTTP/1.1", "POST / HTTP/1.1", "HEAD / HTTP/1.0", "CONNECT a:1 HTTP/1.1"]
    ),
)


@settings(deadline=None)
@given(
    st.lists(
        directed
        | requests().map(head_of)
        | requests().flatmap(lambda sent: spoiled(head_of(sent))),
        max_size=8,
    )
)
@example([head("Connection: close"), head()])
@example([head("Content-Length: 5", start="POST / HTTP/1.1"), head()])
@example([head("Connection: upgrade", "Upgrade: h2c"), head()])
def test_what_a_head_says_does_not_depend_on_those_before_it(heads):
    one_after_another = fresh_parse()
    for data in heads:
        assert verdict(one_after_another, data) == verdict(fresh_parse(), data)
