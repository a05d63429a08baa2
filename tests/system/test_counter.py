"""The counter, as clients see it on real sockets."""

from __future__ import annotations

import random
import time
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from tests.system.conftest import Starter
from tests.system.http_clients import HTTPClient, WebDaemon, request, serve
from tests.system.running import eventually

GET = request("GET", "/")


@pytest.fixture
def daemon(start: Starter) -> WebDaemon:
    """A daemon with a counter."""
    return serve(start, "counter")


def answers(client: HTTPClient, sizes: list[int]) -> list[int]:
    """Send bunches of requests, and give what they were answered."""
    counts = []
    for size in sizes:
        client.send(GET * size)
        counts += [int(client.reply().body) for _ in range(size)]
    return counts


def test_every_one_of_many_concurrent_requests_gets_a_number_of_its_own(daemon: WebDaemon):
    source = random.Random(8082)  # noqa: S311
    plans = [[source.choice([1, 1, 1, 50]) for _ in range(40)] for _ in range(8)]
    clients = [daemon.connect() for _ in plans]
    with ThreadPoolExecutor(len(plans)) as pool:
        counts = list(pool.map(answers, clients, plans))
    assert all(one == sorted(one) for one in counts)
    total = sum(map(sum, plans))
    assert sorted(count for one in counts for count in one) == list(range(1, total + 1))
    reply = daemon.get("/")
    assert (reply.status, reply.body) == (200, b"%d" % (total + 1))
    assert reply.fields["content-type"].startswith("text/plain")


def test_one_long_pipeline_is_counted_in_its_order(daemon: WebDaemon):
    assert answers(daemon.connect(), [1_000]) == list(range(1, 1_001))


TARGETS = [
    "/",
    "//",
    "/a//b/../c/.",
    "/%ff%00%2f",
    "/?",
    "/a?wait=1&%zz",
    "/;x=1",
    "/" + "a" * 8_000,
    "http://elsewhere.example/path",
    "HTTP://elsewhere.example",
]
METHODS = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "PROPFIND",
    "M-SEARCH",
]


def test_whatever_method_and_path_a_request_has_it_counts(daemon: WebDaemon):
    client = daemon.connect()
    asked = [(method, target) for method in METHODS for target in TARGETS]
    asked.append(("OPTIONS", "*"))
    for number, (method, target) in enumerate(asked, 1):
        body = b"x" * 60_000 if method in {"POST", "PATCH"} else None
        reply = client.ask(method, target, body)
        assert reply.status == 200, (method, target)
        length = int(reply.fields["content-length"])
        assert length == len(str(number))
        assert method == "HEAD" or reply.body == b"%d" % number


def test_what_is_refused_does_not_count(daemon: WebDaemon):
    assert daemon.get("/").body == b"1"
    refused = {
        request("CONNECT", "example.org:80", host="example.org:80"): 405,
        request("BREW", "/"): 501,
        request("get", "/"): 501,
        request("POST", "/", b"x" * 65_537): 413,
        request("POST", "/", None, transfer_encoding="chunked") + b"10001\r\n": 413,
        request("GET", "/", host="a b"): 400,
        request("GET", "/", expect="miracles"): 417,
        request("GET", "/a b"): 400,
        request("GET", "/" + "a" * 8_200): 414,
        b"GET / HTTP/1.1\r\n\r\n": 400,
        b"GET / HTTP/1.1\nHost: a\n\n": 400,
    }
    for sent, status in refused.items():
        client = daemon.connect().send(sent)
        assert client.reply().status == status, sent
    unfinished = daemon.connect().send(request("POST", "/", None, content_length="9") + b"x")
    gone = daemon.connect().send(GET[:-2])
    assert daemon.get("/").body == b"2"
    unfinished.reset()
    gone.close()
    assert daemon.get("/").body == b"3"


class Asked(NamedTuple):
    """A request that was counted at some moment in between.

    :ivar sent: when it was sent, in seconds of this process's monotonic clock.
    :ivar answered: when its reply had come.
    :ivar answer: the number in it.
    """

    sent: float
    answered: float
    answer: int


def ask(client: HTTPClient, size: int) -> list[Asked]:
    """Send a bunch of requests."""
    sent = time.monotonic()
    client.send(GET * size)
    counts = [int(client.reply().body) for _ in range(size)]
    answered = time.monotonic()
    return [Asked(sent, answered, count) for count in counts]


def test_a_request_counts_as_long_as_the_window_is_and_no_longer(start: Starter):
    """Checked against the requests of which it is certain, or possible, that they are in it."""
    window_s = 1.0
    client = serve(start, "counter", window=window_s, sync=0.05).connect()
    source = random.Random(60)  # noqa: S311
    history = ask(client, 1_000)

    def is_over() -> bool:
        history.extend(ask(client, source.choice([1, 1, 2, 30])))
        return history[-1].sent - history[0].answered > 2.5 * window_s

    eventually(is_over)
    sent = [each.sent for each in history]
    answered = [each.answered for each in history]
    for number, asked in enumerate(history, 1):
        certainly_out = bisect_right(answered, asked.sent - window_s)
        possibly_out = bisect_right(sent, asked.answered - window_s)
        assert number - possibly_out <= asked.answer <= number - certainly_out
    assert history[-1].answer < len(history)
