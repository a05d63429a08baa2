"""Clients of an HTTP service that want too much, or send what is no HTTP."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.conftest import Starter
from tests.system.http_clients import (
    TEXT,
    EndedError,
    HTTPClient,
    WebDaemon,
    request,
    serve,
    tcp,
)
from tests.system.running import eventually

GET = request("GET", "/timestamp")


@pytest.fixture(scope="module")
def shared_daemon(module_start: Starter) -> WebDaemon:
    """A daemon that the tests here share, with a timestamp in memory."""
    return serve(module_start, "timestamp", durability="memory")


@pytest.fixture
def daemon(shared_daemon: WebDaemon) -> WebDaemon:
    """The shared daemon, without a client of an earlier test."""
    shared_daemon.hang_up()
    assert shared_daemon.put("1").status == 204
    return shared_daemon


def memory_bytes(daemon: WebDaemon) -> int:
    """Give what a process has in memory."""
    pages = int(Path(f"/proc/{daemon.pid}/statm").read_text().split()[1])
    return pages * 4096


def answers(client: HTTPClient) -> bool:
    """Whether a client is served."""
    try:
        return client.ask("GET", "/timestamp").status == 200
    except EndedError:
        return False


# --- connections


def test_who_is_over_the_limit_of_connections_hears_so_and_the_others_are_served(start: Starter):
    daemon = serve(start, "timestamp", durability="memory", max_connections=3)
    daemon.put("1")
    served = eventually(lambda: admitted(daemon, 3))
    for _ in range(5):
        refused = daemon.connect()
        reply = refused.reply()
        assert (reply.status, reply.fields["retry-after"]) == (503, "1")
        assert reply.fields["connection"] == "close"
        assert reply.fields["content-type"].startswith("text/plain")
        assert refused.has_ended()
        refused.close()
        assert all(map(answers, served))
    served.pop().close()
    eventually(lambda: admitted(daemon, 1))
    assert all(map(answers, served))


def admitted(daemon: WebDaemon, count: int) -> list[HTTPClient]:
    """Connect clients, and give them if all of them are served."""
    clients = [daemon.connect() for _ in range(count)]
    if all(reply_or_none(client) == 200 for client in clients):
        return clients
    for client in clients:
        client.close()
    return []


def reply_or_none(client: HTTPClient) -> int | None:
    """Ask, and give the status of the reply."""
    try:
        return client.ask("GET", "/timestamp").status
    except EndedError:
        return None


def test_a_flood_of_connections_harms_nobody_who_is_served(start: Starter):
    place = tcp(start.port(), options=":backlog=4096")
    daemon = serve(start, "timestamp", place=place, durability="memory", max_connections=10)
    daemon.put("1")
    served = eventually(lambda: admitted(daemon, 9))
    flood = [daemon.connect() for _ in range(600)]
    assert all(map(answers, served))
    statuses = []
    for client in flood[1:]:
        try:
            statuses.append(client.reply().status)
        except EndedError:
            continue
        assert client.has_ended()
    assert set(statuses) == {503}
    for client in flood:
        client.close()
    eventually(lambda: admitted(daemon, 1))
    assert all(map(answers, served))


# --- sizes


TOO_LARGE = 4 << 20


@pytest.mark.parametrize(
    "head",
    [
        request("PUT", "/timestamp", content_type=TEXT, content_length=str(TOO_LARGE)),
        request("PUT", "/timestamp", content_type=TEXT, transfer_encoding="chunked"),
    ],
    ids=["length", "chunks"],
)
def test_who_sends_a_body_that_is_too_large_reads_why_it_is_refused(daemon: WebDaemon, head: bytes):
    client = daemon.connect()
    size = b"%x\r\n" % TOO_LARGE if b"Chunked" in head.title() else b""
    client.send(head + size + bytes(TOO_LARGE))
    reply = client.reply()
    assert (reply.status, reply.fields["connection"]) == (413, "close")
    assert client.has_ended()
    assert daemon.get().body == b"1"


def test_who_asks_first_is_not_told_to_send_a_body_that_is_too_large(daemon: WebDaemon):
    client = daemon.connect()
    length = str(TOO_LARGE)
    reply = client.ask(
        "PUT", "/timestamp", content_length=length, content_type=TEXT, expect="100-continue"
    )
    assert reply.status == 413
    client = daemon.connect()
    head = request(
        "PUT", "/timestamp", content_length="1", content_type=TEXT, expect="100-continue"
    )
    # Interim replies have no fields of their own here, so this is no Reply.
    assert client.send(head).read_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.send(b"7").reply().status == 204


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("GET", "/" + "a" * 9_000), 414),
        (request("GET", "/", x="a" * 20_000), 431),
        (request("GET", "/", None, **{f"x{number}": "" for number in range(101)}), 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (request("POST", "/", content_length="1", transfer_encoding="chunked"), 400),
    ],
    ids=["target", "field", "fields", "no host", "version", "TLS", "smuggled"],
)
def test_what_the_parser_refuses_gets_its_status_in_plain_text_and_the_end(
    daemon: WebDaemon, sent: bytes, status: int
):
    client = daemon.connect().send(sent)
    reply = client.reply()
    assert (reply.status, reply.fields["connection"]) == (status, "close")
    assert reply.fields["content-type"].startswith("text/plain")
    assert "date" in reply.fields
    assert client.has_ended()


# --- pipelines


def test_hundreds_of_requests_in_one_piece_are_answered_in_their_order(start: Starter):
    daemon = serve(start, "timestamp")
    client = daemon.connect()
    pairs = [
        request("PUT", "/timestamp", b"%d" % number, content_type=TEXT) + GET
        for number in range(250)
    ]
    client.send(b"".join(pairs))
    for number in range(250):
        written, read = client.reply(), client.reply()
        assert (written.status, read.etag) == (204, written.etag)
        assert read.body == b"%d" % number
    assert client.ask("HEAD", "/timestamp").status == 200


def test_clients_that_do_not_read_are_not_read_either_and_hinder_nobody(daemon: WebDaemon):
    before = memory_bytes(daemon)
    lazy = [daemon.connect().with_small_buffer() for _ in range(2)]
    sent = [client.send_until_stuck(GET) for client in lazy]
    assert daemon.get().body == b"1"
    assert memory_bytes(daemon) - before < 20_000_000
    assert all(daemon.get().body == b"1" for _ in range(10))
    for client, count in zip(lazy, sent, strict=True):
        client.finish()
        assert all(client.reply().body == b"1" for _ in range(count))
        assert client.has_ended()


# --- clients that go


@pytest.mark.parametrize("end", [HTTPClient.reset, HTTPClient.close])
@pytest.mark.parametrize(
    "sent",
    [
        GET * 200,
        GET[:-7],
        request("PUT", "/timestamp", content_type=TEXT, content_length="9") + b"12",
        request("GET", "/timestamp?wait=60", if_none_match='"x"') + GET,
    ],
    ids=["unread replies", "half a head", "half a body", "waiting"],
)
def test_a_client_that_goes_amid_its_request_or_reply_harms_nobody(
    daemon: WebDaemon, sent: bytes, end: Callable[[HTTPClient], None]
):
    clients = [daemon.connect().send(sent) for _ in range(10)]
    witness = daemon.connect()
    assert answers(witness)
    for client in clients:
        end(client)
    assert answers(witness)
    assert daemon.get().body == b"1"


def test_who_has_closed_its_own_side_gets_its_replies(daemon: WebDaemon):
    put = request("PUT", "/timestamp", b"2", content_type=TEXT)
    client = daemon.connect().send(put + GET)
    client.finish()
    assert [client.reply().status, client.reply().body] == [204, b"2"]
    assert client.has_ended()
    half = daemon.connect().send(GET[:-1])
    half.finish()
    assert half.has_ended()


def test_who_has_closed_its_own_side_and_waits_hears_of_the_next_write(daemon: WebDaemon):
    client = daemon.connect()
    client.send(request("GET", "/timestamp?wait=60", if_none_match=daemon.get().etag))
    client.finish()
    assert answers(daemon.connect())
    assert daemon.put("2").status == 204
    assert client.reply().body == b"2"
    assert client.has_ended()


# --- no HTTP at all


def garbled(source: random.Random) -> bytes:
    """Make something that is no request, or hardly."""
    if source.random() < 0.3:
        return source.randbytes(source.randrange(1, 5_000))
    put = request("PUT", "/timestamp", b"12345678", content_type=TEXT, accept="*/*")
    content = bytearray((put + GET) * source.randrange(1, 4))
    for _ in range(source.randrange(1, 6)):
        at = source.randrange(len(content))
        content[at : at + source.randrange(3)] = source.randbytes(source.randrange(3))
    return bytes(content)


def test_random_bytes_get_refusals_and_no_traceback(daemon: WebDaemon):
    source = random.Random(8090)  # noqa: S311
    for _ in range(300):
        client = daemon.connect()
        client.send_while_possible(garbled(source))
        if source.random() < 0.5:
            client.finish()
            try:
                while True:
                    assert client.reply().status in {200, 204, 304, *range(400, 432), 501, 505}
            except EndedError:
                pass
        end = source.choice([HTTPClient.close, HTTPClient.reset])
        end(client)
    assert daemon.put("3").status == 204
    assert daemon.get().body == b"3"
