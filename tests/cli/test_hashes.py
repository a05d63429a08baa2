"""``tsdaemon hash`` against servers that refuse, restart, or do not wait."""

from __future__ import annotations

import io
import json
import socket
import threading
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from daemon.cli.main import main
from tests.cli.servers import answering, reply, serving

HASH = b"ZEHhWB65gUlzdVwtDQArEyx+KVLzp/aTaRaPlBzYRIFj6vjFdqEb0Q5B8zVKCZ0vKbZPZklJz0Fd7su2A+gf7Q=="
PENDING = reply("202 Accepted", b"pending", "Retry-After: 1")
HELD = reply("202 Accepted", b"pending", "Retry-After: 1", "Preference-Applied: wait=1")


class Requests:
    """A server that keeps the requests it gets, and answers each in the same way."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.received: list[bytes] = []

    def __call__(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65_536)
        head, _, body = head.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or b"0")
        while len(body) < length:
            body += client.recv(65_536)
        self.received.append(head + b"\n\n" + body)
        client.sendall(self._answer)


@pytest.fixture(autouse=True)
def typed(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    """What is on standard input."""
    typed = io.BytesIO()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(typed))
    return typed


def put(typed: io.BytesIO, data: bytes) -> None:
    typed.write(data)
    typed.seek(0)


def submit(port: int, *flags: str) -> int:
    return main(["hash", "submit", "--url", f"http://127.0.0.1:{port}", *flags])


def wait(port: int, *flags: str) -> int:
    return main(["hash", "wait", "7", "--url", f"http://127.0.0.1:{port}", *flags])


@pytest.mark.parametrize(
    ("given", "password"),
    [
        (b"angryMonkey\n", b"angryMonkey"),
        (b"angryMonkey", b"angryMonkey"),
        (b"two\n\n", b"two\n"),
        (b"crlf\r\n", b"crlf\r"),
        (b"a&b=c%20+\x00\xff \n", b"a&b=c%20+\x00\xff "),
    ],
)
def test_any_bytes_are_a_password_and_one_line_end_is_not(
    capsys: pytest.CaptureFixture[str], typed: io.BytesIO, given: bytes, password: bytes
) -> None:
    put(typed, given)
    server = Requests(reply("200 OK", b"42"))
    with serving(server) as port:
        assert submit(port) == 0
    assert capsys.readouterr().out == "42\n"
    (received,) = server.received
    assert received.startswith(b"POST /hash HTTP/1.1")
    body = received.partition(b"\n\n")[2]
    assert unquote_to_bytes(body.removeprefix(b"password=")) == password
    assert b"&" not in body


def test_a_token_comes_from_a_file(typed: io.BytesIO, tmp_path: Path) -> None:
    put(typed, b"secret")
    token = tmp_path / "token"
    token.write_text("abc.DEF-123==\n")
    server = Requests(reply("200 OK", b"1"))
    with serving(server) as port:
        assert submit(port, "--token-file", str(token)) == 0
    assert b"Authorization: Bearer abc.DEF-123==" in server.received[0].splitlines()


@pytest.mark.parametrize("token", [b"", b"a b", b"a\r\nX-Evil: 1", b"\xff"])
def test_what_is_no_token_is_refused_and_not_shown(
    capsys: pytest.CaptureFixture[str], typed: io.BytesIO, tmp_path: Path, token: bytes
) -> None:
    put(typed, b"secret")
    path = tmp_path / "token"
    path.write_bytes(token)
    assert submit(9, "--token-file", str(path)) == 2
    err = capsys.readouterr().err
    assert "does not hold a bearer token" in err
    assert "Evil" not in err


def test_a_token_file_that_is_not_there_is_told(
    capsys: pytest.CaptureFixture[str], typed: io.BytesIO
) -> None:
    put(typed, b"secret")
    assert submit(9, "--token-file", "/nowhere/token") == 2
    assert "cannot read /nowhere/token: No such file" in capsys.readouterr().err


def test_an_empty_password_is_refused(
    capsys: pytest.CaptureFixture[str], typed: io.BytesIO
) -> None:
    put(typed, b"\n")
    assert submit(9) == 1
    assert capsys.readouterr().err == "tsdaemon: the password is empty\n"


def test_a_refusal_is_told_in_the_words_of_the_service(
    capsys: pytest.CaptureFixture[str], typed: io.BytesIO
) -> None:
    problem = {"title": "Unauthorized", "status": 401, "detail": "this needs a bearer token"}
    with serving(answering(reply("401 Unauthorized", json.dumps(problem).encode()))) as port:
        put(typed, b"secret")
        assert submit(port) == 1
        url = f"http://127.0.0.1:{port}"
    err = capsys.readouterr().err
    assert err == f"tsdaemon: {url}: 401 this needs a bearer token\n"


@pytest.mark.parametrize("answer", [reply("200 OK", b"hello"), reply("200 OK"), reply("302 Found")])
def test_another_server_gives_no_id(
    capsys: pytest.CaptureFixture[str], typed: io.BytesIO, answer: bytes
) -> None:
    put(typed, b"secret")
    with serving(answering(answer)) as port:
        assert submit(port) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def test_a_hash_is_printed_when_it_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    server = Requests(reply("200 OK", HASH))
    with serving(server) as port:
        assert wait(port, "--timeout", "20") == 0
    assert capsys.readouterr().out.encode() == HASH + b"\n"
    assert server.received[0].startswith(b"GET /hash/7 HTTP/1.1")
    assert b"Prefer: wait=20" in server.received[0]


def test_a_server_that_does_not_hold_the_request_is_asked_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    answers = answering(PENDING, HELD, reply("202 Accepted", b"", "Retry-After: soon"))
    left = threading.Semaphore(3)

    def behave(client: socket.socket) -> None:
        if left.acquire(blocking=False):
            answers(client)
        else:
            answering(reply("200 OK", HASH))(client)

    with serving(behave, clients=4) as port:
        assert wait(port) == 0
    assert capsys.readouterr().out.encode() == HASH + b"\n"
    assert slept == [1, 1]


def test_the_wait_has_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Requests(PENDING), clients=10) as port:
        assert wait(port, "--timeout", "0.05") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "tsdaemon: job 7 is not ready after 0.05 s\n"


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone", "500 Internal Server Error"])
def test_a_job_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str], status: str) -> None:
    with serving(answering(reply(status, b"[]"))) as port:
        assert wait(port) == 1
    assert status[:3] in capsys.readouterr().err


def test_a_hash_cannot_carry_commands_for_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(answering(reply("200 OK", b"\x1b[2Jabc\n\n"))) as port:
        assert wait(port) == 0
    assert capsys.readouterr().out == "[2Jabc\n"
