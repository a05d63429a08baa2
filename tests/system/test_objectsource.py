"""``twistd -n tsobjectsource``, as its clients and its receiver see it."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Starter
from tests.system.http_clients import EndedError, WebDaemon
from tests.system.running import ReservedPort, eventually, run_twistd

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
QUICK = ["--min-delay", "0", "--max-delay", "0"]


def source(start: Starter, *flags: str, port: ReservedPort | None = None) -> WebDaemon:
    """Start an object source on a free port."""
    port = port or start.port()
    listen = f"tcp:{port.number}:interface={port.host}"
    arguments = ["-n", "--pidfile=", "tsobjectsource", "--listen", listen, *flags]
    daemon = WebDaemon(start.folder(), arguments, (port.host, port.number))
    start.adopt(daemon)
    return daemon.wait_until_ready()


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    """A socket that callbacks can be posted to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(15)
        yield listening


def url_of(receiver: socket.socket) -> str:
    return f"http://127.0.0.1:{receiver.getsockname()[1]}/callback"


def read_callback(connection: socket.socket) -> list[int]:
    """Read one callback, and give its ids."""
    connection.settimeout(15)
    received = b""
    while True:
        data = connection.recv(65_536)
        assert data, received
        received += data
        head, end, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if end and length and len(body) == int(length[1]):
            ids: list[int] = json.loads(body)["object_ids"]
            return ids


def has_ended(connection: socket.socket) -> bool:
    """Wait for the end of a connection; whether nothing came before it."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_it_serves_objects_and_leaves_no_file(start: Starter):
    daemon = source(start, *QUICK, "--no-callbacks")
    client = daemon.connect()
    for object_id, online in ((7, False), (8, True), (-8, True)):
        reply = client.ask("GET", f"/objects/{object_id}")
        assert reply.status == 200
        assert reply.fields["content-type"].startswith("text/plain")
        assert json.loads(reply.body) == {"id": object_id, "online": online}
    assert client.ask("GET", "/objects/seven").status == 400
    assert daemon.stop() == 0
    assert daemon.stdout == ""
    assert "of objects: 1 offline, 2 online; of callbacks: none" in daemon.stderr
    assert list(daemon.log.parent.iterdir()) == []


def test_many_wait_at_once_and_a_stop_is_prompt_all_the_same(start: Starter):
    daemon = source(start, "--min-delay", "3600", "--max-delay", "3600", "--no-callbacks")
    clients = [daemon.connect() for _ in range(500)]
    for number, client in enumerate(clients):
        client.send(b"GET /objects/%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        client.until_delivered()
    assert daemon.stop() == 0
    assert {client.reply().status for client in clients} <= {503}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_prompt_also_amid_faults(start: Starter, number: signal.Signals):
    daemon = source(
        start, *QUICK, "--flood-rate", "0.5", "--hang-rate", "0.5", "--no-callbacks", "--seed", "1"
    )
    for _ in range(20):
        daemon.connect().send(b"GET /objects/1 HTTP/1.1\r\nHost: a\r\n\r\n").until_delivered()
    daemon.signal(number)
    assert daemon.wait() == 0


def test_faults_happen_on_the_wire(start: Starter):
    daemon = source(
        start,
        *(*QUICK, "--no-callbacks", "--seed", "1"),
        *("--error-rate", "0.3", "--reset-rate", "0.3", "--cut-rate", "0.3"),
    )
    seen = set()
    for _ in range(60):
        try:
            seen.add(daemon.ask("GET", "/objects/8").status)
        except (AssertionError, EndedError):
            seen.add(0)  # a torn answer
    assert seen == {200, 500, 0}
    assert daemon.stop() == 0
    for fault in ("error", "reset", "cut"):
        assert re.search(rf"\d+ {fault}\b", daemon.stderr)


def test_it_posts_callbacks_and_says_what_came_of_each(start: Starter, receiver: socket.socket):
    daemon = source(start, "--callback", url_of(receiver), "--period", "0.01")
    connection, _ = receiver.accept()
    with connection:
        for _ in range(3):
            ids = read_callback(connection)
            assert len(ids) <= 199
            assert all(0 <= object_id <= 99 for object_id in ids)
            connection.sendall(NO_CONTENT)
        eventually(lambda: daemon.stderr.count(": answered 204 in ") == 3)
        read_callback(connection)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        eventually(lambda: daemon.stderr.count(": answered 400 in ") == 1)
        read_callback(connection)
        assert has_ended(connection)  # it gives up after its second
    connection, _ = receiver.accept()
    connection.close()
    receiver.close()
    eventually(lambda: "refused: nobody listens there" in daemon.stderr)
    assert daemon.stderr.count("gave up: no whole answer within 1 s") == 1
    assert daemon.stop() == 0
    assert re.search(r"of callbacks: 3 204, 1 400, 1 broken, 1 gave up, \d+ refused", daemon.stderr)


def test_it_waits_a_second_for_an_answer_as_the_real_sender_does(
    start: Starter, receiver: socket.socket
):
    """Whatever has come of the answer by then."""
    daemon = source(start, "--callback", url_of(receiver), "--period", "0")
    connection, _ = receiver.accept()
    with connection:
        read_callback(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        assert has_ended(connection)
    eventually(lambda: "gave up: no whole answer within 1 s" in daemon.stderr)


def test_a_port_already_taken_stops_the_start(start: Starter):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        finished = run_twistd(
            start.folder(), "-n", "--pidfile=", "tsobjectsource", "--listen", listen
        )
    assert finished.status == 1
    assert finished.stdout == ""
    assert f"objectsource: cannot listen on {listen}" in finished.stderr


def test_a_wrong_flag_is_one_line_on_stderr_and_status_2(tmp_path: Path):
    finished = run_twistd(tmp_path, "-n", "--pidfile=", "tsobjectsource", "--error-rate", "2")
    assert (finished.status, finished.stdout) == (2, "")
    (line,) = finished.stderr.splitlines()
    assert "got '2' from --error-rate, wanted a number >= 0, <= 1" in line
