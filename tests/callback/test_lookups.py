"""Which objects are looked up when, and what that settles."""

from __future__ import annotations

import random
import tracemalloc
from collections import deque
from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from daemon.callback.lookups import (
    FIRST_WAIT_US,
    KEPT,
    LONGEST_WAIT_US,
    PROBES,
    STRIKES,
    Claim,
    Lookups,
)
from daemon.callback.verdict import OFFLINE, ONLINE, UNKNOWN, Says, Verdict

LIFESPAN_US = 30_000_000
FAILED = Verdict(Says.NOTHING, "it failed")
REFUSED = Verdict(Says.REFUSED, "it refuses")


def never() -> float:
    """Spread nothing: every wait is as long as it can be."""
    return 0.999_999


def lookups(concurrency: int = 10, spread=never) -> Lookups:
    return Lookups(LIFESPAN_US, concurrency, spread)


def begin_all(under_test: Lookups, now_us: int = 0) -> list[int]:
    begun = []
    while (object_id := under_test.begin(now_us)) is not None:
        begun.append(object_id)
    return begun


def next_us(under_test: Lookups, now_us: int) -> int:
    """Give when there is something to begin; there has to be such a time."""
    at_us = under_test.next_us(now_us)
    assert at_us is not None
    return at_us


def test_each_object_is_looked_up_once_in_the_order_named():
    under_test = lookups()
    under_test.add(1, 0, [5, 3, 9])
    assert begin_all(under_test) == [5, 3, 9]


def test_an_empty_callback_is_settled_at_once():
    under_test = lookups()
    under_test.add(1, 0, [])
    assert under_test.take_settled() == [1]
    assert under_test.take_settled() == []


@pytest.mark.parametrize("verdict", [OFFLINE, UNKNOWN, REFUSED])
def test_what_need_not_be_stored_settles_at_once(verdict):
    under_test = lookups()
    under_test.add(1, 0, [5])
    begin_all(under_test)
    assert under_test.end(5, verdict, 1) is None
    assert under_test.take_settled() == [1]


def test_what_is_online_settles_when_it_is_stored():
    under_test = lookups()
    under_test.add(1, 7, [5])
    begin_all(under_test, 8)
    assert under_test.end(5, ONLINE, 9) == Claim(5, 7, [1])
    assert under_test.take_settled() == []
    under_test.settle([1])
    assert under_test.take_settled() == [1]


def test_a_callback_is_settled_when_all_its_objects_are():
    under_test = lookups()
    under_test.add(1, 0, [5, 6])
    begin_all(under_test)
    under_test.end(5, OFFLINE, 1)
    assert under_test.take_settled() == []
    under_test.end(6, OFFLINE, 1)
    assert under_test.take_settled() == [1]


def test_one_answer_serves_all_who_named_the_object_before_it():
    under_test = lookups()
    under_test.add(1, 10, [5])
    begin_all(under_test, 11)
    under_test.add(2, 20, [5])
    assert begin_all(under_test, 21) == []
    assert under_test.end(5, ONLINE, 30) == Claim(5, 20, [1, 2])


def test_the_latest_receipt_counts_whatever_the_order():
    under_test = lookups()
    under_test.add(1, 20, [5])
    under_test.add(2, 10, [5])
    begin_all(under_test, 21)
    assert under_test.end(5, ONLINE, 30) == Claim(5, 20, [1, 2])


def test_an_object_that_is_named_again_and_again_keeps_only_callbacks_that_wait_for_it():
    under_test = lookups()
    newest = 1000 * KEPT
    for number in range(newest + 1):
        now_us = number * LIFESPAN_US // KEPT
        under_test.add(number, now_us, [5])
        under_test.expire(now_us)
    begin_all(under_test, now_us)
    claim = under_test.end(5, ONLINE, now_us)
    assert claim is not None
    assert set(claim.callbacks) >= set(range(newest - KEPT, newest + 1))
    assert len(claim.callbacks) <= 3 * KEPT
    under_test.take_settled()
    under_test.settle(claim.callbacks)
    assert sorted(under_test.take_settled()) == [*range(newest - KEPT, newest + 1)]


def test_a_callback_is_over_when_its_objects_need_not_be_stored():
    under_test = lookups()
    assert not under_test.is_over(10, LIFESPAN_US + 10)
    assert under_test.is_over(10, LIFESPAN_US + 11)


def test_a_callback_that_is_passed_over_is_settled():
    under_test = lookups()
    under_test.pass_over(1)
    assert begin_all(under_test) == []
    assert under_test.take_settled() == [1]
    assert under_test.expired == 1


def test_an_answer_serves_nobody_who_comes_after_it():
    under_test = lookups()
    under_test.add(1, 10, [5])
    begin_all(under_test, 11)
    under_test.end(5, ONLINE, 12)
    under_test.add(2, 20, [5])
    assert begin_all(under_test, 21) == [5]


def test_no_more_are_under_way_than_may_be():
    under_test = lookups(concurrency=2)
    under_test.add(1, 0, [1, 2, 3])
    assert begin_all(under_test) == [1, 2]
    assert under_test.next_us(0) is None
    under_test.end(1, OFFLINE, 1)
    assert begin_all(under_test) == [3]


def test_a_lookup_that_failed_is_tried_again_after_a_while_that_doubles():
    under_test = lookups()
    under_test.add(1, 0, [5])
    now_us = 0
    waits = []
    for _ in range(8):
        assert begin_all(under_test, now_us) == [5]
        under_test.end(5, FAILED, now_us)
        at_us = next_us(under_test, now_us)
        assert begin_all(under_test, at_us - 1) == []
        waits.append(at_us - now_us)
        now_us = at_us
    longest = [min(LONGEST_WAIT_US, FIRST_WAIT_US * 2**failures) for failures in range(8)]
    assert waits == pytest.approx(longest, rel=1e-4)
    assert under_test.retries == 8


def test_tries_are_spread_over_the_whole_wait():
    under_test = lookups(concurrency=1000, spread=random.Random(1).random)  # noqa: S311
    under_test.add(1, 0, range(50))
    for object_id in begin_all(under_test):
        under_test.end(object_id, FAILED, 0)
    half = len(begin_all(under_test, FIRST_WAIT_US // 2))
    assert 10 < half < 40
    assert half + len(begin_all(under_test, FIRST_WAIT_US)) == 50


def test_the_source_is_left_alone_as_long_as_it_wants():
    under_test = lookups(spread=lambda: 0.0)
    under_test.add(1, 0, [5])
    begin_all(under_test)
    under_test.end(5, Verdict(Says.NOTHING, "busy", 9_000_000), 1)
    assert next_us(under_test, 1) == 9_000_001


def test_who_would_have_to_wait_beyond_the_lifespan_is_settled_at_once():
    under_test = lookups()
    under_test.add(1, 0, [5])
    begin_all(under_test)
    assert under_test.end(5, Verdict(Says.NOTHING, "busy", LIFESPAN_US), 1) is None
    assert under_test.take_settled() == [1]
    assert begin_all(under_test, LIFESPAN_US) == []


@pytest.mark.parametrize(("age_us", "looked_up"), [(LIFESPAN_US, [5]), (LIFESPAN_US + 1, [])])
def test_nobody_asks_for_an_object_whose_row_would_be_deleted(age_us, looked_up):
    under_test = lookups()
    under_test.add(1, 0, [5])
    assert begin_all(under_test, age_us) == looked_up
    assert under_test.take_settled() == ([] if looked_up else [1])


@pytest.mark.parametrize(("age_us", "is_stored"), [(LIFESPAN_US, True), (LIFESPAN_US + 1, False)])
def test_nobody_stores_a_row_that_would_be_deleted(age_us, is_stored):
    under_test = lookups()
    under_test.add(1, 0, [5])
    begin_all(under_test, 0)
    assert (under_test.end(5, ONLINE, age_us) is not None) == is_stored


def test_a_callback_whose_time_is_over_is_settled_whatever_its_lookups_do():
    under_test = lookups()
    under_test.add(1, 0, [5, 6])
    under_test.add(2, 10, [5])
    begin_all(under_test)
    under_test.expire(LIFESPAN_US)
    assert under_test.take_settled() == []
    under_test.expire(LIFESPAN_US + 1)
    assert under_test.take_settled() == [1]
    assert (under_test.expired, under_test.callbacks, under_test.mentions) == (1, 1, 1)
    assert under_test.end(5, ONLINE, LIFESPAN_US + 2) == Claim(5, 10, [1, 2])
    under_test.settle([1, 2])
    assert under_test.take_settled() == [2]


def down(concurrency: int = 1000) -> Lookups:
    """Give lookups whose source has failed so often that it counts as down."""
    under_test = lookups(concurrency)
    under_test.add(1, 0, range(STRIKES + 100))
    for object_id in begin_all(under_test)[:STRIKES]:
        under_test.end(object_id, FAILED, 0)
    for object_id in range(STRIKES, STRIKES + 100):
        under_test.end(object_id, FAILED, 0)
    assert under_test.source_is_down
    return under_test


def test_a_source_that_is_down_is_asked_by_few():
    under_test = down()
    assert begin_all(under_test, 1) == []
    at_us = next_us(under_test, 1)
    assert len(begin_all(under_test, at_us)) == PROBES
    assert under_test.next_us(at_us) is None


def test_a_source_that_is_back_is_asked_by_all_again():
    under_test = down()
    at_us = next_us(under_test, 1)
    probes = begin_all(under_test, at_us)
    under_test.end(probes[0], OFFLINE, at_us)
    assert not under_test.source_is_down
    assert len(begin_all(under_test, at_us + LONGEST_WAIT_US)) == STRIKES + 100 - PROBES


def test_a_probe_that_fails_is_followed_by_a_pause():
    under_test = down()
    at_us = next_us(under_test, 1)
    for object_id in begin_all(under_test, at_us):
        under_test.end(object_id, FAILED, at_us)
    assert begin_all(under_test, at_us + 1) == []
    assert next_us(under_test, at_us) > at_us + 1


def test_failures_among_successes_do_not_count_as_down():
    under_test = lookups(concurrency=1000)
    under_test.add(1, 0, range(10 * STRIKES))
    for object_id in begin_all(under_test):
        under_test.end(object_id, OFFLINE if object_id % STRIKES == 0 else FAILED, 0)
        assert not under_test.source_is_down


def test_mentions_are_counted_one_by_one():
    under_test = lookups()
    under_test.add(1, 0, [5, 6, 7])
    begin_all(under_test)
    under_test.end(5, OFFLINE, 1)
    under_test.end(6, OFFLINE, 1)
    assert (under_test.mentions, under_test.size) == (1, 1)


def overloaded(factor: float) -> float:
    """Give the share of the source's answers that came in time under a load above its capacity.

    Ten lookups at a time that take two seconds each are five a second.
    """
    under_test = lookups(concurrency=10)
    under_way: deque[tuple[int, int]] = deque()
    number = stored = ended = 0
    for now_us in range(0, 300_000_000, 50_000):
        while number < now_us * 5 * factor / 1_000_000:
            number += 1
            under_test.add(number, now_us, [number])
        while under_way and under_way[0][0] <= now_us:
            _, object_id = under_way.popleft()
            claim = under_test.end(object_id, ONLINE, now_us)
            if now_us > 150_000_000:
                ended += 1
                stored += claim is not None
            if claim:
                under_test.settle(claim.callbacks)
        for object_id in begin_all(under_test, now_us):
            under_way.append((now_us + 2_000_000, object_id))
        under_test.expire(now_us)
    assert under_test.size < 2 * 30 * 5 * factor
    return stored / ended


@pytest.mark.parametrize("factor", [0.5, 1.1, 3.0])
def test_with_more_objects_than_can_be_looked_up_answers_still_come_in_time(factor):
    assert overloaded(factor) > 0.95


def test_an_object_that_is_late_has_its_turn_when_nobody_else_has_one():
    under_test = lookups(concurrency=1)
    under_test.add(1, 0, [1])
    begin_all(under_test, 0)
    for _ in range(100):
        under_test.end(1, OFFLINE, 10_000_000)
        under_test.add(2, 0, [1])
        under_test.begin(0)
    under_test.add(3, 0, [2, 3])
    under_test.add(4, 20_000_000, [4])
    under_test.end(1, OFFLINE, 20_000_000)
    assert under_test.begin(20_000_000) == 4
    under_test.add(5, 21_000_000, [3])
    under_test.end(4, OFFLINE, 22_000_000)
    assert under_test.begin(22_000_000) == 3, "named again, it is not late any more"
    under_test.end(3, OFFLINE, 23_000_000)
    assert under_test.begin(23_000_000) == 2
    under_test.end(2, OFFLINE, 24_000_000)
    assert under_test.begin(24_000_000) is None


def test_what_nobody_needs_any_more_is_forgotten_though_nothing_can_begin():
    under_test = lookups(concurrency=1)
    under_test.add(1, 0, [1])
    begin_all(under_test)
    for number in range(2, 1000):
        under_test.add(number, 0, [number])
    assert under_test.size == 999
    under_test.expire(LIFESPAN_US + 1)
    assert under_test.size == 1


def test_callbacks_that_are_settled_are_forgotten_behind_one_that_is_not():
    under_test = lookups()
    under_test.add(1, 0, [1])
    begin_all(under_test)
    tracemalloc.start()
    try:
        for number in range(2, 50_000):
            under_test.add(number, 1, [2])
            begin_all(under_test, 1)
            under_test.end(2, OFFLINE, 1)
            if number % 1000 == 0:
                under_test.expire(2)
        under_test.take_settled()
        under_test.expire(2)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 1_000_000


class Model(RuleBasedStateMachine):
    """Every callback is settled, no sooner and no later than it may be, whatever happens."""

    CONCURRENCY = 3

    def __init__(self) -> None:
        super().__init__()
        self.under_test = Lookups(LIFESPAN_US, self.CONCURRENCY, random.Random(0).random)  # noqa: S311
        self.now_us = 0
        self.number = 0
        self.received: dict[int, int] = {}
        self.unsettled: dict[int, set[int]] = {}
        self.under_way: set[int] = set()
        self.named_before: dict[int, set[int]] = {}
        self.claims: list[Claim] = []
        self.may_settle: set[int] = set()

    def settled(self, objects: Iterable[tuple[int, int]]) -> None:
        """Note (callback, object) pairs that are settled."""
        for number, object_id in objects:
            left = self.unsettled.get(number)
            if left is not None:
                left.discard(object_id)
                if not left:
                    self.may_settle.add(number)

    @rule(ids=st.lists(st.integers(-3, 5), unique=True))
    def add(self, ids):
        self.number += 1
        self.received[self.number] = self.now_us
        self.unsettled[self.number] = set(ids)
        for object_id in ids:
            self.named_before.setdefault(object_id, set()).add(self.number)
        if not ids:
            self.may_settle.add(self.number)
        self.under_test.add(self.number, self.now_us, ids)

    @rule(passed_us=st.sampled_from([1, 1000, 200_000, 5_000_000, LIFESPAN_US]))
    def pass_time(self, passed_us):
        self.now_us += passed_us

    @rule()
    def begin(self):
        object_id = self.under_test.begin(self.now_us)
        if object_id is not None:
            assert object_id not in self.under_way, "two requests for one object"
            self.under_way.add(object_id)
            assert len(self.under_way) <= self.CONCURRENCY

    @precondition(lambda self: self.under_way)
    @rule(
        data=st.data(), verdict=st.sampled_from([ONLINE, OFFLINE, UNKNOWN, REFUSED, FAILED, FAILED])
    )
    def end(self, data, verdict):
        object_id = data.draw(st.sampled_from(sorted(self.under_way)))
        self.under_way.remove(object_id)
        claim = self.under_test.end(object_id, verdict, self.now_us)
        if verdict is FAILED:
            assert claim is None
            return
        named_by = self.named_before.pop(object_id)
        latest_us = max(self.received[number] for number in named_by)
        if verdict is ONLINE and latest_us + LIFESPAN_US >= self.now_us:
            assert claim is not None
            assert (claim.id, claim.last_seen_us) == (object_id, latest_us)
            assert set(claim.callbacks) >= {n for n in named_by if self.alive(n)}
            self.claims.append(claim)
        else:
            assert claim is None
            self.settled((number, object_id) for number in named_by)

    @precondition(lambda self: self.claims)
    @rule()
    def store(self):
        claim = self.claims.pop(0)
        self.settled((number, claim.id) for number in claim.callbacks)
        self.under_test.settle(claim.callbacks)

    @rule()
    def expire(self):
        self.under_test.expire(self.now_us)

    def alive(self, number: int) -> bool:
        return self.received[number] + LIFESPAN_US >= self.now_us

    @invariant()
    def settled_are_those_that_may_be(self):
        for number in self.under_test.take_settled():
            assert number in self.unsettled, "settled twice"
            is_over = self.received[number] + LIFESPAN_US <= self.now_us
            assert number in self.may_settle or is_over, f"{number} was settled too early"
            del self.unsettled[number]
            self.may_settle.discard(number)
        assert not self.may_settle, "not settled though nothing is left to do"

    def teardown(self):
        """In the end, everything is settled, and nothing is kept in memory."""
        self.now_us += LIFESPAN_US + LONGEST_WAIT_US + 1
        for object_id in sorted(self.under_way):
            self.under_test.end(object_id, OFFLINE, self.now_us)
        assert self.under_test.begin(self.now_us) is None
        self.under_test.expire(self.now_us)
        assert set(self.under_test.take_settled()) == set(self.unsettled)
        under_test = self.under_test
        assert (under_test.mentions, under_test.callbacks, under_test.under_way) == (0, 0, 0)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
