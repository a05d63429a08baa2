"""``tsdaemon numbers send`` against servers that are full, stuck, strange or gone."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.cli.main import main
from tests.cli.servers import TIMEOUT_S, Behave, read_all, reset, serving


class Collector:
    """A server of numbers, as far as a client can tell, that keeps what it gets."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self._lock = threading.Lock()

    def __call__(self, client: socket.socket) -> None:
        data = read_all(client)
        with self._lock:
            self.received.append(data)

    @property
    def lines(self) -> list[bytes]:
        """All that was received, sorted."""
        return sorted(b"".join(self.received).splitlines())


def first_then(first: Behave, others: Behave) -> Behave:
    """Treat the first client in one way, the others in another."""
    turns = iter([first])
    lock = threading.Lock()

    def behave(client: socket.socket) -> None:
        with lock:
            chosen = next(turns, others)
        chosen(client)

    return behave


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of 200,000 numbers."""
    path = tmp_path / "numbers.txt"
    path.write_bytes(b"".join(b"%09d\n" % number for number in range(200_000)))
    return path


def send(file: Path | str, port: int, *flags: str) -> int:
    return main(["numbers", "send", str(file), "--to", f"127.0.0.1:{port}", *flags])


def test_every_line_arrives_once_and_whole(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = Collector()
    with serving(server, clients=3) as port:
        assert send(file, port, "--connections", "3") == 0
    assert server.lines == file.read_bytes().splitlines()
    assert all(data.endswith(b"\n") for data in server.received if data)
    out, err = capsys.readouterr()
    assert out.startswith("sent 200000 numbers over 3 connections in ")
    assert err == ""


def test_a_last_line_without_its_end_is_sent_with_one(tmp_path: Path) -> None:
    path = tmp_path / "torn.txt"
    path.write_bytes(b"000000001\n000000002")
    server = Collector()
    with serving(server) as port:
        assert send(path, port, "--connections", "1") == 0
    assert server.received == [b"000000001\n000000002\n"]


def test_an_empty_file_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.txt"
    path.touch()
    with serving(Collector(), clients=5) as port:
        assert send(path, port) == 0
    assert capsys.readouterr().out.startswith("sent 0 numbers")


def test_connections_that_are_refused_are_left_out(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Collector()
    with serving(first_then(lambda _: None, server), clients=3) as port:
        assert send(file, port, "--connections", "3") == 0
    assert server.lines == file.read_bytes().splitlines()
    assert "over 2 of 3 connections" in capsys.readouterr().out


def test_a_server_that_refuses_all_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda _: None, clients=2) as port:
        assert send(file, port, "--connections", "2") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "refuses all connections" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("end", [socket.socket.close, reset], ids=["closes", "resets"])
def test_a_server_that_stops_early_is_told(
    file: Path, capsys: pytest.CaptureFixture[str], end: Callable[[socket.socket], None]
) -> None:
    def stop_early(client: socket.socket) -> None:
        client.recv(1000)
        end(client)

    with serving(first_then(stop_early, Collector()), clients=2) as port:
        assert send(file, port, "--connections", "2") == 1
    out, err = capsys.readouterr()
    assert out.startswith("sent ")
    assert "early" in err
    assert "numbers may be missing" in err
    assert str(file) in err
    assert err.count("\n") == 1


def test_a_bad_line_is_named_and_all_before_it_arrives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.txt"
    good = b"".join(b"%09d\n" % number for number in range(100_000))
    path.write_bytes(good + b"12x\n" + good)
    server = Collector()
    with serving(server, clients=3) as port:
        assert send(path, port, "--connections", "3") == 1
    assert server.lines == sorted([*good.splitlines(), b"12x"])
    err = capsys.readouterr().err
    assert f"{path}, line 100001 (byte 1000000): '12x' is not nine digits" in err
    assert err.count("\n") == 1


def test_terminate_comes_after_everything_else(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with file.open("ab") as more:
        more.write(b"terminate\n000000001\n")
    ended: list[bytes] = []

    def behave(client: socket.socket) -> None:
        data = read_all(client)
        ended.append(data[-10:])

    with serving(behave, clients=4) as port:
        assert send(file, port, "--connections", "4") == 0
    assert ended[-1] == b"terminate\n"
    assert b"terminate\n" not in ended[:-1]
    assert capsys.readouterr().out.endswith(", then terminate\n")


def test_a_server_that_answers_is_no_number_server(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def behave(client: socket.socket) -> None:
        client.recv(1)
        client.sendall(b"220 mail.example\r\n")
        # Closed with bytes unread, the connection would be reset, and the greeting lost.
        while client.recv(65_536):
            pass

    with serving(behave) as port:
        assert send(file, port, "--connections", "1") == 1
    assert "no number server" in capsys.readouterr().err


def test_a_server_that_takes_nothing_is_given_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "many.txt"
    path.write_bytes(b"000000001\n" * 2_000_000)
    over = threading.Event()

    def behave(client: socket.socket) -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        over.wait(TIMEOUT_S)

    with serving(behave) as port:
        assert send(path, port, "--connections", "1", "--timeout", "0.3") == 1
        over.set()
    assert "has taken nothing for 0.3 s" in capsys.readouterr().err


def test_a_server_that_never_closes_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_bytes(b"000000001\n")
    over = threading.Event()

    def behave(_: socket.socket) -> None:
        over.wait(TIMEOUT_S)

    with serving(behave) as port:
        assert send(path, port, "--connections", "1", "--timeout", "0.3") == 1
        over.set()


def test_a_stream_is_sent_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    arrived = threading.Event()
    received: list[bytes] = []

    def behave(client: socket.socket) -> None:
        received.append(client.recv(100))
        arrived.set()
        received.append(read_all(client))

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as out:
            out.write(b"000000001\n00000")
            arrived.wait(TIMEOUT_S)
            out.write(b"0002\n")

    with os.fdopen(reading) as stdin, serving(behave) as port:
        monkeypatch.setattr("sys.stdin", stdin)
        feeder = threading.Thread(target=feed)
        feeder.start()
        assert send("-", port, "--connections", "1") == 0
        feeder.join()
    assert received == [b"000000001\n", b"000000002\n"]


def test_a_rate_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "few.txt"
    path.write_bytes(b"000000001\n" * 40)
    server = Collector()
    with serving(server, clients=2) as port:
        assert send(path, port, "--connections", "2", "--rate", "100") == 0
    assert len(server.lines) == 40
    took_s = float(capsys.readouterr().out.partition(" in ")[2].partition(" s")[0])
    assert took_s >= 0.3


@pytest.mark.parametrize(
    ("file", "to", "said"),
    [
        ("missing.txt", "127.0.0.1:4000", "cannot read missing.txt: No such file"),
        (".", "127.0.0.1:4000", "cannot read .: it is a folder"),
        (os.devnull, "127.0.0.1", "--to: got '127.0.0.1', wanted HOST:PORT"),
        (os.devnull, "127.0.0.1:0", "wanted HOST:PORT"),
        (os.devnull, "127.0.0.1:65536", "wanted HOST:PORT"),
        (os.devnull, ":4000", "wanted HOST:PORT"),
        (os.devnull, "nowhere.invalid:4000", "cannot connect to nowhere.invalid port 4000"),
    ],
)
def test_what_cannot_be_sent_or_reached_is_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    file: str,
    to: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["numbers", "send", file, "--to", to]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1


def test_a_closed_standard_input_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["numbers", "send", "-"]) == 2
    assert capsys.readouterr().err == "tsdaemon: cannot read standard input: it is closed\n"


def test_an_ipv6_address_stands_in_brackets(tmp_path: Path) -> None:
    path = tmp_path / "one.txt"
    path.write_bytes(b"000000001\n")
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listening:
        port = listening.getsockname()[1]
        received: list[bytes] = []

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                received.append(read_all(client))

        thread = threading.Thread(target=serve)
        thread.start()
        assert main(["numbers", "send", str(path), "--to", f"[::1]:{port}", "--connections=1"]) == 0
        thread.join()
    assert received == [b"000000001\n"]
