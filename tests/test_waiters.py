from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from daemon.waiters import RELEASED_AT_ONCE, Waiters


def test_ten_thousand_waiters_share_one_timer():
    clock = Clock()
    waiters = Waiters(clock)
    for number in range(10_000):
        waiters.wait(30 + number % 7)
    assert len(clock.getDelayedCalls()) == 1


def test_a_wake_releases_some_at_once_and_the_rest_in_later_turns():
    clock = Clock()
    waiters = Waiters(clock)
    waiting = [waiters.wait(30) for _ in range(3 * RELEASED_AT_ONCE)]
    waiters.wake()
    assert sum(waiter.called for waiter in waiting) == RELEASED_AT_ONCE
    clock.advance(0)
    assert all(waiter.called for waiter in waiting)
    assert not clock.getDelayedCalls()


def test_who_comes_after_a_wake_waits_for_the_next():
    clock = Clock()
    waiters = Waiters(clock)
    waiters.wake()
    late = waiters.wait(30)
    assert not late.called
    waiters.wake()
    assert late.called


def test_after_the_close_nobody_waits():
    waiters = Waiters(Clock())
    early = waiters.wait(30)
    waiters.close()
    assert early.called
    assert waiters.wait(30).called
    assert waiters.closed


def test_one_cancelled_between_the_wake_and_its_turn_is_left_alone():
    clock = Clock()
    waiters = Waiters(clock)
    all_of_them = [waiters.wait(30) for _ in range(RELEASED_AT_ONCE + 1)]
    waiters.wake()
    all_of_them[-1].addErrback(lambda failure: failure.trap(CancelledError))
    all_of_them[-1].cancel()
    clock.advance(0)
    assert len(waiters) == 0


def test_waiters_that_come_and_go_leave_nothing_behind():
    clock = Clock()
    waiters = Waiters(clock)
    staying = waiters.wait(100)
    for _ in range(20 * RELEASED_AT_ONCE):
        going = waiters.wait(60)
        going.addErrback(lambda failure: failure.trap(CancelledError))
        going.cancel()
    assert len(waiters) == 1
    clock.advance(99)
    assert not staying.called
    clock.advance(1)
    assert staying.called
    assert not clock.getDelayedCalls()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("wait"), st.integers(0, 20)),
            st.tuples(st.just("advance"), st.integers(0, 10)),
            st.tuples(st.just("cancel"), st.integers(0, 30)),
            st.tuples(st.just("wake"), st.none()),
        ),
        max_size=40,
    )
)
def test_each_is_released_at_its_time_or_the_next_wake(steps):
    clock = Clock()
    waiters = Waiters(clock)
    waiting = []  # [deferred, until, released]
    for what, value in steps:
        if what == "wait":
            entry = [waiters.wait(value), clock.seconds() + value, False]
            entry[0].addErrback(lambda failure: failure.trap(CancelledError))
            waiting.append(entry)
        elif what == "cancel" and value < len(waiting):
            waiting[value][0].cancel()
            waiting[value][2] = True
        elif what == "wake":
            waiters.wake()
            for entry in waiting:
                entry[2] = True
        else:
            clock.advance(value or 0)
            for entry in waiting:
                entry[2] = entry[2] or entry[1] <= clock.seconds()
        for entry in waiting:
            if entry[1] > clock.seconds() or entry[2]:
                assert entry[0].called == entry[2]
