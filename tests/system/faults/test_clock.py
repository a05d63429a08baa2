"""A clock that is set while the daemon runs, and between two runs."""

from __future__ import annotations

import itertools
import re
import time
from contextlib import closing
from email.utils import parsedate_to_datetime
from functools import partial

from tests.system.callbacks import body_of
from tests.system.faults.shaky import LONG, POLL_S, Shaky
from tests.system.hash_history import FORM
from tests.system.http_clients import TEXT, HTTPClient, request
from tests.system.running import eventually

MINUTE_S = 60.0
HOUR_S = 60 * MINUTE_S
TEN_YEARS_S = 10 * 365 * 24 * HOUR_S
STEPS_S = (HOUR_S, -HOUR_S, TEN_YEARS_S, 0.0)

FEW_STEPS_S = STEPS_S if LONG else (TEN_YEARS_S, -HOUR_S)

LIFESPAN_S = 1.0
WINDOW_S = 60
BEFORE = 10
"""Requests that were counted before a restart."""

ABOVE_INFO = re.compile(r"#(?:warn|error|critical)\]")


def clock_is(whole: Shaky, ahead_s: float) -> bool:
    """Whether the daemon's replies tell the time that was set."""
    date = parsedate_to_datetime(whole.ask("hash", "GET", "/stats").fields["date"])
    return abs(date.timestamp() - time.time() - ahead_s) < MINUTE_S


def test_a_clock_that_is_set_while_the_daemon_runs_changes_nothing(shaky: Shaky):
    whole, faults, load = shaky, shaky.faults, shaky.load
    whole.live()
    with load.running():
        for ahead_s in FEW_STEPS_S:
            faults.set_clock(ahead_s)
            eventually(partial(clock_is, whole, ahead_s), pause_s=POLL_S)
            load.advance()
    load.require_log()
    load.require_kept()
    whole.require_all_callbacks()
    load.require_jobs_to_be_ready()
    assert not ABOVE_INFO.search(whole.daemon.stderr), whole.daemon.stderr
    assert whole.daemon.stop() == 0


def test_lifespans_and_waits_end_when_they_should_whatever_the_clock_says(shaky: Shaky):
    whole, faults = shaky, shaky.faults
    whole.add(f"callback.lifespan={LIFESPAN_S}", "numbers.report_interval=0.2")
    whole.live()
    etag = whole.ask("timestamp", "PUT", "/timestamp", b"1", content_type=TEXT).etag
    for number, ahead_s in enumerate(FEW_STEPS_S):
        object_id = 2 * number
        sent = time.monotonic()
        assert whole.ask("callback", "POST", "/callback", body_of([object_id])).status == 204
        eventually(lambda: object_id in whole.database.ids())  # noqa: B023
        with closing(HTTPClient(whole.places["timestamp"].address)) as reader:
            reader.send(request("GET", "/timestamp?wait=1", if_none_match=etag))
            faults.set_clock(ahead_s)
            reports = len(whole.daemon.reports())
            assert reader.reply().status == 304
            assert time.monotonic() - sent >= 1
        eventually(lambda: whole.database.ids() == set())
        assert time.monotonic() - sent >= LIFESPAN_S
        eventually(lambda: len(whole.daemon.reports()) > reports)  # noqa: B023
    assert not ABOVE_INFO.search(whole.daemon.stderr), whole.daemon.stderr
    assert whole.daemon.stop() == 0


def test_a_clock_that_was_set_between_two_runs_makes_nothing_stick(shaky: Shaky):
    """Set forward, the time seems to have passed; set back, what is of the future is not trusted.

    The source does not answer before the restart: so a callback waits in the inbox.
    """
    whole, faults = shaky, shaky.faults
    whole.add(f"counter.window={WINDOW_S}", f"callback.lifespan={WINDOW_S}")
    whole.live()
    etags = set()
    for number, (before_s, after_s) in enumerate(itertools.pairwise((0.0, *FEW_STEPS_S))):
        kept = whole.ask("timestamp", "PUT", "/timestamp", b"%d" % number, content_type=TEXT)
        etags.add(kept.etag)
        for _ in range(BEFORE):
            whole.ask("counter", "GET", "/")
        job = whole.ask("hash", "POST", "/hash", b"password=a", content_type=FORM).body.decode()
        waiting, stored, late = (10 * number + offset for offset in (2, 4, 6))
        assert whole.ask("callback", "POST", "/callback", body_of([stored])).status == 204
        eventually(lambda: stored in whole.database.ids())  # noqa: B023
        with whole.source.daemon.frozen():
            assert whole.ask("callback", "POST", "/callback", body_of([waiting])).status == 204
            whole.daemon.kill()
        faults.set_clock(after_s)
        whole.live()
        is_back = after_s < before_s
        assert whole.troubles() == {}
        dropped = re.search(r"dropped (\d+) requests of the future", whole.daemon.stderr)
        assert bool(dropped) == is_back
        assert int(whole.ask("counter", "GET", "/").body) == 1
        assert whole.ask("timestamp", "GET", "/timestamp").etag == kept.etag
        hashed = whole.ask("hash", "GET", f"/hash/{job}", None, prefer="wait=10")
        assert hashed.status == 200
        assert whole.ask("callback", "POST", "/callback", body_of([late])).status == 204
        wanted = {waiting, late} if is_back else {late}
        eventually(lambda: whole.database.ids() == wanted)  # noqa: B023
        eventually(lambda: whole.inbox_depth() == 0, pause_s=POLL_S)
        assert _readable(whole) == wanted
        again = whole.ask("hash", "POST", "/hash", b"password=b", content_type=FORM).body.decode()
        assert int(again) > int(job)
        assert whole.ask("hash", "GET", f"/hash/{again}").status == 202
    assert len(etags) == len(FEW_STEPS_S)
    assert whole.daemon.stop() == 0


def _readable(whole: Shaky) -> set[int]:
    """Give the ids of objects that can be read."""
    page = whole.ask("callback", "GET", "/objects?limit=1000").body
    return {int(found) for found in re.findall(rb'"id": ?(-?\d+)', page)}
