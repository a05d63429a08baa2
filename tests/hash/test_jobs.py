"""Which jobs there are, and from when on each can be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from daemon.hash.jobs import (
    DIGEST_BYTES,
    AllPendingError,
    EvictedError,
    Jobs,
    NoSuchJobError,
    seconds_up,
)
from daemon.storage.ring import Ring

DELAY = 10
PIECE = 64


def digest(number: int) -> bytes:
    return number.to_bytes(DIGEST_BYTES, "big")


def jobs_of(capacity: int, ring: Ring | None = None, now: int = 1, delay: int = DELAY) -> Jobs:
    return Jobs(ring or Ring(None, DIGEST_BYTES, PIECE), capacity, delay, now)


def test_ids_count_from_one():
    jobs = jobs_of(10)
    assert [jobs.add(digest(7), 5) for _ in range(3)] == [1, 2, 3]
    assert jobs.digest(2) == digest(7)


def test_a_job_is_due_exactly_a_delay_after_it_came():
    jobs = jobs_of(10)
    jobs.add(digest(1), 5)
    assert jobs.due_us(1) == 5 + DELAY
    assert jobs.pending(5 + DELAY - 1) == 1
    assert jobs.pending(5 + DELAY) == 0


@pytest.mark.parametrize("number", [0, 2, 3, 1 << 40])
def test_an_id_that_was_never_given_has_no_job(number):
    jobs = jobs_of(10)
    jobs.add(digest(1), 5)
    with pytest.raises((NoSuchJobError, EvictedError)):
        jobs.due_us(number)


def test_when_all_are_pending_a_client_hears_when_there_will_be_room():
    jobs = jobs_of(2, delay=3_000_000)
    jobs.add(digest(1), 10)
    jobs.add(digest(1), 20)
    with pytest.raises(AllPendingError) as refused:
        jobs.add(digest(1), 1_500_000)
    assert refused.value.reply_fields == {"Retry-After": "2"}
    assert jobs.refused == 1
    assert jobs.add(digest(1), 3_000_010) == 3


@pytest.mark.parametrize(
    ("us", "seconds"), [(-5, 1), (0, 1), (1, 1), (1_000_000, 1), (1_000_001, 2)]
)
def test_seconds_are_rounded_up(us, seconds):
    assert seconds_up(us) == seconds


def test_a_kept_job_is_never_ready_earlier_than_it_was_promised():
    ring = Ring(None, DIGEST_BYTES, PIECE)
    jobs_of(10, ring, now=100, delay=50).add(digest(1), 100)
    jobs = jobs_of(10, ring, now=101, delay=2)
    assert jobs.due_us(1) == 150
    jobs.add(digest(2), 102)
    assert jobs.due_us(2) == 150  # in their order


def test_only_a_clock_that_was_set_back_makes_it_ready_earlier():
    ring = Ring(None, DIGEST_BYTES, PIECE)
    jobs_of(10, ring, now=10_000, delay=50).add(digest(1), 10_000)
    assert jobs_of(10, ring, now=100, delay=2).due_us(1) == 150


@pytest.mark.parametrize("capacity", [1, 2])
def test_however_many_jobs_come_and_go_memory_is_that_of_those_kept(capacity):
    ring = Ring(None, DIGEST_BYTES, PIECE)
    jobs = jobs_of(capacity, ring, delay=0)
    for number in range(20 * PIECE):
        jobs.add(digest(number + 1), 1)
        assert ring.pieces <= capacity
    assert jobs.evicted == 20 * PIECE - capacity


def test_with_far_too_many_pending_a_client_hears_when_enough_are_ready():
    ring = Ring(None, DIGEST_BYTES, PIECE)
    many = jobs_of(9, ring, delay=30_000_000)
    for number in range(9):
        many.add(digest(1), number * 1_000_000)
    few = jobs_of(4, ring, now=10_000_000, delay=30_000_000)
    with pytest.raises(AllPendingError) as refused:
        few.add(digest(1), 10_000_000)
    assert refused.value.reply_fields == {"Retry-After": "25"}
    assert few.add(digest(1), 35_000_000) == 10
    assert few.evicted == 6


def test_a_lower_capacity_takes_effect_at_once_and_in_one_step():
    ring = Ring(None, DIGEST_BYTES, PIECE)
    many = jobs_of(5000, ring)
    for number in range(5000):
        many.add(digest(number + 1), number + 1)
    few = jobs_of(10, ring, now=3000 + DELAY)
    assert (few.evicted, ring.first) == (3000, 3001)
    with pytest.raises(AllPendingError) as refused:
        few.add(digest(1), 3000 + DELAY)
    assert refused.value.reply_fields == {"Retry-After": "1"}
    few.add(digest(1), 5000 + DELAY)
    assert (ring.first, ring.count()) == (4992, 10)


class Model(RuleBasedStateMachine):
    """The jobs beside a list of them, through restarts with other settings too."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1
        self.capacity = 3
        self.delay = DELAY
        self.ring = Ring(None, DIGEST_BYTES, PIECE)
        self.jobs = jobs_of(self.capacity, self.ring)
        self.due: dict[int, int] = {}
        self.delays: dict[int, int] = {}
        self.last = 0

    @rule(step=st.integers(0, 8))
    def time_passes(self, step: int) -> None:
        self.now += step

    @rule(count=st.integers(1, 70))
    def add(self, count: int) -> None:
        for _ in range(count):
            self.add_one()

    def add_one(self) -> None:
        evictable = [number for number, due in self.due.items() if due <= self.now]
        while len(self.due) >= self.capacity and evictable and evictable[0] == min(self.due):
            del self.due[evictable.pop(0)]
        if len(self.due) >= self.capacity:
            with pytest.raises(AllPendingError):
                self.jobs.add(digest(1), self.now)
            return
        number = self.jobs.add(digest(self.last + 1), self.now)
        assert number == self.last + 1
        self.last = number
        self.due[number] = max(self.now + self.delay, *self.due.values(), 0)
        self.delays[number] = self.delay

    @rule(capacity=st.integers(1, 200), delay=st.integers(0, 30), back=st.integers(0, 20))
    def start_anew(self, capacity: int, delay: int, back: int) -> None:
        self.now = max(1, self.now - back)
        self.capacity, self.delay = capacity, delay
        self.jobs = Jobs(self.ring, capacity, delay, self.now)
        longest = self.ring.lead
        assert longest >= max([delay, *(self.delays[number] for number in self.due)])
        if not back:
            assert all(due <= self.now + longest for due in self.due.values())
        self.due = {number: min(due, self.now + longest) for number, due in self.due.items()}
        while len(self.due) > capacity and self.due[min(self.due)] <= self.now:
            del self.due[min(self.due)]

    @invariant()
    def every_id_is_known_for_what_it_is(self) -> None:
        pending = sum(due > self.now for due in self.due.values())
        assert self.jobs.pending(self.now) == pending
        assert self.jobs.ready(self.now) == len(self.due) - pending
        for number in range(1, self.last + 3):
            if number in self.due:
                assert self.jobs.due_us(number) == self.due[number]
                assert self.jobs.digest(number) == digest(number)
            else:
                error = EvictedError if number <= self.last else NoSuchJobError
                with pytest.raises(error):
                    self.jobs.due_us(number)

    @precondition(lambda self: self.due)
    @rule()
    def the_last_is_due_last(self) -> None:
        assert self.jobs.last_due_us == max(self.due.values())


TestModel = Model.TestCase


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200))
def test_a_burst_is_counted_whole_and_becomes_ready_in_order(steps):
    jobs = jobs_of(1000)
    now, came = 1, []
    for step in steps:
        now += step
        jobs.add(digest(1), now)
        came.append(now)
    for time in range(now, now + DELAY + 1, 3):
        assert jobs.pending(time) == sum(each + DELAY > time for each in came)
