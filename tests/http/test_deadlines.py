"""One timer for all deadlines, against the plainest reading of what it shall do."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from daemon.http.deadlines import NEVER, TICK_S, Deadlines


class Thing:
    """Notes when it was told that its deadline has passed."""

    def __init__(self, clock: Clock, on_overdue: Callable[[], None] | None = None) -> None:
        self.deadline = inf
        self.tick = NEVER
        self.told: list[float] = []
        self._clock = clock
        self._on_overdue = on_overdue

    def overdue(self) -> None:
        self.told.append(self._clock.seconds())
        if self._on_overdue is not None:
            self._on_overdue()


def started(at_s: float = 0.0) -> tuple[Clock, Deadlines, list[float]]:
    """Give a clock and a timer that goes by it, and the times of its ticks."""
    clock = Clock()
    ticks: list[float] = []
    clock.advance(at_s)
    deadlines = Deadlines(clock, ticks.append)
    deadlines.start()
    return clock, deadlines, ticks


def bound(clock: Clock, deadlines: Deadlines, after_s: float) -> Thing:
    """Give a thing with a deadline."""
    thing = Thing(clock)
    thing.deadline = clock.seconds() + after_s
    deadlines.watch(thing)
    return thing


THINGS = 4
steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, THINGS - 1), st.floats(0, 20)),
        st.tuples(st.just("put off"), st.integers(0, THINGS - 1), st.floats(0, 20)),
        st.tuples(st.just("for ever"), st.integers(0, THINGS - 1), st.just(0)),
        st.tuples(st.just("forget"), st.integers(0, THINGS - 1), st.just(0)),
        st.tuples(st.just("wait"), st.just(0), st.floats(0, 15)),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(st.floats(0, 1000), steps)
def test_each_thing_is_told_once_never_early_and_two_ticks_late_at_most(start_s, plan):
    clock, deadlines, _ = started(start_s)
    things = [Thing(clock) for _ in range(THINGS)]
    due = [inf] * THINGS
    watched = [False] * THINGS
    for what, which, amount in [*plan, ("wait", 0, 100.0)]:
        thing, now = things[which], clock.seconds()
        match what:
            case "set":
                thing.deadline = due[which] = now + amount
                watched[which] = True
                deadlines.watch(thing)
            case "put off" if watched[which]:
                thing.deadline = due[which] = max(due[which], now + amount)
            case "for ever" if watched[which]:
                thing.deadline = due[which] = inf
                watched[which] = False
            case "forget":
                due[which] = inf
                watched[which] = False
                deadlines.forget(thing)
            case "wait":
                for _ in range(int(amount / 0.25)):
                    clock.advance(0.25)
                    for number, one in enumerate(things):
                        now = clock.seconds()
                        if one.told:
                            (told_s,) = one.told
                            assert due[number] <= told_s <= due[number] + 2 * TICK_S + 0.25
                            one.told.clear()
                            due[number] = inf
                            watched[number] = False
                        assert now <= due[number] + 2 * TICK_S + 0.25


def test_it_tells_the_time_at_the_start_and_at_each_tick():
    clock, deadlines, ticks = started(7)
    clock.pump([TICK_S] * 3)
    deadlines.stop()
    clock.pump([TICK_S] * 3)
    assert ticks == [7, 7.5, 8, 8.5]


def test_a_timer_that_was_held_up_makes_up_for_it():
    clock, deadlines, _ = started()
    things = [bound(clock, deadlines, after_s) for after_s in (1, 50, 99, 200)]
    clock.advance(100)
    assert [bool(thing.told) for thing in things] == [True, True, True, False]


def test_a_deadline_that_has_passed_already_is_told_soon():
    clock, deadlines, _ = started()
    thing = bound(clock, deadlines, -5)
    clock.pump([TICK_S] * 2)
    assert len(thing.told) == 1


def test_an_earlier_deadline_counts_when_it_is_said():
    clock, deadlines, _ = started()
    thing = bound(clock, deadlines, 100)
    thing.deadline = 1.0
    deadlines.watch(thing)
    clock.pump([TICK_S] * 4)
    assert len(thing.told) == 1
    clock.pump([TICK_S] * 300)
    assert len(thing.told) == 1


def test_one_that_was_told_can_be_watched_again():
    clock, deadlines, _ = started()
    thing = bound(clock, deadlines, 1)
    clock.pump([TICK_S] * 4)
    thing.deadline = clock.seconds() + 1
    deadlines.watch(thing)
    clock.pump([TICK_S] * 4)
    assert len(thing.told) == 2


def test_one_may_set_its_next_deadline_when_it_is_told():
    clock, deadlines, _ = started()

    def again() -> None:
        thing.deadline = clock.seconds() + 1
        deadlines.watch(thing)

    thing = Thing(clock, again)
    thing.deadline = 1.0
    deadlines.watch(thing)
    clock.pump([TICK_S] * 40)
    assert 10 <= len(thing.told) <= 20


def test_a_failure_is_logged_and_harms_no_other():
    clock, deadlines, _ = started()

    def fail() -> None:
        raise ValueError

    bad = Thing(clock, fail)
    bad.deadline = 1.0
    deadlines.watch(bad)
    good = [bound(clock, deadlines, 1) for _ in range(5)]
    with capturedLogs() as events:
        clock.pump([TICK_S] * 10)
    assert all(thing.told for thing in good)
    assert [event["log_failure"].type for event in events] == [ValueError]


def test_one_may_have_others_forgotten_that_are_due_with_it():
    clock, deadlines, _ = started()
    things: list[Thing] = []

    def forget_all() -> None:
        for thing in things:
            deadlines.forget(thing)

    things += [Thing(clock, forget_all) for _ in range(5)]
    for thing in things:
        thing.deadline = 1.0
        deadlines.watch(thing)
    clock.pump([TICK_S] * 10)
    assert sum(len(thing.told) for thing in things) == 1


def test_forgetting_what_was_never_watched_changes_nothing():
    clock, deadlines, _ = started()
    deadlines.forget(Thing(clock))
    deadlines.stop()
    deadlines.stop()
    assert clock.getDelayedCalls() == []


def test_what_is_looked_at_between_ticks_is_told_at_once_and_not_again():
    clock, deadlines, _ = started()
    due, later = bound(clock, deadlines, 0.7), bound(clock, deadlines, 5)
    clock.advance(0.7)
    deadlines.look_at([due, later])
    assert (len(due.told), later.told) == (1, [])
    clock.pump([TICK_S] * 20)
    assert (len(due.told), len(later.told)) == (1, 1)


def test_what_is_forgotten_is_not_looked_at_between_ticks():
    clock, deadlines, _ = started()
    things = [bound(clock, deadlines, 0.7) for _ in range(2)]
    deadlines.forget(things[0])
    clock.advance(0.7)
    deadlines.look_at(things)
    assert [len(thing.told) for thing in things] == [0, 1]


def test_what_arrived_while_nobody_looked_is_read_before_it_is_called_late():
    """The reactor first runs what is due, then reads: a late tick must not judge before that."""
    clock, deadlines, _ = started()
    thing = bound(clock, deadlines, 2.0)

    def read() -> None:
        thing.deadline = clock.seconds() + 2.0

    run_late(clock, 10.0, read)
    assert thing.told == []
    clock.advance(2.0 + TICK_S)
    assert len(thing.told) == 1
    deadlines.stop()


def test_a_stop_before_a_late_look_is_a_stop():
    clock, deadlines, _ = started()
    thing = bound(clock, deadlines, 2.0)
    run_late(clock, 10.0, deadlines.stop)
    clock.advance(10.0)
    assert thing.told == []
    assert clock.getDelayedCalls() == []


def run_late(clock: Clock, after_s: float, read: Callable[[], None]) -> None:
    """Let a reactor be stopped for a time: it runs what is due, and only then reads."""
    clock.rightNow += after_s
    due: list[Any] = [call for call in clock.getDelayedCalls() if call.getTime() <= clock.seconds()]
    for call in due:
        clock.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)
    read()
    clock.advance(0)
