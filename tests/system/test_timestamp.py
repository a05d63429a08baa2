"""The timestamp service, as clients see it on real sockets."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator

import pytest

from tests.system.conftest import Starter
from tests.system.http_clients import TEXT, HTTPClient, WebDaemon, request, serve, tcp

NO_ROOM_ASIDE = 100
"""Descriptors that this process needs for other things than clients."""


@pytest.fixture
def daemon(start: Starter) -> WebDaemon:
    """A daemon with the timestamp service."""
    return serve(start, "timestamp")


def waiting(daemon: WebDaemon, etag: str, wait_s: float = 60) -> HTTPClient:
    """Connect a reader who knows a value and waits for the next one."""
    client = daemon.connect()
    client.send(request("GET", f"/timestamp?wait={wait_s}", if_none_match=etag))
    return client


def wait_until_all_has_arrived(daemon: WebDaemon) -> None:
    """Wait until the daemon has read what clients had sent before.

    It accepts connections in their order, and reads all that are ready before it looks again.
    """
    assert daemon.ask("OPTIONS", "*").status == 204


def test_what_is_written_is_read_back_by_everyone(daemon: WebDaemon):
    client = daemon.connect()
    missing = client.ask("GET", "/timestamp")
    assert (missing.status, missing.fields["content-type"]) == (404, "text/plain; charset=utf-8")
    written = client.ask("PUT", "/timestamp", b" 1700000000\n", content_type=TEXT)
    assert (written.status, written.body) == (204, b"")
    read = daemon.get()
    assert (read.status, read.body, read.etag) == (200, b"1700000000", written.etag)
    assert read.fields["content-type"] == "text/plain; charset=utf-8"
    again = client.ask("POST", "/timestamp", b"-86400.250", content_type="Text/Plain;charset=UTF-8")
    assert again.status == 204
    assert again.etag != written.etag
    head = client.ask("HEAD", "/timestamp")
    assert (head.status, head.fields["content-length"], head.etag) == (200, "10", again.etag)
    assert daemon.get().body == b"-86400.250"


def test_conditions_make_compare_and_set_and_create_once(daemon: WebDaemon):
    first = daemon.put("1", if_none_match="*")
    assert first.status == 204
    assert daemon.put("2", if_none_match="*").status == 412
    second = daemon.put("2", if_match=first.etag)
    assert second.status == 204
    refused = daemon.put("3", if_match=first.etag)
    assert (refused.status, refused.etag) == (412, second.etag)
    assert daemon.get(if_none_match=first.etag).body == b"2"
    known = daemon.get(if_none_match=second.etag)
    assert (known.status, known.body, known.etag) == (304, b"", second.etag)


def test_every_error_is_plain_text(daemon: WebDaemon):
    replies = {
        400: daemon.put("1e9"),
        404: daemon.get("/"),
        405: daemon.ask("DELETE", "/timestamp"),
        406: daemon.get(accept="application/json"),
        411: daemon.ask("PUT", "/timestamp", content_type=TEXT),
        413: daemon.put("1".zfill(65)),
        415: daemon.ask("PUT", "/timestamp", b"1"),
        417: daemon.get(expect="miracles"),
        501: daemon.ask("BREW", "/timestamp"),
    }
    assert {reply.status for reply in replies.values()} == set(replies)
    for reply in replies.values():
        assert reply.fields["content-type"] == "text/plain; charset=utf-8"
        assert reply.body.count(b"\n") <= 1
        assert "<" not in reply.body.decode()
    assert replies[405].fields["allow"] == "GET, HEAD, OPTIONS, POST, PUT"
    assert daemon.get().status == 404


def test_a_write_releases_all_who_wait_for_it(daemon: WebDaemon):
    etag = daemon.put("1").etag
    readers = [waiting(daemon, etag) for _ in range(3)]
    wait_until_all_has_arrived(daemon)
    written = daemon.put("2")
    for reader in readers:
        reply = reader.reply()
        assert (reply.status, reply.body, reply.etag) == (200, b"2", written.etag)
        assert reader.ask("GET", "/timestamp").body == b"2"


def test_who_has_waited_long_enough_hears_that_nothing_changed(daemon: WebDaemon):
    assert waiting(daemon, '"any"', wait_s=0.2).reply().status == 404
    etag = daemon.put("1").etag
    reply = waiting(daemon, etag, wait_s=0.2).reply()
    assert (reply.status, reply.etag) == (304, etag)


def test_a_stop_answers_who_waits_and_ends_in_good_order(daemon: WebDaemon):
    etag = daemon.put("1").etag
    readers = [waiting(daemon, etag) for _ in range(3)]
    wait_until_all_has_arrived(daemon)
    daemon.signal(signal.SIGTERM)
    for reader in readers:
        reply = reader.reply()
        assert reply.status == 304
        # bug: readers are released before the HTTP server knows that it drains, so their replies
        # do not say that the connection ends.
        assert reply.fields.get("connection") == "close"
        assert reader.has_ended()
    assert daemon.wait() == 0


def test_readers_who_hang_up_while_they_wait_leave_nothing_behind(daemon: WebDaemon):
    etag = daemon.put("1").etag
    for end in (HTTPClient.close, HTTPClient.reset, HTTPClient.finish):
        for _ in range(20):
            end(waiting(daemon, etag))
    patient = waiting(daemon, etag)
    wait_until_all_has_arrived(daemon)
    assert daemon.put("2").status == 204
    assert patient.reply().body == b"2"


@pytest.fixture
def crowd_size() -> Iterator[int]:
    """How many clients this process may have at once: 2,000 where the system allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2_000 + NO_ROOM_ASIDE
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    yield allowed - NO_ROOM_ASIDE
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_write_releases_thousands_of_readers(start: Starter, crowd_size: int):
    # With Twisted's own backlog of 50, some of a crowd wait a second for their SYN's second try.
    daemon = serve(start, "timestamp", place=tcp(start.port(), options=":backlog=4096"))
    etag = daemon.put("1").etag
    readers = [waiting(daemon, etag) for _ in range(crowd_size)]
    wait_until_all_has_arrived(daemon)
    written = daemon.put("2")
    for reader in readers:
        reply = reader.reply()
        assert (reply.status, reply.body, reply.etag) == (200, b"2", written.etag)
    daemon.hang_up()
    assert daemon.stop() == 0
