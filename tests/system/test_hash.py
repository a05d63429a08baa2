"""The hash service in real daemons: jobs, their end, and that of the daemon."""

from __future__ import annotations

import json
import signal
import socket
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

import pytest

from tests.system.clients import Client
from tests.system.conftest import Starter
from tests.system.http_clients import (
    EndedError,
    HTTPClient,
    Place,
    Reply,
    WebDaemon,
    request,
    serve,
    tcp,
)
from tests.system.running import eventually

FORM = "application/x-www-form-urlencoded"
MONKEY = b"ZEHhWB65gUlzdVwtDQArEyx+KVLzp/aTaRaPlBzYRIFj6vjFdqEb0Q5B8zVKCZ0vKbZPZklJz0Fd7su2A+gf7Q=="


def post(client: Any, password: str = "angryMonkey", **fields: str) -> Reply:  # noqa: S107  # no secret
    """Add a job."""
    reply = client.ask(
        "POST", "/hash", f"password={password}".encode(), content_type=FORM, **fields
    )
    assert isinstance(reply, Reply)
    return reply


def hash_of(password: str) -> bytes:
    return b64encode(sha512(password.encode()).digest())


def end_of(client: HTTPClient) -> str:
    """Give how a connection ends that owes no reply."""
    try:
        return "closed" if client.read_some() == b"" else "more came"
    except ConnectionResetError:
        return "reset"


def is_refused(daemon: WebDaemon) -> bool:
    try:
        HTTPClient(daemon.address).close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_example(start: Starter):
    daemon = serve(start, "hash", delay=0.2)
    client = daemon.connect()
    assert post(client).body == b"1"
    reply = client.ask("GET", "/hash/1", None, prefer="wait=10")
    assert (reply.status, reply.body) == (200, MONKEY)
    assert json.loads(client.ask("GET", "/stats").body)["total"] == 1


def test_what_the_server_itself_refuses_is_a_problem_too(start: Starter):
    daemon = serve(start, "hash")
    client = daemon.connect()
    client.send(b"GET /hash/1 HTTP/1.1\r\n\r\n")
    reply = client.reply()
    assert (reply.status, reply.fields["content-type"]) == (400, "application/problem+json")
    assert json.loads(reply.body)["status"] == 400
    client = daemon.connect()
    client.send(request("POST", "/hash", b"", content_type=FORM).replace(b": 0\r", b": 9999999\r"))
    assert client.reply().status == 413


@pytest.mark.parametrize("how", ["shutdown", "SIGTERM", "SIGINT", "terminate"])
def test_all_of_500_parallel_jobs_can_be_read_after_a_stop(start: Starter, how: str):
    place, numbers = tcp(start.port()), start.port()
    more = ["--only", "numbers,hash", "--set", f"numbers.listen={tcp(numbers).endpoint}"]
    daemon = serve(start, "hash", *more, place=place, delay=2)
    clients = [daemon.connect() for _ in range(500)]
    with ThreadPoolExecutor(50) as pool:
        jobs = list(pool.map(lambda at: int(post(clients[at], f"p{at}").body), range(500)))
        assert sorted(jobs) == list(range(1, 501))
        if how == "shutdown":
            stopper = clients[0].ask("POST", "/shutdown")
            assert (stopper.status, json.loads(stopper.body)["state"]) == (200, "draining")
            assert "connection" not in stopper.fields
            assert is_refused(daemon)
        elif how == "terminate":
            terminal = Client(("127.0.0.1", numbers.number))
            terminal.send(b"terminate\n")
            eventually(lambda: is_refused(daemon))
            terminal.close()
        else:
            daemon.signal(signal.Signals[how])
            eventually(lambda: is_refused(daemon))
    for client, job in zip(clients, jobs, strict=True):
        client.send(request("GET", f"/hash/{job}", prefer="wait=10"))
    for at, client in enumerate(clients):
        reply = client.reply()
        assert (reply.status, reply.body) == (200, hash_of(f"p{at}"))
        assert (reply.fields["connection"], end_of(client)) == ("close", "closed")
    assert daemon.wait() == 0


def test_while_it_stops_new_jobs_get_503_and_asking_again_is_the_same(start: Starter):
    daemon = serve(start, "hash", delay=1)
    first, second, third = (daemon.connect() for _ in range(3))
    post(first)
    for client in (first, second):
        assert client.ask("POST", "/shutdown").status == 200
    refused = post(third)
    assert (refused.status, refused.fields["connection"]) == (503, "close")
    assert json.loads(second.ask("GET", "/v/status").body)["state"] == "draining"
    assert first.ask("GET", "/hash/1", None, prefer="wait=5").body == MONKEY
    assert daemon.wait() == 0
    assert daemon.stderr.count("stopping: POST /shutdown") == 1


def test_an_idle_daemon_is_gone_at_once(start: Starter):
    daemon = serve(start, "hash", "--drain-timeout", "1.5", delay=0)
    idle = [daemon.connect() for _ in range(20)]
    assert all(post(client).status == 200 for client in idle)
    reply = idle[0].ask("POST", "/shutdown")
    assert (reply.status, reply.fields["connection"]) == (200, "close")
    assert daemon.wait() == 0
    assert {end_of(client) for client in idle} == {"closed"}


def test_the_last_job_can_be_read_for_a_while(start: Starter):
    daemon = serve(start, "hash", delay=0.3, linger=2)
    client = daemon.connect()
    post(client)
    daemon.signal(signal.SIGTERM)
    eventually(lambda: is_refused(daemon))
    while client.ask("GET", "/hash/1").status == 202:
        pass
    assert daemon.wait() == 0


def test_without_anybody_to_read_them_jobs_are_only_waited_for(start: Starter):
    daemon = serve(start, "hash", delay=0.3, linger=600)
    assert post(daemon).status == 200
    assert daemon.stop() == 0


def test_jobs_that_take_too_long_are_abandoned_and_named(start: Starter):
    daemon = serve(start, "hash", "--drain-timeout", "0.5", delay=600)
    post(daemon)
    post(daemon)
    assert daemon.stop() == 1
    assert "abandoned: 2 jobs not ready" in daemon.stderr


def test_kept_jobs_that_take_too_long_are_kept_for_the_next_start(start: Starter):
    folder = start.folder()
    flags = ("--drain-timeout", "3")
    daemon = serve(start, "hash", *flags, folder=folder, keep="true", delay=600)
    assert post(daemon).status == 200
    assert daemon.stop() == 0
    assert "1 jobs are kept for the next start" in daemon.stderr
    assert "drain_timeout (3.0 s): a stop does not wait" in daemon.stderr
    daemon = serve(start, "hash", *flags, folder=folder, keep="true", delay=600)
    assert daemon.ask("GET", "/hash/1").status == 202
    assert daemon.stop() == 0


def test_a_stop_under_full_load_resets_nobody(start: Starter):
    daemon = serve(start, "hash", delay=0.2, linger=0.2)

    def hammer(seed: int) -> set[str]:
        ends: set[str] = set()
        while True:
            try:
                client = HTTPClient(daemon.address)
            except ConnectionRefusedError:
                return ends | {"refused"}
            try:
                while True:
                    reply = post(client, f"{seed}")
                    assert reply.status in {200, 503}
                    if reply.fields.get("connection") == "close":
                        ends.add(end_of(client))
                        break
            finally:
                client.close()

    with ThreadPoolExecutor(20) as pool:
        hammering = [pool.submit(hammer, seed) for seed in range(20)]
        total = eventually(lambda: _total(daemon, at_least=500))
        assert daemon.ask("POST", "/shutdown").status == 200
        ends = set().union(*(each.result() for each in hammering))
    assert total >= 500
    assert ends <= {"refused", "closed"}
    assert daemon.wait() == 0


def _total(daemon: WebDaemon, at_least: int) -> int:
    total: int = json.loads(daemon.ask("GET", "/stats").body)["total"]
    return total if total >= at_least else 0


def test_those_who_wait_to_be_accepted_are_served_before_the_end(start: Starter):
    daemon = serve(start, "hash", delay=1)
    stopper = daemon.connect()
    post(stopper)
    with daemon.frozen():
        stopper.send(request("POST", "/shutdown", b""))
        late = [daemon.connect() for _ in range(200)]
        for client in late:
            client.send(request("GET", "/hash/1"))
    assert stopper.reply().status == 200
    assert {client.reply().status for client in late} == {202}
    assert daemon.wait() == 0


def test_kept_jobs_survive_kill_9_and_restart_after_restart(start: Starter):
    place, folder = tcp(start.port()), start.folder()
    passwords: dict[int, str] = {}
    for turn in range(3):
        daemon = serve(start, "hash", place=place, folder=folder, keep="true", delay=0.3)
        client = daemon.connect()
        for number in range(30):
            password = f"{turn}-{number}"
            passwords[int(post(client, password).body)] = password
        daemon.kill()
    assert sorted(passwords) == list(range(1, 91))
    daemon = serve(start, "hash", place=place, folder=folder, keep="true", delay=0.3)
    client = daemon.connect()
    for job, password in passwords.items():
        reply = client.ask("GET", f"/hash/{job}", None, prefer="wait=5")
        assert (reply.status, reply.body) == (200, hash_of(password))
    assert post(client).body == b"91"
    assert daemon.stop() == 0


def test_by_default_nothing_is_on_disk(start: Starter):
    folder = start.folder()
    daemon = serve(start, "hash", folder=folder, delay=0)
    post(daemon)
    assert daemon.stop() == 0
    assert list(folder.iterdir()) == []


def test_no_password_gets_into_the_log(start: Starter):
    daemon = serve(start, "hash", "--log-format", "json", delay=0)
    client = daemon.connect()
    for body, kind in [
        (b"password=xyzzy", FORM),
        (b"xyzzy=1", FORM),
        (b'{"password": "xyzzy', "application/json"),
        (b"password=xyzzy", "text/xyzzy"),
        (b"xyzzy", "multipart/form-data; boundary=xyzzy"),
    ]:
        reply = client.ask("POST", "/hash", body, content_type=kind)
        assert b"xyzzy" not in reply.body
    client.send(b"POST /hash HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\npassword=xyzzy")
    assert b"xyzzy" not in client.reply().body
    assert daemon.stop() == 0
    assert "xyzzy" not in daemon.stderr


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(sha256(b"first").hexdigest())
    return path


def test_with_tokens_shutdown_needs_one_from_loopback_too(start: Starter, tokens_file: Path):
    daemon = serve(start, "hash", "--set", f"auth.tokens_file={tokens_file}", delay=0)
    for authorization in ("Bearer wrong", "Basic Zmlyc3Q="):
        assert daemon.ask("POST", "/shutdown", authorization=authorization).status == 401
    assert daemon.ask("POST", "/shutdown").status == 401
    assert daemon.is_running
    assert daemon.ask("POST", "/shutdown", authorization="Bearer first").status == 200
    assert daemon.wait() == 0


PROXIED = {
    "PROXY TCP4 192.0.2.1 127.0.0.1 5 8080": 403,
    "PROXY TCP6 2001:db8::1 ::1 5 8080": 403,
    "PROXY UNKNOWN 127.0.0.1 127.0.0.1 5 8080": 403,
    "PROXY TCP4 127.0.0.1 127.0.0.1 5 8080": 200,
    "PROXY TCP6 ::ffff:127.0.0.1 ::1 5 8080": 200,
}


def test_behind_a_proxy_its_header_says_who_is_on_this_machine(start: Starter):
    port = start.port()
    place = tcp(port)._replace(endpoint=f"haproxy:{tcp(port).endpoint}")
    daemon = serve(start, "hash", place=place, delay=0)
    for header, status in PROXIED.items():
        client = daemon.connect()
        client.send(f"{header}\r\n".encode() + request("POST", "/shutdown", b""))
        try:
            assert client.reply().status == status, header
        except EndedError:
            pytest.fail(f"no reply after {header}")
        if status == 200:
            break
    assert daemon.wait() == 0


def test_who_is_not_on_this_machine_may_not_stop_it(start: Starter):
    port = start.port("0.0.0.0")  # noqa: S104
    daemon = serve(start, "hash", place=tcp(port), delay=0)
    mine = _own_address()
    if mine is None:
        pytest.skip("this machine has no address but loopback")
    client = HTTPClient((mine, port.number))
    assert client.ask("POST", "/shutdown", b"").status == 403
    client.close()
    assert daemon.is_running
    assert daemon.stop() == 0


def _own_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def test_on_a_unix_socket_everyone_may_stop_it(start: Starter, tmp_path: Path):
    path = tmp_path / "socket"
    daemon = serve(start, "hash", place=Place(f"unix:{path}", str(path)), delay=0)
    assert daemon.ask("POST", "/shutdown", b"").status == 200
    assert daemon.wait() == 0
