"""The line ``terminate``, and signals: all that was received is in the log."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from tests.system.clients import Client, fresh_numbers, lines
from tests.system.conftest import Starter
from tests.system.running import RunningDaemon, eventually

TERMINATE = b"terminate\n"


def stopped_well(daemon: RunningDaemon, clients: list[Client], numbers: list[int]) -> None:
    """See that the daemon ends well: clients see it, the log is whole, the status is 0."""
    for client in clients:
        assert client.until_end() == b""
    assert daemon.wait() == 0
    assert sorted(daemon.log.read_text().splitlines()) == sorted(map(str, numbers))
    assert daemon.last_report().total == len(numbers)
    assert "Traceback" not in daemon.stderr
    assert daemon.reports() == []


def test_idle_clients_do_not_keep_terminate_from_ending_the_daemon(start: Starter):
    daemon = start()
    clients = [daemon.connect() for _ in range(5)]
    numbers = fresh_numbers(20_000)
    clients[2].send(lines(numbers) + TERMINATE)
    stopped_well(daemon, clients, numbers)


def test_after_terminate_the_daemon_is_gone_soon(start: Starter):
    """Contract: under 0.5 s. Ten times that here; the benchmark measures."""
    daemon = start()
    client = daemon.connect()
    begin = time.monotonic()
    client.send(TERMINATE)
    assert daemon.wait() == 0
    assert time.monotonic() - begin < 5


def test_after_sigterm_the_daemon_is_gone_soon(start: Starter):
    daemon = start()
    daemon.connect()
    begin = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - begin < 5


def test_numbers_after_terminate_do_not_count(start: Starter):
    daemon = start()
    client = daemon.connect()
    numbers = fresh_numbers(2_000)
    client.send(lines(numbers) + TERMINATE + lines(fresh_numbers(2_000)))
    stopped_well(daemon, [client], numbers)


def test_terminate_may_come_byte_by_byte(start: Starter):
    daemon = start()
    client, other = daemon.connect(), daemon.connect()
    numbers = fresh_numbers(len(TERMINATE))
    for number, byte in zip(numbers, TERMINATE, strict=True):
        other.send_numbers([number])
        daemon.wait_for([number])
        client.send(bytes([byte]))
    stopped_well(daemon, [client, other], numbers)


@pytest.mark.parametrize("position", [1, 5, 9])
def test_terminate_may_come_in_two_pieces_after_numbers(start: Starter, position: int):
    daemon = start()
    client = daemon.connect()
    numbers = fresh_numbers(1_000)
    client.send(lines(numbers) + TERMINATE[:position])
    daemon.wait_for(numbers)
    client.send(TERMINATE[position:])
    stopped_well(daemon, [client], numbers)


def test_two_clients_that_terminate_at_once_are_one(start: Starter):
    daemon = start()
    clients = [daemon.connect() for _ in range(5)]
    numbers = fresh_numbers(50)
    with daemon.frozen():
        for at, client in enumerate(clients):
            client.send(lines(numbers[at::5]) + TERMINATE).until_delivered()
    stopped_well(daemon, clients, numbers)


@pytest.mark.parametrize("terminating", range(5))
def test_what_others_had_sent_before_terminate_is_in_the_log(start: Starter, terminating: int):
    """In whichever order the server learns of both."""
    daemon = start()
    clients = [daemon.connect() for _ in range(5)]
    numbers = fresh_numbers(50_000)
    early, late = numbers[:5], numbers[5:]
    for number, client in zip(early, clients, strict=True):
        client.send_numbers([number])
    daemon.wait_for(early)
    with daemon.frozen():
        if terminating == 0:
            numbers = early
        else:
            others = clients[:terminating]
            for at, client in enumerate(others):
                client.send_numbers(late[at:10_000:terminating]).until_delivered()
            numbers = early + late[:10_000]
        clients[terminating].send(TERMINATE).until_delivered()
    stopped_well(daemon, clients, numbers)


def test_an_unfinished_line_beside_terminate_is_dropped(start: Starter):
    daemon = start()
    idle, client = daemon.connect(), daemon.connect()
    (number,) = fresh_numbers(1)
    idle.send(lines([number]) + b"12345678")
    daemon.wait_for([number])
    client.send(TERMINATE)
    stopped_well(daemon, [idle, client], [number])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_clients_had_sent_before_a_signal_is_in_the_log(
    start: Starter, number: signal.Signals
):
    daemon = start()
    clients = [daemon.connect() for _ in range(5)]
    numbers = fresh_numbers(30_000)
    for at, client in enumerate(clients[:3]):
        client.send_numbers(numbers[at::3]).until_delivered()
    clients[0].send(b"12345")
    daemon.signal(number)
    stopped_well(daemon, clients, numbers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_lies_unread_when_a_signal_comes_is_in_the_log(start: Starter, number: signal.Signals):
    daemon = start()
    clients = [daemon.connect() for _ in range(5)]
    early, late = fresh_numbers(5), fresh_numbers(10_000)
    for client, early_one in zip(clients, early, strict=True):
        client.send_numbers([early_one])
    daemon.wait_for(early)
    with daemon.frozen():
        daemon.signal(number)
        for at, client in enumerate(clients[:4]):
            client.send_numbers(late[at::4]).until_delivered()
    stopped_well(daemon, clients, early + late)


def test_clients_that_never_stop_sending_cannot_keep_a_signal_from_ending_the_daemon(
    start: Starter,
):
    daemon = start()
    client = daemon.connect()
    numbers = fresh_numbers(1_000)
    client.send_numbers(numbers)
    daemon.signal(signal.SIGTERM)
    repeated = lines(numbers)
    while daemon.is_running:
        client.send_while_possible(repeated)
    assert daemon.wait() == 0
    assert set(daemon.log.read_text().splitlines()) == {str(number) for number in numbers}


def test_further_signals_change_nothing(start: Starter):
    daemon = start()
    clients = [daemon.connect() for _ in range(5)]
    numbers = fresh_numbers(20_000)
    clients[0].send_numbers(numbers).until_delivered()
    while daemon.is_running:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            daemon.signal(number)
    stopped_well(daemon, clients, numbers)


def test_signals_beside_terminate_change_nothing(start: Starter):
    daemon = start()
    clients = [daemon.connect() for _ in range(2)]
    numbers = fresh_numbers(10_000)
    clients[0].send(lines(numbers) + TERMINATE).until_delivered()
    while daemon.is_running:
        daemon.signal(signal.SIGTERM)
    stopped_well(daemon, clients, numbers)


def test_sighup_does_not_stop_the_daemon(start: Starter):
    daemon = start()
    client = daemon.connect()
    numbers = fresh_numbers(2)
    for number in numbers:
        daemon.signal(signal.SIGHUP)
        eventually(lambda: "SIGHUP" in daemon.stderr)
        client.send_numbers([number])
        daemon.wait_for([number])
    assert daemon.stop() == 0


def other_address() -> str:
    """Give an address of this machine that is no loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # sends nothing: the system chooses a route
        except OSError:
            pytest.skip("this machine has no address but loopback")
        host: str = asking.getsockname()[0]
    return host


def test_terminate_from_elsewhere_than_loopback_is_a_bad_line(start: Starter):
    daemon = start(port=start.port(other_address()))
    numbers = fresh_numbers(2)
    assert daemon.connect().send(lines(numbers[:1]) + TERMINATE).until_end() == b""
    daemon.connect().send_numbers(numbers[1:])
    daemon.wait_for(numbers)
    assert daemon.is_running


def test_terminate_from_anyone_is_a_setting(start: Starter):
    daemon = start("--set", "numbers.terminate_from=anyone", port=start.port(other_address()))
    client = daemon.connect().send(TERMINATE)
    stopped_well(daemon, [client], [])


def test_terminate_from_anyone_holds_for_loopback_as_well(start: Starter):
    daemon = start("--set", "numbers.terminate_from=anyone")
    client = daemon.connect().send(TERMINATE)
    stopped_well(daemon, [client], [])
