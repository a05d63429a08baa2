"""Asking servers that are slow, lie, flood, or are no HTTP servers at all."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from daemon.cli import asking
from daemon.cli.asking import ask
from daemon.cli.outcome import CannotAskError
from tests.cli.servers import Behave, answering, reply, reset, serving


def test_an_answer_is_read_whole() -> None:
    body = b"x" * 200_000
    with serving(answering(reply("202 Accepted", body, "X-Field: value"))) as port:
        answer = ask(f"http://127.0.0.1:{port}/", "/status")
    assert (answer.status, answer.body, answer.fields["x-field"]) == (202, body, "value")


def test_a_base_url_may_have_a_path() -> None:
    targets: list[bytes] = []

    def behave(client: socket.socket) -> None:
        targets.append(client.recv(1000).partition(b"\r\n")[0])
        client.sendall(reply("200 OK", b"ok"))

    with serving(behave) as port:
        assert ask(f"http://127.0.0.1:{port}/behind/proxy/", "/status").text == "ok"
    assert targets == [b"GET /behind/proxy/status HTTP/1.1"]


def test_the_environment_sends_no_request_to_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving(answering(reply("200 OK", b"ok"))) as port:
        assert ask(f"http://127.0.0.1:{port}", "/").text == "ok"


def nothing(client: socket.socket) -> None:
    """Close without a word."""
    client.recv(65_536)


def dripping(client: socket.socket) -> None:
    """Answer a byte at a time, without an end."""
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    client.settimeout(0.02)
    while True:
        client.sendall(b"x")
        with suppress(TimeoutError):
            client.recv(1)


def flooding(client: socket.socket) -> None:
    """Answer more than anyone wants."""
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        client.sendall(b"x" * 65_536)


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (nothing, "closed connection without response"),
        (reset, "Connection reset"),
        (answering(b"220 mail.example ready\r\n"), "that is no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"), "that is no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), "no HTTP"),
        (lambda client: client.recv(1) and client.recv(10**6) and client.recv(1), "no whole"),
        (dripping, "no whole answer within 0.5 s"),
        (flooding, "over 1000000 bytes"),
    ],
    ids=["nothing", "reset", "other protocol", "torn", "bad chunk", "silent", "drips", "floods"],
)
def test_what_is_no_whole_answer_is_one_line(
    monkeypatch: pytest.MonkeyPatch, behave: Behave, said: str
) -> None:
    monkeypatch.setattr(asking, "MOST_BYTES", 1_000_000)
    with serving(behave) as port, pytest.raises(CannotAskError) as caught:
        ask(f"http://127.0.0.1:{port}", "/", timeout_s=0.5)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"http://127.0.0.1:{port}: ")


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8080",
        "ftp://127.0.0.1",
        "http://",
        "http://127.0.0.1:port",
        "http://127.0.0.1:99999",
        "http://[::1",
        "http://127.0.0.1/?x=1",
        "http://user@127.0.0.1/",
        "",
    ],
)
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(CannotAskError, match="--url"):
        ask(url, "/")


def test_a_port_where_nobody_listens_is_told() -> None:
    with serving(nothing) as port:
        pass
    with pytest.raises(CannotAskError, match="Connection refused"):
        ask(f"http://127.0.0.1:{port}", "/")


def test_a_name_that_nobody_knows_is_told() -> None:
    with pytest.raises(CannotAskError, match=r"nowhere\.invalid"):
        ask("http://nowhere.invalid", "/")


def test_a_server_without_a_certificate_to_trust_is_told() -> None:
    with serving(nothing) as port, pytest.raises(CannotAskError):
        ask(f"https://127.0.0.1:{port}", "/")
