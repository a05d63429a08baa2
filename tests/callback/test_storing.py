"""Online objects on their way into the database."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from daemon.callback.lookups import Claim
from daemon.callback.objects.store import DatabaseUnavailableError, StoreError
from daemon.callback.storing import BATCH_ROWS, BATCH_S, LONGEST_RETRY_S, PART, Storing
from daemon.metrics import Histogram
from tests.callback.scripts import ScriptedStore

LIFESPAN_US = 30_000_000
DOWN = DatabaseUnavailableError("it is down")


class Bench:
    """A storing under test, and what it tells."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = ScriptedStore()
        self.settled: list[int] = []
        self.settled_before: set[int] = set()
        self.told: list[tuple[str, str | None]] = []
        self.storing = Storing(
            self.clock,
            lambda: round(self.clock.seconds() * 1e6),
            self.store,
            LIFESPAN_US,
            settle=self._settle,
            waits=lambda number: number not in self.settled_before,
            tell=lambda part, why: self.told.append((part, why)),
            upsert_time=Histogram([1]),
        )

    def _settle(self, callbacks):
        self.settled.extend(callbacks)

    def add(self, object_id, last_seen_us=0, *callbacks):
        self.storing.add(Claim(object_id, last_seen_us, list(callbacks) or [object_id]))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_rows_that_come_within_a_short_time_share_a_statement(bench):
    bench.add(1)
    bench.clock.advance(BATCH_S / 2)
    bench.add(2)
    assert bench.store.upserts == []
    bench.clock.advance(BATCH_S / 2)
    assert bench.store.upserts == [2]
    assert sorted(bench.settled) == [1, 2]
    assert (bench.storing.stored, len(bench.storing)) == (2, 0)


def test_a_full_batch_does_not_wait(bench):
    for object_id in range(BATCH_ROWS):
        bench.add(object_id)
    assert bench.store.upserts == [BATCH_ROWS]


def test_an_object_named_twice_is_one_row_with_the_latest_time(bench):
    bench.add(1, 20, 7)
    bench.add(1, 10, 8)
    bench.clock.advance(BATCH_S)
    assert bench.store.rows == {1: 20}
    assert sorted(bench.settled) == [7, 8]


def test_nobody_is_settled_before_the_row_is_stored(bench):
    bench.store.held = True
    bench.add(1)
    bench.clock.advance(BATCH_S)
    assert (bench.settled, len(bench.storing)) == ([], 1)
    bench.store.let_go()
    assert (bench.settled, len(bench.storing)) == ([1], 0)


def test_one_statement_is_under_way_at_a_time(bench):
    bench.store.held = True
    bench.add(1)
    bench.clock.advance(BATCH_S)
    for object_id in range(2, 2 + BATCH_ROWS):
        bench.add(object_id)
    bench.clock.advance(10)
    assert bench.store.upserts == [1]
    bench.store.let_go()
    bench.clock.advance(0)
    assert bench.store.upserts == [1, BATCH_ROWS]


def test_more_than_a_batch_goes_in_several_statements(bench):
    bench.store.held = True
    bench.add(-1)
    bench.clock.advance(BATCH_S)
    for object_id in range(2 * BATCH_ROWS + 1):
        bench.add(object_id)
    bench.store.held = False
    bench.store.let_go()
    bench.clock.pump([0, 0, 0, BATCH_S])
    assert bench.store.upserts == [1, BATCH_ROWS, BATCH_ROWS, 1]
    assert len(bench.store.rows) == 2 * BATCH_ROWS + 2


@pytest.mark.parametrize("error", [DOWN, StoreError("it is newer")])
def test_what_could_not_be_stored_is_stored_when_the_database_is_back(bench, error):
    bench.store.errors = [error] * 5
    bench.add(1)
    bench.clock.advance(BATCH_S)
    assert bench.told == [(PART, f"objects cannot be stored: {error}")]
    assert bench.settled == []
    bench.clock.pump([LONGEST_RETRY_S] * 6)
    assert (bench.store.rows, bench.settled) == ({1: 0}, [1])
    assert bench.told[-1] == (PART, None)


def test_a_database_that_is_down_is_not_asked_over_and_over(bench):
    bench.store.errors = [DOWN] * 1000
    for object_id in range(100):
        bench.add(object_id, 0)
        bench.clock.advance(0.1)
    assert len(bench.store.upserts) < 30


def test_a_newer_time_wins_over_one_that_could_not_be_stored(bench):
    bench.store.held = True
    bench.store.errors = [DOWN]
    bench.add(1, 10, 7)
    bench.clock.advance(BATCH_S)
    bench.add(1, 20, 8)
    bench.store.held = False
    bench.store.let_go()
    bench.clock.pump([LONGEST_RETRY_S] * 2)
    assert bench.store.rows == {1: 20}
    assert sorted(bench.settled) == [7, 8]


def test_a_row_whose_time_is_over_is_settled_and_not_stored(bench):
    bench.store.errors = [DOWN] * 1000
    bench.add(1)
    bench.clock.pump([LONGEST_RETRY_S] * 32)
    assert (bench.settled, bench.store.rows, len(bench.storing)) == ([1], {}, 0)


def test_after_rows_whose_time_was_over_new_ones_are_stored(bench):
    bench.store.errors = [DOWN] * 1000
    bench.add(1)
    bench.clock.pump([LONGEST_RETRY_S] * 40)
    bench.store.errors.clear()
    now_us = round(bench.clock.seconds() * 1e6)
    bench.add(2, now_us)
    bench.clock.advance(BATCH_S)
    assert bench.store.rows == {2: now_us}
    assert bench.told[-1] == (PART, None)


def test_more_rows_than_a_batch_whose_time_is_over_do_not_keep_others_waiting(bench):
    bench.store.errors = [DOWN] * 1000
    for object_id in range(2 * BATCH_ROWS):
        bench.add(object_id)
    bench.clock.pump([LONGEST_RETRY_S] * 20)
    bench.add(-1, 20_000_000)
    bench.store.errors.clear()
    bench.clock.advance(LIFESPAN_US / 1e6 - 19)
    bench.clock.pump([0.001] * 10)
    assert bench.store.rows == {-1: 20_000_000}
    assert len(bench.settled) == 2 * BATCH_ROWS + 1


def test_callbacks_that_are_over_do_not_pile_up_while_the_database_is_down(bench):
    bench.store.held = True
    bench.add(-1)
    bench.clock.advance(BATCH_S)
    for number in range(10_000):
        bench.add(1, number, number)
        bench.settled_before.add(number)
    bench.store.held = False
    bench.store.let_go()
    bench.clock.advance(BATCH_S)
    assert bench.store.rows[1] == 9_999
    assert len(bench.settled) < 1000


def test_a_bug_is_logged_and_nothing_is_lost(bench):
    bench.store.errors = [RuntimeError("a bug")]
    bench.add(1)
    with capturedLogs() as events:
        bench.clock.advance(BATCH_S)
    assert [event["log_failure"].value.args for event in events] == [("a bug",)]
    bench.clock.advance(LONGEST_RETRY_S)
    assert bench.store.rows == {1: 0}


def test_a_stop_waits_for_the_statement_under_way_and_begins_no_other(bench):
    bench.store.held = True
    bench.add(1)
    bench.clock.advance(BATCH_S)
    bench.add(2)
    stopped = bench.storing.stop()
    assert not stopped.called
    bench.store.let_go()
    bench.clock.advance(10)
    assert stopped.called
    assert bench.settled == [1]
    assert bench.store.upserts == [1]


def test_a_stop_with_nothing_under_way_is_done_at_once(bench):
    bench.add(1)
    assert bench.storing.stop().called
    bench.clock.advance(10)
    assert bench.store.upserts == []


def test_the_end_of_the_database_during_a_stop_is_no_trouble(bench):
    bench.store.held = True
    bench.store.errors = [DOWN]
    bench.add(1)
    bench.clock.advance(BATCH_S)
    bench.storing.stop()
    bench.store.let_go()
    assert (bench.told, bench.settled) == ([], [])


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 4), st.integers(0, 9)),
            st.tuples(st.just("pass"), st.sampled_from([0.01, 0.06, 1.0]), st.none()),
            st.tuples(st.just("fail"), st.none(), st.none()),
        ),
        max_size=30,
    )
)
def test_in_the_end_each_row_has_its_latest_time_and_each_callback_is_settled_once(steps):
    bench = Bench()
    latest: dict[int, int] = {}
    number = 0
    for what, first, second in steps:
        if what == "add":
            number += 1
            bench.add(first, second, number)
            latest[first] = max(second, latest.get(first, second))
        elif what == "pass":
            bench.clock.advance(first)
        else:
            bench.store.errors.append(DOWN)
    bench.store.errors.clear()
    bench.clock.pump([0.001, LONGEST_RETRY_S, LONGEST_RETRY_S])
    assert sorted(bench.settled) == list(range(1, number + 1))
    assert set(bench.store.rows) <= set(latest)
    assert all(latest[object_id] == seen_us for object_id, seen_us in bench.store.rows.items())
