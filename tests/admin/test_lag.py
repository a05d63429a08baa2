"""How late the reactor is, on a clock that is late when the test says so."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from daemon.admin.lag import INTERVAL_S, REMEMBERED, ReactorLag
from daemon.metrics import Histogram

BOUNDS = (0.001, 0.1, 1.0)


def test_a_call_in_time_is_no_lag():
    clock, told = Clock(), Histogram(BOUNDS)
    lag = ReactorLag(clock, told)
    assert lag.worst_s == 0.0
    lag.start()
    for _ in range(10):
        clock.advance(INTERVAL_S)
    assert lag.worst_s == pytest.approx(0.0)
    assert dict(told.buckets)["0.001"] == 10


def test_the_worst_lag_is_remembered_for_two_seconds():
    clock, told = Clock(), Histogram(BOUNDS)
    lag = ReactorLag(clock, told)
    lag.start()
    clock.advance(INTERVAL_S + 0.5)
    assert lag.worst_s == pytest.approx(0.5)
    for _ in range(REMEMBERED - 1):
        clock.advance(INTERVAL_S)
    assert lag.worst_s == pytest.approx(0.5)
    clock.advance(INTERVAL_S)
    assert lag.worst_s == pytest.approx(0.0)
    assert told.sum == pytest.approx(0.5)


def test_stopped_it_leaves_nothing_behind():
    clock = Clock()
    lag = ReactorLag(clock, Histogram(BOUNDS))
    lag.start()
    lag.stop()
    lag.stop()
    assert clock.getDelayedCalls() == []
