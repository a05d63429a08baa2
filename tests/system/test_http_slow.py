"""Clients of an HTTP service that take their time."""

from __future__ import annotations

import select
import time

import pytest

from tests.system.conftest import Starter
from tests.system.http_clients import TEXT, EndedError, HTTPClient, WebDaemon, request, serve
from tests.system.running import TIMEOUT_S

GET = request("GET", "/timestamp")
PUT = request("PUT", "/timestamp", content_type=TEXT, content_length="40")


@pytest.fixture(scope="module")
def shared_daemon(module_start: Starter) -> WebDaemon:
    """A daemon without patience that the tests here share."""
    return serve(
        module_start,
        "timestamp",
        durability="memory",
        header_timeout=0.3,
        body_timeout=1,
        idle_timeout=0.3,
    )


@pytest.fixture
def daemon(shared_daemon: WebDaemon) -> WebDaemon:
    """The shared daemon, without a client of an earlier test."""
    shared_daemon.hang_up()
    assert shared_daemon.put("1").status == 204
    return shared_daemon


def trickle(clients: list[HTTPClient], data: bytes) -> None:
    """Send a byte each 50 ms, to each of the clients, until all were answered."""
    deadline = time.monotonic() + TIMEOUT_S
    waiting = set(clients)
    for byte in data:
        assert time.monotonic() < deadline
        for client in waiting:
            client.send_while_possible(bytes([byte]))
        answered, _, _ = select.select(waiting, [], [], 0.05)
        waiting -= set(answered)
        if not waiting:
            return
    pytest.fail("not everyone was answered")


def test_who_sends_a_header_byte_by_byte_is_cut_off_and_hinders_nobody(daemon: WebDaemon):
    slow = [daemon.connect() for _ in range(100)]
    trickle(slow, request("GET", "/timestamp", x="a" * 1_000))
    for client in slow:
        reply = client.reply()
        assert (reply.status, reply.fields["connection"]) == (408, "close")
        assert client.has_ended()
    assert daemon.get().body == b"1"


def test_who_goes_on_with_its_header_after_replies_is_held_to_the_same_time(daemon: WebDaemon):
    client = daemon.connect().send(GET + GET[:20])
    assert client.reply().status == 200
    assert client.reply().status == 408
    assert client.has_ended()


def test_who_leaves_a_body_unfinished_is_cut_off(daemon: WebDaemon):
    chunked = request("PUT", "/timestamp", content_type=TEXT, transfer_encoding="chunked")
    heads = (PUT, PUT + b"1", chunked, chunked + b"3\r\n1")
    for client in [daemon.connect().send(head) for head in heads]:
        reply = client.reply()
        assert (reply.status, reply.fields["connection"]) == (408, "close")
        assert client.has_ended()
    assert daemon.get().body == b"1"


def test_who_is_slow_with_a_body_but_goes_on_is_waited_for(daemon: WebDaemon):
    client = daemon.connect().send(PUT)
    trickle([client], b"17".rjust(40))
    assert client.reply().status == 204
    assert daemon.get().body == b"17"


def test_who_says_nothing_is_closed_without_a_word(daemon: WebDaemon):
    silent, idle, blank = daemon.connect(), daemon.connect(), daemon.connect()
    blank.send(b"\r\n")
    assert idle.ask("GET", "/timestamp").body == b"1"
    for client in (silent, idle, blank):
        with pytest.raises(EndedError):
            client.reply()


def test_who_waits_for_a_write_is_not_idle(daemon: WebDaemon):
    client = daemon.connect()
    client.send(request("GET", "/timestamp?wait=1.5", if_none_match=daemon.get().etag))
    assert client.reply().status == 304


def test_who_does_not_read_its_replies_is_dropped(daemon: WebDaemon):
    client = daemon.connect()
    sent = client.send_until_stuck(GET)
    broken = select.poll()
    broken.register(client, 0)
    assert broken.poll(TIMEOUT_S * 1_000)
    received = 0
    with pytest.raises((EndedError, AssertionError)):  # its last reply may be torn
        while client.reply().body == b"1":
            received += 1
    assert received < sent
    assert daemon.get().body == b"1"
