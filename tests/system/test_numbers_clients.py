"""How many clients are served at once, and how places are given back."""

from __future__ import annotations

import pytest

from tests.system.clients import Client, fresh_numbers
from tests.system.conftest import Starter
from tests.system.running import RunningDaemon

CLIENTS = 5

ENDS = ("close", "finish", "reset", "invalid")


def end(client: Client, how: str) -> None:
    """End a client in one of the ways of :data:`ENDS`."""
    if how == "invalid":
        client.send(b"?")
        assert client.until_end() == b""
    else:
        getattr(client, how)()


def fill(daemon: RunningDaemon) -> list[Client]:
    """Take all places, and see that each is one: its number gets into the log."""
    clients = [daemon.connect() for _ in range(CLIENTS)]
    works(daemon, clients)
    return clients


def works(daemon: RunningDaemon, clients: list[Client]) -> None:
    """See that all these clients are served."""
    numbers = fresh_numbers(len(clients))
    for client, number in zip(clients, numbers, strict=True):
        client.send_numbers([number])
    daemon.wait_for(numbers)


def is_full(daemon: RunningDaemon) -> bool:
    """Whether one client more is closed without a byte."""
    return daemon.connect().until_end() == b""


def test_a_sixth_client_is_closed_at_once_without_a_byte_and_five_go_on(daemon: RunningDaemon):
    clients = fill(daemon)
    for _ in range(3):
        assert daemon.connect().until_end() == b""
        works(daemon, clients)


def test_what_a_sixth_client_sends_does_not_count(daemon: RunningDaemon):
    clients = fill(daemon)
    lost = fresh_numbers(3)
    sixth = daemon.connect()
    sixth.send_while_possible(b"%09d\n%09d\n%09d\nterminate\n" % tuple(lost))
    assert sixth.until_end() == b""
    works(daemon, clients)
    assert not {str(number) for number in lost} & set(daemon.lines())


@pytest.mark.parametrize("how", ENDS)
def test_a_place_is_given_back_once(daemon: RunningDaemon, how: str):
    clients = fill(daemon)
    for _ in range(3):
        end(clients.pop(0), how)
        clients.append(daemon.connect())
        works(daemon, clients)
        assert is_full(daemon)


@pytest.mark.parametrize("how", ENDS)
def test_hundreds_of_quick_clients_leave_five_places(daemon: RunningDaemon, how: str):
    for _ in range(60):
        for client in [daemon.connect() for _ in range(CLIENTS)]:
            end(client, how)
    fill(daemon)
    assert is_full(daemon)


@pytest.mark.parametrize("how", ["close", "reset"])
def test_hundreds_of_clients_too_many_leave_five_places(daemon: RunningDaemon, how: str):
    clients = fill(daemon)
    for _ in range(200):
        end(daemon.connect(), how)
    works(daemon, clients)
    assert is_full(daemon)
    end(clients.pop(), "close")
    clients.append(daemon.connect())
    works(daemon, clients)
    assert is_full(daemon)


@pytest.mark.parametrize("how", ["close", "finish", "reset"])
def test_a_client_that_leaves_and_comes_back_at_once_is_admitted(daemon: RunningDaemon, how: str):
    clients = fill(daemon)
    for _ in range(150):
        end(clients.pop(0), how)
        clients.append(daemon.connect())
    works(daemon, clients)
    assert is_full(daemon)


@pytest.mark.parametrize("leaving", [1, 3, 5])
def test_newcomers_find_the_places_of_those_who_left_before_and_no_number_is_lost(
    daemon: RunningDaemon, leaving: int
):
    """Even if the server learns of both at the same time."""
    clients = fill(daemon)
    left = fresh_numbers(leaving * 100)
    with daemon.frozen():
        for number in range(leaving):
            client = clients.pop(0)
            client.send_numbers(left[number::leaving]).until_delivered().close()
        clients += [daemon.connect() for _ in range(leaving)]
    works(daemon, clients)
    assert is_full(daemon)
    daemon.wait_for(left)


def test_the_number_of_clients_is_a_setting(start: Starter):
    daemon = start("--set", "numbers.clients=2")
    clients = [daemon.connect(), daemon.connect()]
    works(daemon, clients)
    assert is_full(daemon)


def test_a_trickling_clients_number_is_in_the_file_while_busy_clients_keep_sending(
    start: Starter,
):
    daemon = start()
    busy = [daemon.connect() for _ in range(CLIENTS - 1)]
    trickle = daemon.connect()
    crowd = fresh_numbers(20_000)
    for number in fresh_numbers(20):
        for client in busy:
            client.send_numbers(crowd)
        trickle.send_numbers([number])
        for client in busy:
            client.send_numbers(crowd)
        daemon.wait_for([number])
