"""Floods and dawdlers on all ports of the whole daemon: everyone else is served all the while."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.http.connection import FLUSH_BYTES
from tests.system.callbacks import IMMEDIATE, body_of, object_source
from tests.system.conftest import Starter
from tests.system.floods import PIECE_BYTES, Crowd, Hostile, may_vanish
from tests.system.hash_history import FORM
from tests.system.http_clients import TEXT, request
from tests.system.regulars import (
    ABOVE_INFO,
    Regulars,
    descriptors,
    memory_bytes,
    require_service_to_newcomers,
)
from tests.system.running import eventually
from tests.system.whole import SERVICES, WEB, Whole

LONG = os.environ.get("LONG_TESTS", "") not in {"", "0"}
TIMES = 10 if LONG else 1

CONNECTIONS = 60
"""What each HTTP service takes at once."""

CROWD = 10
"""How many do the same to one service: all kinds together stay under the limit."""

LAZY = 20 if LONG else 4
"""How many never read what one service answers. Until nobody takes any more, each has megabytes."""

PLACES = 5

HEADER_S = 1.0
IDLE_S = 4.0
SLACK_BYTES = 8 * 1024 * 1024
OBJECTS = 1_000
LARGEST_REPLY_BYTES = 128 * 1024
"""No reply that is asked for here is larger."""

LINES = 200
"""At most so many lines of the log for a flood of thousands of connections."""

MULTIPART = "multipart/form-data; boundary=x"

BODIES = {
    "timestamp": request("PUT", "/timestamp", content_type=TEXT, content_length="60"),
    "counter": request("PUT", "/", content_length="60"),
    "hash": request("POST", "/hash", content_type=MULTIPART, content_length="600")
    + b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n',
    "callback": request("POST", "/callback", transfer_encoding="chunked") + b"3c\r\n",
    "admin": request("GET", "/healthz", content_length="60"),
}
"""Heads of requests whose bodies will not be whole."""

LARGE = {
    "timestamp": "/timestamp",
    "counter": "/",
    "hash": "/stats",
    "callback": f"/objects?limit={OBJECTS}&after=1",
    "admin": "/metrics",
}
"""What each service has the most to say to."""


@pytest.fixture(scope="module")
def shared_whole(module_start: Starter) -> Whole:
    """A daemon without much patience, which the tests here share, with a page of objects."""
    start = module_start
    source = start.port()
    object_source(start, *IMMEDIATE, port=source)
    whole = Whole(
        start,
        source,
        "hash.delay=0.1",
        "counter.window=36000",
        f"numbers.clients={PLACES}",
        *(
            f"{name}.{setting}"
            for name in WEB
            for setting in (
                f"max_connections={CONNECTIONS}",
                f"header_timeout={HEADER_S}",
                "body_timeout=1",
                f"idle_timeout={IDLE_S}",
            )
        ),
    )
    whole.live()
    ids = [2 * number for number in range(1, OBJECTS + 1)]
    assert whole.ask("callback", "POST", "/callback", body_of(ids)).status == 204
    eventually(lambda: whole.database.ids() >= set(ids))
    # What is made once is made now, so that what grows later grows because of a flood.
    with unread(whole) as crowd:
        crowd.push()
        require_service_to_newcomers(whole)
    require_service_to_newcomers(whole)
    return whole


@pytest.fixture
def whole(shared_whole: Whole) -> Iterator[Whole]:
    """The shared daemon, which must be after each test as it was before."""
    whole = shared_whole
    held, memory, log = descriptors(whole), memory_bytes(whole), len(whole.daemon.stderr)
    yield whole
    eventually(lambda: descriptors(whole) <= held)
    require_service_to_newcomers(whole)
    logged = whole.daemon.stderr[log:]
    assert not ABOVE_INFO.search(logged), logged
    assert logged.count("\n") < LINES, logged[:2_000]
    assert memory_bytes(whole) <= memory + SLACK_BYTES


@contextmanager
def watched(whole: Whole, may_grow_bytes: int) -> Iterator[Regulars]:
    """Give regular clients, and see in the end that the daemon's memory stayed within bounds.

    :param may_grow_bytes: what the limits allow what is done meanwhile to cost.
    """
    before = memory_bytes(whole)
    with Regulars(whole) as regulars:
        regulars.require_service()
        yield regulars
        regulars.require_service()
        assert memory_bytes(whole) <= before + may_grow_bytes + SLACK_BYTES


def until(condition: Callable[[], bool], regulars: Regulars) -> None:
    """Wait for something, with everyone served meanwhile."""

    def is_so() -> bool:
        regulars.require_service()
        return condition()

    eventually(is_so)


def to_all(whole: Whole, count: int, what: Callable[[str], bytes], **options: bool) -> Crowd:
    """Connect clients to each HTTP service."""
    return Crowd(
        Hostile(whole.address(name), what(name), **options) for name in WEB for _ in range(count)
    )


def unread(whole: Whole) -> Crowd:
    """Ask all services for as much as they have, and read none of it."""
    return to_all(whole, LAZY, lambda name: request("GET", LARGE[name]) * 10_000, reads=False)


# --- who takes its time


def test_hundreds_who_never_finish_a_request_are_cut_off(whole: Whole):
    """Heads and bodies that stop, with a length, in chunks and in parts, at all services."""
    head = request("GET", "/", x="a" * 100)[:-2]
    heads = to_all(whole, 2 * CROWD, lambda _: head)
    bodies = to_all(whole, 2 * CROWD, lambda name: BODIES[name] + b"1")
    with watched(whole, 0) as regulars, heads, bodies:
        for crowd in (heads, bodies):
            until(crowd.all_ended, regulars)
            assert {tuple(member.statuses) for member in crowd.members} == {(408,)}


def test_hundreds_who_trickle_do_not_hinder_anybody(whole: Whole):
    """A head must come in time as a whole; a body may take long as long as it comes."""
    heads = to_all(whole, CROWD, lambda _: request("GET", "/", x="a" * 5_000))
    bodies = to_all(whole, CROWD, lambda name: BODIES[name])
    with watched(whole, 0) as regulars, heads, bodies:

        def ended() -> bool:
            for member in bodies.members:
                member.add(b"1")
            bodies.push()
            heads.push(at_most=1, rounds=1)
            return all(member.has_been_broken() for member in heads.members)

        until(ended, regulars)
        heads.push()
        assert {tuple(member.statuses) for member in heads.members} == {(408,)}
        # These came on, if slowly, for longer than a second.
        assert not any(member.received for member in bodies.members)


def test_those_who_never_read_are_dropped_and_cost_what_the_limits_say(whole: Whole):
    """They ask for all they can, without reading, at all services."""
    before = descriptors(whole)
    lazy = unread(whole)
    each = PIECE_BYTES + FLUSH_BYTES + 2 * LARGEST_REPLY_BYTES
    with watched(whole, len(lazy.members) * each) as regulars, lazy:
        lazy.push()
        # They would not see it: the end of a connection comes behind what they do not read.
        until(lambda: descriptors(whole) <= before + PLACES + len(WEB), regulars)


def test_one_who_reads_little_by_little_is_served_and_hinders_nobody(whole: Whole):
    with watched(whole, 0) as regulars, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(10)
        slow.connect(whole.address("callback"))
        slow.sendall(request("GET", LARGE["callback"]) * 20)
        for _ in range(10):
            assert len(slow.recv(1)) == 1
            regulars.require_service()


# --- who asks for much


def test_thousands_of_requests_in_one_piece_let_others_have_their_turn(whole: Whole):
    """Who asks once behind them is answered before they are, at whatever service they are."""
    count = PIECE_BYTES // len(request("GET", "/metrics"))
    with watched(whole, PIECE_BYTES + FLUSH_BYTES + 2 * LARGEST_REPLY_BYTES) as regulars:
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


def test_crowds_that_ask_without_end_at_all_services_hold_nobody_up(whole: Whole):
    """Half of what they ask for does not exist, which takes longest to say."""
    wanted = [request("GET", f"/nothing/{number}") + request("GET", "/") for number in range(500)]
    crowd = to_all(whole, CROWD, lambda _: b"".join(wanted) * TIMES)
    each = PIECE_BYTES + FLUSH_BYTES + 2 * LARGEST_REPLY_BYTES
    with watched(whole, len(crowd.members) * each) as regulars, crowd:
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


# --- who is gone without a word


@pytest.mark.skipif(not may_vanish(), reason="TCP_REPAIR takes CAP_NET_ADMIN, that is, mostly root")
def test_clients_that_vanish_without_a_packet_are_let_go_whatever_they_were_doing(whole: Whole):
    """Idle, in the middle of a head, of a body, while they wait, and amid replies."""
    states: list[tuple[str, bytes]] = [
        *((name, request("OPTIONS", "*")) for name in WEB),
        *((name, request("GET", "/")[:-2]) for name in WEB),
        *((name, BODIES[name]) for name in WEB),
        *((name, request("GET", LARGE[name]) * 500) for name in WEB),
        ("timestamp", request("GET", "/timestamp?wait=3", if_none_match='"x"')),
        ("hash", request("GET", "/hash/1", prefer="wait=3")),
        ("callback", request("POST", "/callback", body_of([2]))),
    ]
    before = descriptors(whole)
    with Regulars(whole) as regulars:
        crowd = [Hostile(whole.address(name), sent) for name, sent in states for _ in range(3)]
        for member in crowd:
            member.step()
        regulars.require_service()
        for member in crowd:
            member.vanish()
        until(lambda: descriptors(whole) <= before + PLACES + len(WEB), regulars)


@pytest.mark.skipif(not may_vanish(), reason="TCP_REPAIR takes CAP_NET_ADMIN, that is, mostly root")
@pytest.mark.skipif(not LONG, reason="takes more than a minute: LONG_TESTS=1")
def test_places_of_number_clients_that_vanish_come_back(whole: Whole):
    crowd = [Hostile(whole.address("numbers"), b"1234") for _ in range(PLACES)]
    for member in crowd:
        member.step()
    eventually(lambda: kept_alive(whole) == PLACES)
    for member in crowd:
        member.vanish()
    eventually(lambda: kept_alive(whole) == 0, 130)


def test_the_system_asks_number_clients_that_say_nothing_whether_they_are_there(whole: Whole):
    """So that those who vanish do not hold their places for ever."""
    with Crowd(Hostile(whole.address("numbers")) for _ in range(PLACES)):
        eventually(lambda: kept_alive(whole) == PLACES)


def kept_alive(whole: Whole) -> int:
    """Count the number server's connections that the system will ask about within a minute."""
    port = whole.address("numbers")[1]
    count = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, _, timer, *_ = line.split()
        kind, ticks = timer.split(":")
        is_established = int(local.partition(":")[2], 16) == port and state == "01"
        count += is_established and kind == "02" and 0 < int(ticks, 16) <= 60 * 100
    return count


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


def test_those_who_ask_for_leave_and_never_go_on_are_cut_off(whole: Whole):
    """Expect: 100-continue without a body; and there is neither an upgrade nor a tunnel."""
    expecting = {"content_length": "9", "content_type": TEXT, "expect": "100-continue"}
    asked = to_all(whole, CROWD, lambda _: request("PUT", "/", None, **expecting))
    upgrade = request("GET", "/nothing", upgrade="h2c", connection="upgrade")
    upgraded = to_all(whole, CROWD, lambda _: upgrade)
    tunnel = to_all(whole, CROWD, lambda _: request("CONNECT", "a:1", host="a:1"))
    with watched(whole, 0) as regulars, asked, upgraded, tunnel:

        def all_ended() -> bool:
            ended = [crowd.all_ended() for crowd in (asked, upgraded, tunnel)]
            return all(ended)

        until(all_ended, regulars)
        assert {tuple(member.statuses) for member in asked.members} == {(100, 408)}
        assert {tuple(member.statuses) for member in upgraded.members} <= {(200,), (404,)}
        assert {tuple(member.statuses) for member in tunnel.members} == {(405,)}


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
