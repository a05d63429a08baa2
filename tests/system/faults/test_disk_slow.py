"""A disk that takes its time, or does not answer at all for a while."""

from __future__ import annotations

import signal
from contextlib import closing

import pytest

from tests.system.callbacks import body_of
from tests.system.faults.shaky import NEED_NO_SYNC, Shaky
from tests.system.http_clients import TEXT, HTTPClient, request
from tests.system.running import eventually

NEED_NO_DISK = (
    ("timestamp", "/timestamp"),
    ("hash", "/stats"),
    ("admin", "/healthz"),
    ("admin", "/metrics"),
    ("admin", "/status"),
)

LATE = 1_000_000
"""An object that the load does not name."""


def test_a_disk_that_is_slow_or_hangs_delays_only_what_waits_for_it(shaky: Shaky):
    """Senders of callbacks do not wait for seconds, but no callback is missed."""
    whole, faults, load = shaky, shaky.faults, shaky.load
    whole.live()
    with load.running():
        with faults.slow_disk(200):
            load.advance(answers=4)
        with faults.slow_disk(2_000):
            eventually(lambda: faults.waiting)
            load.advance(NEED_NO_SYNC)
        with faults.held_disk():
            eventually(lambda: faults.waiting >= 4)  # timestamp, counter, hash, inbox
            answered = load.answers()["callback"]
            load.advance(NEED_NO_SYNC)
            for name, path in NEED_NO_DISK:
                assert whole.ask(name, "GET", path).status == 200
            assert load.answers()["callback"] == answered
        load.advance()
    load.require_log()
    load.require_kept()
    whole.require_all_callbacks()
    with (
        closing(HTTPClient(whole.places["callback"].address)) as sender,
        closing(HTTPClient(whole.places["timestamp"].address)) as writer,
    ):
        with faults.held_disk():
            sender.send(request("POST", "/callback", body_of([LATE])))
            writer.send(request("PUT", "/timestamp", b"12", content_type=TEXT))
            eventually(lambda: faults.waiting >= 2)
            assert whole.ask("timestamp", "GET", "/timestamp").body != b"12"
        assert sender.reply().status == 204
        assert writer.reply().status == 204
    assert whole.ask("timestamp", "GET", "/timestamp").body == b"12"
    whole.require_all_callbacks(LATE)
    assert whole.daemon.stop() == 0


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "never ends"])
def test_a_stop_waits_for_a_sync_that_hangs_as_long_as_it_may(shaky: Shaky, ends: bool):
    whole, faults, load = shaky, shaky.faults, shaky.load
    whole.add(f"drain_timeout={30 if ends else 1}")
    whole.live()
    with load.running(), faults.held_disk():
        eventually(lambda: faults.waiting >= 4)
        whole.daemon.signal(signal.SIGTERM)
        eventually(lambda: "stopping: SIGTERM" in whole.daemon.stderr)
        if not ends:
            assert whole.daemon.wait() == 1
    if ends:
        assert whole.daemon.wait() == 0
    abandoned = {
        line.split("] ")[1].split()[0]
        for line in whole.daemon.stderr.splitlines()
        if "did not stop within" in line
    }
    assert abandoned == (set() if ends else {"timestamp", "counter", "hash", "callback", "numbers"})
    load.require_log()
    whole.live()
    load.require_kept()
