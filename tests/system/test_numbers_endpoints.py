"""The number server on endpoints other than TCP over IPv4."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.certificates import write_self_signed
from tests.system.clients import fresh_numbers, lines
from tests.system.conftest import Starter
from tests.system.running import ReservedPort, RunningDaemon


def started(start: Starter, endpoint: str, address: tuple[str, int] | str) -> RunningDaemon:
    """Start a daemon on an endpoint."""
    arguments = ["-n", "--pidfile=", "tsdaemon", "--set", f"numbers.listen={endpoint}"]
    daemon = RunningDaemon(start.folder(), arguments, address)
    return start.adopt(daemon).wait_until_ready()


def takes_numbers_and_terminates(daemon: RunningDaemon) -> None:
    """See that numbers count, that a bad line ends its client, and that terminate is obeyed."""
    clients = [daemon.connect() for _ in range(5)]
    assert daemon.connect().until_end() == b""
    numbers = fresh_numbers(1_000)
    clients[0].send(lines(numbers[:500]) + b"?")
    assert clients.pop(0).until_end() == b""
    clients[0].send(lines(numbers[500:]) + b"terminate\n")
    for client in clients:
        assert client.until_end() == b""
    assert daemon.wait() == 0
    assert sorted(daemon.lines()) == sorted(map(str, numbers))


def test_ipv6_works_and_its_loopback_may_terminate(start: Starter):
    try:
        port = start.port("::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    takes_numbers_and_terminates(start(port=port))


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """A path short enough for a unix socket."""
    with TemporaryDirectory(prefix="tsdaemon-") as folder:
        yield Path(folder) / "numbers.sock"


def test_a_unix_socket_works_and_its_clients_may_terminate(start: Starter, socket_path: Path):
    takes_numbers_and_terminates(started(start, f"unix:{socket_path}", str(socket_path)))
    assert not socket_path.exists()


def test_what_lies_unread_in_unix_sockets_before_terminate_is_in_the_log(
    start: Starter, socket_path: Path
):
    daemon = started(start, f"unix:{socket_path}", str(socket_path))
    clients = [daemon.connect() for _ in range(5)]
    numbers = fresh_numbers(5)
    for client, number in zip(clients, numbers, strict=True):
        client.send_numbers([number])
    daemon.wait_for(numbers)
    late = fresh_numbers(1_000)
    with daemon.frozen():
        for client in clients[:4]:
            client.send_numbers(late)
        clients[4].send(b"terminate\n")
    assert daemon.wait() == 0
    assert sorted(daemon.lines()) == sorted(map(str, numbers + late))


def haproxy(source: str, port: int) -> bytes:
    """Write the header that says for whom a proxy speaks."""
    return f"PROXY TCP4 {source} 127.0.0.1 5000 {port}\r\n".encode()


def test_behind_a_proxy_only_those_it_speaks_for_count_as_loopback(start: Starter):
    port = start.port()
    daemon = started(
        start,
        f"haproxy:tcp:{port.number}:interface=127.0.0.1",
        (port.host, port.number),
    )
    numbers = fresh_numbers(2)
    stranger = daemon.connect()
    stranger.send(haproxy("203.0.113.5", port.number) + lines(numbers[:1]) + b"terminate\n")
    assert stranger.until_end() == b""
    daemon.wait_for(numbers[:1])
    friend = daemon.connect()
    friend.send(haproxy("127.0.0.1", port.number) + lines(numbers[1:]) + b"terminate\n")
    assert daemon.wait() == 0
    assert sorted(daemon.lines()) == sorted(map(str, numbers))


def test_behind_a_proxy_one_client_too_many_is_closed_without_a_byte(start: Starter):
    port = start.port()
    daemon = started(
        start,
        f"haproxy:tcp:{port.number}:interface=127.0.0.1",
        (port.host, port.number),
    )
    clients = [daemon.connect() for _ in range(5)]
    numbers = fresh_numbers(5)
    for client, number in zip(clients, numbers, strict=True):
        client.send(haproxy("127.0.0.1", port.number) + lines([number]))
    daemon.wait_for(numbers)
    sixth = daemon.connect()
    sixth.send_while_possible(haproxy("127.0.0.1", port.number))
    assert sixth.until_end() == b""
    assert "Traceback" not in daemon.stderr


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and its self-signed certificate, for localhost."""
    return write_self_signed(tmp_path_factory.mktemp("tls") / "localhost.pem")


@pytest.fixture
def trust(certificate: Path) -> ssl.SSLContext:
    """What a client needs to trust the certificate."""
    return ssl.create_default_context(cafile=certificate)


@pytest.fixture
def tls_port(start: Starter) -> ReservedPort:
    """A port for TLS."""
    return start.port()


@pytest.fixture
def tls_daemon(start: Starter, tls_port: ReservedPort, certificate: Path) -> RunningDaemon:
    """A daemon that speaks TLS."""
    endpoint = (
        f"ssl:port={tls_port.number}:interface=127.0.0.1"
        f":privateKey={certificate}:certKey={certificate}"
    )
    return started(start, endpoint, (tls_port.host, tls_port.number))


def test_numbers_count_over_tls_and_a_bad_line_ends_its_client(
    tls_daemon: RunningDaemon, trust: ssl.SSLContext
):
    good, bad = tls_daemon.connect(tls=trust), tls_daemon.connect(tls=trust)
    numbers, lost = fresh_numbers(2_000), fresh_numbers(5)
    bad.send(lines(numbers[:1_000]) + b"+\n" + lines(lost))
    assert bad.until_end() == b""
    good.send_numbers(numbers[1_000:])
    tls_daemon.wait_for(numbers)
    good.send(b"terminate\n")
    assert good.until_end() == b""
    assert tls_daemon.wait() == 0
    assert sorted(tls_daemon.lines()) == sorted(map(str, numbers))


def test_idle_tls_clients_do_not_keep_terminate_from_ending_the_daemon(
    tls_daemon: RunningDaemon, trust: ssl.SSLContext
):
    idle = [tls_daemon.connect(tls=trust) for _ in range(2)]
    silent = tls_daemon.connect()  # never begins to speak TLS
    tls_daemon.connect(tls=trust).send(b"terminate\n")
    for client in [*idle, silent]:
        assert client.until_end() == b""
    assert tls_daemon.wait() == 0


def test_one_tls_client_too_many_is_closed_and_places_are_given_back(
    tls_daemon: RunningDaemon, trust: ssl.SSLContext
):
    clients = [tls_daemon.connect(tls=trust) for _ in range(5)]
    numbers = fresh_numbers(10)
    for client, number in zip(clients, numbers, strict=False):
        client.send_numbers([number])
    tls_daemon.wait_for(numbers[:5])
    assert tls_daemon.connect().until_end() == b""
    bad = clients.pop()
    assert bad.send(b"?").until_end() == b""
    again = tls_daemon.connect(tls=trust)
    again.send_numbers(numbers[5:])
    tls_daemon.wait_for(numbers)


def test_what_tls_clients_had_sent_before_terminate_is_in_the_log(
    tls_daemon: RunningDaemon, trust: ssl.SSLContext
):
    clients = [tls_daemon.connect(tls=trust) for _ in range(2)]
    early, late = fresh_numbers(2), fresh_numbers(9_000)
    for client, number in zip(clients, early, strict=True):
        client.send_numbers([number])
    tls_daemon.wait_for(early)
    with tls_daemon.frozen():
        clients[0].send_numbers(late).until_delivered()
        clients[1].send(b"terminate\n").until_delivered()
    assert tls_daemon.wait() == 0
    assert sorted(tls_daemon.lines()) == sorted(map(str, early + late))


def test_what_tls_clients_had_sent_before_a_signal_is_in_the_log(
    tls_daemon: RunningDaemon, trust: ssl.SSLContext
):
    client = tls_daemon.connect(tls=trust)
    early, late = fresh_numbers(1), fresh_numbers(9_000)
    client.send_numbers(early)
    tls_daemon.wait_for(early)
    with tls_daemon.frozen():
        client.send_numbers(late).until_delivered()
        tls_daemon.signal(signal.SIGTERM)
    assert tls_daemon.wait() == 0
    assert sorted(tls_daemon.lines()) == sorted(map(str, early + late))
