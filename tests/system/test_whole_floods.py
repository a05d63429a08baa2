"""Floods on all ports of the whole daemon: everyone else is served all the while."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.system.conftest import Starter
from tests.system.flooded import (
    CONNECTIONS,
    CROWD,
    EACH_BYTES,
    LARGE,
    SLACK_BYTES,
    TIMES,
    flooded,
    to_all,
    unharmed,
    until,
    watched,
)
from tests.system.floods import PIECE_BYTES, Crowd, Hostile
from tests.system.hash_history import FORM
from tests.system.http_clients import TEXT, request
from tests.system.regulars import memory_bytes, require_service_to_newcomers
from tests.system.running import eventually
from tests.system.whole import SERVICES, WEB, Whole


@pytest.fixture(scope="module")
def shared_whole(module_start: Starter) -> Whole:
    """A daemon that the tests here share."""
    return flooded(module_start)


@pytest.fixture
def whole(shared_whole: Whole) -> Iterator[Whole]:
    """The shared daemon, which must be after each test as it was before."""
    with unharmed(shared_whole) as whole:
        yield whole


# --- who asks for much


def test_thousands_of_requests_in_one_piece_let_others_have_their_turn(whole: Whole):
    """Who asks once behind them is answered before they are, at whatever service they are."""
    count = PIECE_BYTES // len(request("GET", "/metrics"))
    with watched(whole, EACH_BYTES) as regulars:
        greedy = Hostile(whole.address("admin"), request("GET", "/metrics") * count)
        stopped = threading.Event()

        def read() -> None:
            while not stopped.is_set():
                greedy.step()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            eventually(lambda: greedy.received)
            for _ in range(3):
                assert regulars.ask("counter", "GET", "/").status == 200
            assert greedy.received.count(b"HTTP/1.1 200 ") < count
        finally:
            stopped.set()
            reader.join()
            greedy.close()


@pytest.mark.parametrize(
    ("name", "target"),
    [("callback", LARGE["callback"]), ("admin", "/metrics"), ("admin", "/status"), ("admin", "/")],
)
def test_what_many_ask_for_once_and_takes_long_is_made_while_others_are_served(
    whole: Whole, name: str, target: str
):
    """Whoever asks behind all of them for something short need not wait for all of them."""
    many, tries, good = CONNECTIONS - 10, 3, 0
    with (
        watched(whole, many * EACH_BYTES) as regulars,
        Crowd(Hostile(whole.address(name)) for _ in range(many)) as crowd,
    ):

        def served() -> int:
            crowd.push(rounds=1)
            return sum(200 in member.statuses for member in crowd.members)

        for _ in range(tries):
            for member in crowd.members:
                member.received = b""
                member.add(request("GET", target))
            crowd.push(rounds=1)
            assert regulars.ask("timestamp", "OPTIONS", "*").status == 204
            good += served() < many // 2
            eventually(lambda: served() == many)
            crowd.push()
    # This process may have to wait for the machine now and then.
    assert good > tries // 2


def test_crowds_that_ask_without_end_at_all_services_hold_nobody_up(whole: Whole):
    """Half of what they ask for does not exist, which takes longest to say."""
    wanted = [request("GET", f"/nothing/{number}") + request("GET", "/") for number in range(500)]
    crowd = to_all(whole, CROWD, lambda _: b"".join(wanted) * TIMES)
    with watched(whole, len(crowd.members) * EACH_BYTES) as regulars, crowd:
        crowd.push(rounds=3)
        regulars.require_service()
        crowd.push(rounds=3)
        regulars.require_service()


def test_hundreds_of_breaks_in_the_middle_of_replies_leave_nothing(whole: Whole):
    with watched(whole, 0) as regulars:
        for _ in range(5 * TIMES):
            crowd = to_all(whole, CROWD, lambda name: request("GET", LARGE[name]) * 200)
            crowd.push(rounds=2)
            for member in crowd.members:
                member.reset()
            regulars.require_service()


# --- who connects too often


def test_thousands_of_connections_over_all_limits_change_nothing_for_those_inside(whole: Whole):
    with watched(whole, 0) as regulars:
        for name in SERVICES:
            for number in range(300 * TIMES):
                visitor = Hostile(whole.address(name))
                (visitor.reset if number % 2 else visitor.close)()
            regulars.require_service()
        turned_away = Crowd(
            Hostile(whole.address(name)) for name in SERVICES for _ in range(CONNECTIONS + 60)
        )
        with turned_away:
            regulars.require_service()
            turned_away.push()
            refused = [503 in member.statuses for member in turned_away.members]
            assert sum(refused) >= len(WEB) * 50
            regulars.require_service()


# --- who sends too much


def test_what_is_too_large_is_refused_and_not_kept(whole: Whole):
    """Bodies that say so or not, heads and fields without end, at all services at once."""
    piece = b"%x\r\n" % PIECE_BYTES + bytes(PIECE_BYTES) + b"\r\n"
    gigabyte = request("POST", "/", content_type=FORM, content_length=str(2**30))
    endless = request("POST", "/", content_type=FORM, transfer_encoding="chunked")
    fields = "".join(f"X{number}: a\r\n" for number in range(5_000))
    sent = {
        413: (gigabyte + bytes(4 << 20), endless + piece * 64),
        431: (request("GET", "/", x="a" * (1 << 20)), request("GET", "/")[:-2] + fields.encode()),
        414: (request("GET", "/" + "a" * (1 << 20)),),
    }
    with watched(whole, 0) as regulars:
        for status, floods in sent.items():
            for flood in floods:
                with to_all(whole, 2, lambda _, data=flood: data) as crowd:  # type: ignore[misc]
                    until(crowd.all_ended, regulars)
                    assert {tuple(member.statuses) for member in crowd.members} == {(status,)}


# --- who waits


def test_those_who_wait_are_all_answered_and_hinder_nobody(whole: Whole):
    """On every connection that there is room for, and with requests behind the one that waits."""
    room = CONNECTIONS - 10
    etag = whole.ask("timestamp", "GET", "/timestamp").etag
    held = request("GET", "/timestamp?wait=60", if_none_match=etag) * 50
    with Crowd(Hostile(whole.address("timestamp"), held) for _ in range(room)) as crowd:
        crowd.push(rounds=2)
        assert not any(member.received for member in crowd.members)
        before = memory_bytes(whole)
        for text in (b"1", b"2"):
            # A write wakes them, and those behind find that it has changed.
            assert (
                whole.ask("timestamp", "PUT", "/timestamp", text, content_type=TEXT).status == 204
            )
            require_service_to_newcomers(whole)

        def answered() -> bool:
            crowd.push()
            return all(len(member.statuses) == 50 for member in crowd.members)

        eventually(answered)
        assert {status for member in crowd.members for status in member.statuses} == {200}
        assert memory_bytes(whole) <= before + SLACK_BYTES + room * PIECE_BYTES
