"""Objects whose time is over."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from daemon.callback.expiry import AGAIN_S, PART, SWEEP_S, Expiry
from daemon.callback.objects.store import DatabaseUnavailableError
from daemon.metrics import Histogram
from tests.callback.scripts import ScriptedStore

LIFESPAN_US = 30_000_000


class Bench:
    """An expiry under test, and what it tells."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = ScriptedStore()
        self.told: list[tuple[str, str | None]] = []
        self.expiry = Expiry(
            self.clock,
            lambda: round(self.clock.seconds() * 1e6),
            self.store,
            LIFESPAN_US,
            tell=lambda part, why: self.told.append((part, why)),
            sweep_time=Histogram([1]),
        )
        self.expiry.start()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_row_is_deleted_after_its_lifespan_and_at_most_a_second_late(bench):
    bench.store.rows = {1: 0, 2: 700_000}
    bench.clock.pump([0.1] * 300)
    assert set(bench.store.rows) == {1, 2}, "a row that is exactly as old is kept"
    bench.clock.pump([0.1] * 9)
    assert set(bench.store.rows) == {2}
    bench.clock.pump([0.1] * 8)
    assert bench.store.rows == {}
    assert bench.expiry.deleted == 2


def test_a_database_that_is_down_is_asked_again(bench):
    bench.store.errors = [DatabaseUnavailableError("it is down")]
    bench.store.rows = {1: -LIFESPAN_US}
    bench.clock.advance(SWEEP_S)
    assert bench.told == [(PART, "objects cannot be deleted: it is down")]
    bench.clock.advance(SWEEP_S)
    assert bench.told[-1] == (PART, None)
    assert bench.store.rows == {}


def test_lateness_is_the_time_since_the_last_sweep_that_went_well(bench):
    bench.clock.advance(SWEEP_S)
    assert bench.expiry.lateness_s == 0
    bench.store.errors = [DatabaseUnavailableError("it is down")] * 4
    bench.clock.pump([SWEEP_S] * 4)
    assert bench.expiry.lateness_s == pytest.approx(4 * SWEEP_S)
    bench.clock.advance(SWEEP_S)
    assert bench.expiry.lateness_s == 0


def test_a_row_that_is_ahead_by_more_than_the_lifespan_is_deleted_too(bench):
    at_us = round(SWEEP_S * 1e6) + LIFESPAN_US
    bench.store.rows = {1: at_us, 2: at_us + 1, 3: 3_600_000_000}
    bench.clock.advance(SWEEP_S)
    assert set(bench.store.rows) == {1}
    assert bench.expiry.deleted == 2


def test_a_sweep_that_meets_anothers_is_tried_again_soon(bench):
    bench.store.swept_by_another = True
    bench.clock.advance(SWEEP_S)
    assert bench.expiry.sweeps == 0
    bench.store.swept_by_another = False
    bench.clock.advance(AGAIN_S)
    assert (bench.expiry.sweeps, bench.expiry.lateness_s) == (1, 0)


def test_rows_count_as_late_while_another_sweeps_and_does_not_end(bench):
    bench.store.swept_by_another = True
    bench.clock.pump([SWEEP_S / 5] * 20)
    assert (bench.expiry.sweeps, bench.expiry.lateness_s) == (0, pytest.approx(4 * SWEEP_S))
    assert bench.told[-1] == (PART, None), "the database does what it should"


def test_a_stop_waits_for_the_sweep_that_is_tried_again(bench):
    bench.store.swept_by_another = True
    bench.clock.advance(SWEEP_S)
    stopped = Deferred.fromCoroutine(bench.expiry.stop())
    assert not stopped.called
    bench.clock.advance(AGAIN_S)
    assert stopped.called
    assert len(bench.store.swept) == 2
    assert bench.clock.getDelayedCalls() == []


def test_a_slow_sweep_is_waited_for_by_the_next_and_by_the_stop(bench):
    bench.store.held = True
    bench.clock.pump([SWEEP_S] * 5)
    assert len(bench.store.swept) == 1
    stopped = Deferred.fromCoroutine(bench.expiry.stop())
    assert not stopped.called
    bench.store.let_go()
    assert stopped.called
    bench.clock.pump([SWEEP_S] * 5)
    assert len(bench.store.swept) == 1
