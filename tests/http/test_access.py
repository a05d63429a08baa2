"""The access log: one line for each request, and the same replies as without it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from daemon.http.access import PATH_CHARACTERS, AccessLog, peer_name
from daemon.http.limits import Limits
from tests.http.clients import Client, Server, get, post


@pytest.fixture
def events() -> Iterator[list[LogEvent]]:
    """What was logged of requests."""
    events: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event["log_namespace"] == "daemon.http.access.AccessLog":
            events.append(event)

    observer: Any = observe
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


@pytest.fixture
def server() -> Server:
    return Server(Limits(body_bytes=100), access=AccessLog("tea"))


@pytest.fixture
def client(server: Server) -> Client:
    return server.connect()


def shown(events: list[LogEvent]) -> list[tuple[str, str, str]]:
    """Give method, target and status of each line."""
    return [(event["method"], event["target"], event["status"]) for event in events]


def test_a_request_is_one_line_with_all_that_there_is_to_know(server, client, events):
    client.send(get("/later/1"))
    assert events == []
    server.clock.advance(0.25)
    server.application.waiting.pop().callback(b"one")
    (event,) = events
    size_bytes = len(client.wire.value())
    assert formatEvent(event) == (f"tea 127.0.0.1:50000 GET /later/1 200 {size_bytes} B 250000 us")
    assert event["log_level"].name == "info"


def test_queries_are_not_shown(client, events):
    client.send(get("/a?password=hidden") + get("/b%3Fx") + get("http://a/c?hidden"))
    assert [event["target"] for event in events] == ["/a?…", "/b%3Fx", "/c?…"]
    assert "hidden" not in repr([{**event, "log_logger": None} for event in events])


def test_long_paths_are_cut(client, events):
    client.send(get("/" + "x" * 2 * PATH_CHARACTERS))
    assert events[0]["target"] == "/" + "x" * (PATH_CHARACTERS - 1) + "…"


def test_each_of_many_on_one_connection_has_its_line(server, client, events):
    client.send(get("/1") + post(b"body", "/later/2") + get("/3", method="HEAD"))
    client.send(get("/fired/4"))
    server.application.waiting.pop().callback(b"two")
    client.send(get("/nothing", method="OPTIONS"))
    assert shown(events) == [
        ("GET", "/1", "200"),
        ("POST", "/later/2", "200"),
        ("HEAD", "/3", "200"),
        ("GET", "/fired/4", "200"),
        ("OPTIONS", "/nothing", "200"),
    ]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", "400"),
        (get("/").replace(b"Host: a\r\n", b""), "400"),
        (post(b"x" * 101), "413"),
        (get("/", method="BREW"), "501"),
    ],
)
def test_what_is_refused_has_a_line_too(client, events, sent, status):
    client.send(get("/") + sent)
    assert shown(events) == [("GET", "/", "200"), ("-", "-", status)]


def test_a_client_that_does_not_wait_for_its_reply_has_a_line(client, events):
    client.send(get("/later/1"))
    client.go()
    assert shown(events) == [("GET", "/later/1", "-")]


def test_a_client_that_asks_nothing_has_none(server, client, events):
    client.go()
    server.connect().send(b"GET / HT")
    assert events == []


def test_a_handler_that_fails_has_the_status_that_its_client_gets(server, client, events):
    client.send(get("/later/1"))
    result: Any = {"no": "reply"}
    server.application.waiting.pop().callback(result)
    assert shown(events) == [("GET", "/later/1", "500")]


def test_replies_are_the_same_with_it_and_without(events):
    """Whatever comes in whatever pieces."""
    choice = random.Random(1)  # noqa: S311  # requests, no secrets
    for _ in range(200):
        requests = [
            choice.choice(
                [
                    get("/a"),
                    post(b"body", "/b"),
                    get("/fired/c"),
                    get("/big/70000"),
                    get("/d", method="HEAD"),
                    get("/e", "Connection: close"),
                    b"\r\n",
                    b"nonsense\r\n\r\n",
                ]
            )
            for _ in range(choice.randint(1, 6))
        ]
        data = b"".join(requests)
        cuts = sorted(choice.sample(range(len(data) + 1), k=min(3, len(data))))
        plain, logged = Server().connect(), Server(access=AccessLog("tea")).connect()
        for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
            for client in (plain, logged):
                client.send(data[start:end])
        assert logged.wire.value() == plain.wire.value()
        assert (logged.closed, logged.reading) == (plain.closed, plain.reading)
    assert len(events) > 200


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        (IPv4Address("TCP", "127.0.0.1", 5), "127.0.0.1:5"),
        (IPv6Address("TCP", "::1", 5), "[::1]:5"),
        (UNIXAddress(None), "unix"),
        (None, "unix"),
    ],
)
def test_peers_have_names(peer, name):
    assert peer_name(peer) == name
