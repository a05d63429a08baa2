"""What the counter answers, over both servers."""

from __future__ import annotations

from itertools import count

import pytest

from daemon.counter.web import CounterAPI
from tests.http.fronts import Front, front

__all__ = ["front"]


@pytest.fixture
def counter(front: Front) -> Front:
    numbers = count(1)
    api = CounterAPI(lambda: next(numbers))
    front.serve(api.app)
    return front


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "//",
        "/a",
        "/a/",
        "/a//b/../c",
        "/%2F%00",
        "/?a=b",
        "/favicon.ico",
        "/a%20b?x",
        "/%C3%A4",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_whatever_is_asked_is_counted(counter, method, target):
    replies = [counter.ask(method, target) for _ in range(3)]
    assert [reply.body for reply in replies] == [b"1", b"2", b"3"]
    assert {reply.status for reply in replies} == {200}
    assert replies[0].fields["content-type"].startswith("text/plain")


def test_head_counts_and_has_no_body(counter):
    assert counter.ask("HEAD", "/").body == b""
    assert counter.ask("GET", "/").body == b"2"


def test_a_body_does_not_matter(counter):
    assert counter.ask("POST", "/", b"x" * 1000).body == b"1"


def test_the_server_as_a_whole_can_be_asked_and_counts(counter):
    counter.differs("asterisk")
    assert counter.ask("OPTIONS", "*").body == b"1"


def test_a_path_that_is_no_text_counts(counter):
    counter.differs("encoding")
    assert counter.ask("GET", "/%ff").body == b"1"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"NONSENSE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ],
)
def test_a_refused_request_does_not_count(counter, raw, status):
    counter.differs("refusals")
    refused = counter.begin("GET", "/")
    refused.transport.clear()
    refused.send(raw)
    assert refused.reply.status == status
    assert refused.reply.fields["content-type"].startswith("text/plain")
    assert counter.ask("GET", "/").body == b"2"


def test_the_largest_body_counts(counter):
    assert counter.ask("POST", "/", b"x" * 65536).body == b"1"
