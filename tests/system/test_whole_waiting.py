"""Thousands who wait for something that has not happened yet, each on a connection."""

from __future__ import annotations

import pytest

from tests.system.callbacks import IMMEDIATE, object_source
from tests.system.conftest import Starter
from tests.system.flooded import TO_THE_SOURCE
from tests.system.floods import Crowd, Hostile
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
from tests.system.whole import Whole

WAITING = 1_000
"""How many wait at each of two services."""

EACH_BYTES = 16 * 1024
"""What one of them may cost the daemon."""

DELAY_S = 1


@pytest.fixture(scope="module")
def whole(module_start: Starter) -> Whole:
    """A daemon with room for them, which the tests here share."""
    start = module_start
    source = start.port()
    object_source(start, *IMMEDIATE, port=source)
    whole = Whole(start, source, f"hash.delay={DELAY_S}", "counter.window=36000")
    whole.live()
    require_service_to_newcomers(whole)
    return whole


def test_thousands_who_wait_at_once_cost_little_and_hinder_nobody(whole: Whole):
    """One write is what half of them wait for, and one hash the other half."""
    held, memory = descriptors(whole), memory_bytes(whole)
    etag = whole.ask("timestamp", "GET", "/timestamp").etag
    job = int(whole.ask("hash", "POST", "/hash", b"password=x", content_type=FORM).body)
    asked = {
        "timestamp": request("GET", "/timestamp?wait=60", if_none_match=etag),
        "hash": request("GET", f"/hash/{job}", prefer="wait=60"),
    }
    with Crowd(
        Hostile(whole.address(name), what) for name, what in asked.items() for _ in range(WAITING)
    ) as crowd:
        crowd.push(rounds=1)
        eventually(lambda: descriptors(whole) >= 2 * WAITING)
        whole.ask("admin", "GET", "/healthz")
        assert memory_bytes(whole) <= memory + 2 * WAITING * EACH_BYTES
        put = whole.ask("timestamp", "PUT", "/timestamp", b"7", content_type=TEXT)
        assert put.status == 204
        with Regulars(whole) as regulars:

            def all_answered() -> bool:
                assert regulars.ask("counter", "GET", "/").status == 200
                crowd.push()
                return all(member.statuses for member in crowd.members)

            eventually(all_answered)
            regulars.require_service()
        assert {tuple(member.statuses) for member in crowd.members} == {(200,)}
        bodies = [member.received.rpartition(b"\r\n\r\n")[2] for member in crowd.members]
        assert set(bodies[:WAITING]) == {b"7"}
        assert len(set(bodies[WAITING:])) == 1
    eventually(lambda: descriptors(whole) <= held + TO_THE_SOURCE)
    assert not ABOVE_INFO.search(whole.daemon.stderr), whole.daemon.stderr


def test_those_who_wait_and_break_off_are_forgotten(whole: Whole):
    held, memory = descriptors(whole), memory_bytes(whole)
    etag = whole.ask("timestamp", "GET", "/timestamp").etag
    asked = request("GET", "/timestamp?wait=60", if_none_match=etag)
    with Regulars(whole) as regulars:
        for _ in range(5):
            crowd = Crowd(Hostile(whole.address("timestamp"), asked) for _ in range(WAITING // 2))
            crowd.push(rounds=1)
            for member in crowd.members:
                member.reset()
            assert regulars.ask("counter", "GET", "/").status == 200
        regulars.require_service()
    eventually(lambda: descriptors(whole) <= held + TO_THE_SOURCE)
    assert memory_bytes(whole) <= memory + WAITING * EACH_BYTES
