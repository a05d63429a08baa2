"""Dawdlers on all ports of the whole daemon: everyone else is served all the while."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.callbacks import body_of
from tests.system.conftest import Starter
from tests.system.flooded import (
    BODIES,
    CROWD,
    EACH_BYTES,
    LARGE,
    LONG,
    PLACES,
    flooded,
    to_all,
    unharmed,
    unread,
    until,
    watched,
)
from tests.system.floods import Crowd, Hostile, may_vanish
from tests.system.http_clients import TEXT, request
from tests.system.regulars import Regulars, descriptors
from tests.system.running import eventually
from tests.system.whole import WEB, Whole


@pytest.fixture(scope="module")
def shared_whole(module_start: Starter) -> Whole:
    """A daemon that the tests here share."""
    return flooded(module_start)


@pytest.fixture
def whole(shared_whole: Whole) -> Iterator[Whole]:
    """The shared daemon, which must be after each test as it was before."""
    with unharmed(shared_whole) as whole:
        yield whole


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
    with watched(whole, len(lazy.members) * EACH_BYTES) as regulars, lazy:
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


def test_those_who_ask_for_leave_and_never_go_on_are_cut_off(whole: Whole):
    """Expect: 100-continue without a body; and there is neither an upgrade nor a tunnel."""
    expecting = {"content_length": "9", "content_type": TEXT, "expect": "100-continue"}
    asked = to_all(whole, CROWD, lambda _: request("PUT", "/", None, **expecting))
    upgrade = request("GET", "/nothing", upgrade="h2c", connection="upgrade, close")
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
