"""Replies as bytes, read by a client that forgives nothing."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.http.head import Head
from daemon.http.limits import Refused, plain_text
from daemon.http.reply import (
    compose,
    compose_ordinary,
    compose_refusal,
    date_line,
    status_line,
)
from daemon.http.request import Request
from tests.http.responses import Response, read_responses

DATE = date_line(784111777)


def request(method: bytes = b"GET", *, is_1_0: bool = False) -> Request:
    """Make a request on no connection."""
    connection: Any = None
    return Request(Head(method, b"/", [], is_1_0=is_1_0), b"", connection)


def reply(asked: Request, body: bytes, *, keep_alive: bool = True) -> Response:
    """Compose and read a reply."""
    raw = compose(asked, body, DATE, keep_alive=keep_alive)
    (found,) = read_responses(raw, [asked.method])
    return found


def test_the_date_is_of_the_fixed_form():
    assert date_line(784111777.9) == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"


@pytest.mark.parametrize(
    ("code", "phrase", "line"),
    [
        (200, None, b"HTTP/1.1 200 OK\r\n"),
        (404, None, b"HTTP/1.1 404 Not Found\r\n"),
        (299, None, b"HTTP/1.1 299 \r\n"),
        (200, b"Fine", b"HTTP/1.1 200 Fine\r\n"),
        (200, b"a\r\nX: b", b"HTTP/1.1 200 a X: b\r\n"),
    ],
)
def test_the_status_line_is_one_line(code, phrase, line):
    assert status_line(code, phrase) == line


field_values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


@settings(deadline=None)
@given(
    st.sampled_from([200, 201, 204, 304, 404, 500]),
    st.sampled_from([b"GET", b"HEAD", b"PUT"]),
    st.dictionaries(st.sampled_from(["X-A", "Content-Type", "ETag", "Vary"]), field_values),
    st.lists(st.binary(max_size=300), max_size=3),
    st.tuples(st.booleans(), st.booleans()),
)
def test_every_reply_can_be_read(code, method, fields, written, flags):
    keep_alive, is_1_0 = flags
    asked = request(method, is_1_0=is_1_0)
    asked.setResponseCode(code)
    for name, value in fields.items():
        asked.setHeader(name, value)
    for piece in written:
        asked.write(piece)
    found = reply(asked, b"end", keep_alive=keep_alive)
    assert found.status == code
    for name, value in fields.items():
        assert found.get(name.encode()) == value.encode()
    without = method == b"HEAD" or code in {204, 304}
    assert found.body == (b"" if without else b"".join([*written, b"end"]))
    assert found.closes is not keep_alive
    if code == 200:
        length = sum(map(len, written)) + 3
        assert found.get(b"content-length") == b"%d" % length


@pytest.mark.parametrize("size", [0, 1, 255, 256, 1000])
@pytest.mark.parametrize("code", [200, 201, 204, 304, 404])
@pytest.mark.parametrize("fields", [{}, {"Content-Type": "text/plain"}, {"ETag": '"1"'}])
def test_the_short_way_leads_to_the_same_reply(size, code, fields):
    asked = request()
    asked.setResponseCode(code)
    for name, value in fields.items():
        asked.setHeader(name, value)
    body = b"a" * size
    short = compose_ordinary(asked, body, status_line(code) + DATE)
    (found,) = read_responses(short)
    expected = reply(asked, body)
    assert (found.status, found.body) == (expected.status, expected.body)
    assert sorted(found.headers) == sorted(expected.headers)


def test_a_body_without_a_type_gets_the_one_that_twisted_web_gives():
    assert reply(request(), b"x").get(b"content-type") == b"text/html"


def test_http_1_0_hears_that_the_connection_goes_on():
    assert reply(request(is_1_0=True), b"").get(b"connection") == b"keep-alive"
    assert reply(request(), b"").get(b"connection") is None


def test_a_refusal_closes_and_says_why():
    refused = Refused(HTTPStatus.SERVICE_UNAVAILABLE, "full", ((b"Retry-After", b"1"),))
    raw = compose_refusal(refused, *plain_text(refused.status, refused.why), DATE)
    (found,) = read_responses(raw)
    assert found.closes
    assert found.status == 503
    assert found.get(b"retry-after") == b"1"
    assert found.get(b"content-type") == b"text/plain; charset=utf-8"
    assert found.body == b"503 Service Unavailable: full\n"
