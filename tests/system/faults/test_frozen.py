"""A daemon that stands still for longer than its times are, and goes on."""

from __future__ import annotations

import time
from base64 import b64encode
from contextlib import ExitStack, closing
from hashlib import sha512

import pytest

from tests.system.callbacks import body_of
from tests.system.clients import fresh_numbers
from tests.system.faults.shaky import LONG, POLL_S, Shaky
from tests.system.hash_history import FORM
from tests.system.http_clients import HTTPClient, Place, request
from tests.system.running import eventually

TIME_S = 0.5
"""The length of the counter's window, of a lifespan, of a hash's delay, of a client's patience."""


def stand_still() -> None:
    """Let more time pass than anything takes."""
    time.sleep(TIME_S + 0.6)  # the deadlines' tick is half a second


def test_time_in_which_the_daemon_stood_still_has_passed(shaky: Shaky):
    whole = shaky
    times = [f"{name}={TIME_S}" for name in ("counter.window", "callback.lifespan")]
    whole.add(*times)
    whole.live()
    for _ in range(10):
        whole.ask("counter", "GET", "/")
    job = whole.ask("hash", "POST", "/hash", b"password=a", content_type=FORM).body.decode()
    with whole.source.daemon.frozen():
        assert whole.ask("callback", "POST", "/callback", body_of([2])).status == 204
        with ExitStack() as stack:
            counting, waiting, feeding = (
                stack.enter_context(closing(HTTPClient(whole.places[name].address)))
                for name in ("counter", "hash", "numbers")
            )
            numbers = fresh_numbers(3)
            waiting.send(request("GET", f"/hash/{job}", None, prefer="wait=30"))
            with whole.daemon.frozen():
                stand_still()
                counting.send(5 * request("GET", "/"))
                feeding.send_numbers(numbers)
            assert [int(counting.reply().body) for _ in range(5)] == [1, 2, 3, 4, 5]
            assert waiting.reply().body == b64encode(sha512(b"a").digest())
            eventually(lambda: set(map(str, numbers)) <= set(whole.daemon.lines()))
    # Its lifespan is over, whatever the source says now.
    eventually(lambda: whole.inbox_depth() == 0, pause_s=POLL_S)
    assert whole.database.ids() == set()
    assert whole.troubles() == {}
    assert whole.daemon.stop() == 0


def test_what_came_in_time_while_the_daemon_stood_still_is_no_late_request(shaky: Shaky):
    """A callback on a connection that was idle, and one whose head had begun to come."""
    whole = shaky
    names = ("idle_timeout", "header_timeout", "body_timeout")
    whole.add(*(f"callback.{name}={TIME_S}" for name in names))
    whole.live()
    place = whole.places["callback"]
    posted = {number: request("POST", "/callback", body_of([number])) for number in (2, 4, 6)}
    with ExitStack() as stack:
        idle, begun, halfway = (stack.enter_context(closing(_used(place))) for _ in posted)
        begun.send(posted[4][:20])
        halfway.send(posted[6][:-5])
        with whole.daemon.frozen():
            idle.send(posted[2])
            begun.send(posted[4][20:])
            halfway.send(posted[6][-5:])
            stand_still()
        assert [client.reply().status for client in (idle, begun, halfway)] == [204] * 3
    eventually(lambda: whole.database.ids() == {0, *posted})
    assert whole.daemon.stop() == 0


def _used(place: Place) -> HTTPClient:
    """Give a connection on which a callback was answered."""
    client = HTTPClient(place.address)
    assert client.ask("POST", "/callback", body_of([0])).status == 204
    return client


@pytest.mark.skipif(not LONG, reason="takes its time")
def test_a_load_that_meets_a_daemon_standing_still_loses_nothing(shaky: Shaky):
    whole, load = shaky, shaky.load
    whole.live()
    with load.running():
        for _ in range(5):
            with whole.daemon.frozen():
                stand_still()
            load.advance()
    load.require_log()
    load.require_kept()
    whole.require_all_callbacks()
    assert whole.daemon.stop() == 0
