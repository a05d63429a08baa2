"""What is remembered of each number, and what is made of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.admin.history import LENGTH, Track, mean, quantile, tracks_of
from daemon.metrics import Kind, Metrics, Plot

BOUNDS = (1.0, 2.0, 5.0, 10.0)


def counts_of(values: list[float]) -> list[int]:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[bisect_left(BOUNDS, value)] += 1
    return counts


@given(
    st.lists(st.floats(0, 20), min_size=1),
    st.floats(0.01, 1),
)
def test_a_quantile_lies_where_the_value_of_that_rank_does(values, share):
    """Against the value itself: no nearer can one come than between the bounds around it."""
    exact = sorted(values)[ceil(share * len(values)) - 1]
    found = quantile(counts_of(values), BOUNDS, share)
    assert found is not None
    place = bisect_left(BOUNDS, exact)
    lower = BOUNDS[place - 1] if place else 0.0
    if place == len(BOUNDS):
        assert found == BOUNDS[-1]
    else:
        assert lower <= found <= BOUNDS[place] + 1e-9


@given(st.lists(st.floats(0, 20), min_size=1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_greater_share_lies_below_no_smaller_number(values, one, other):
    counts = counts_of(values)
    small, large = sorted((one, other))
    lower, upper = quantile(counts, BOUNDS, small), quantile(counts, BOUNDS, large)
    assert lower is not None
    assert upper is not None
    assert lower <= upper + 1e-9


def test_of_nothing_there_is_no_quantile_and_no_mean():
    assert quantile([0, 0, 0, 0, 0], BOUNDS, 0.99) is None
    assert mean([0, 0], 0.0, ()) is None
    assert mean([1, 2], 6.0, ()) == 2.0


def test_a_level_is_kept_as_it_is():
    depth = iter([3.0, 0.0, 8.0])
    track = Track(Plot("Depth", Kind.LEVEL, "", lambda: next(depth)))
    for _ in range(3):
        track.sample(2.0)
    assert list(track.values) == [3.0, 0.0, 8.0]
    assert (track.now, track.peak) == (8.0, 8.0)


def test_a_rate_is_the_rise_in_a_second_of_the_time_that_has_really_passed():
    total = iter([10, 30, 30, 130])
    track = Track(Plot("Requests", Kind.RATE, "", lambda: next(total)))
    for elapsed_s in (2.0, 2.0, 2.0, 50.0):
        track.sample(elapsed_s)
    assert list(track.values) == [None, 10.0, 0.0, 2.0]
    assert track.reading == 130


def test_a_number_that_cannot_be_read_leaves_a_gap_and_harms_nothing():
    readings: Iterator[float | Exception] = iter([1.0, ValueError("closed"), 5.0, 7.0])

    def read() -> float:
        reading = next(readings)
        if isinstance(reading, Exception):
            raise reading
        return reading

    track = Track(Plot("Requests", Kind.RATE, "", read))
    for _ in range(4):
        track.sample(1.0)
    assert list(track.values) == [None, None, None, 2.0]


def test_no_more_than_ten_minutes_are_kept():
    number = iter(range(10_000))
    track = Track(Plot("Depth", Kind.LEVEL, "", lambda: next(number)))
    for _ in range(1_000):
        track.sample(2.0)
    assert list(track.values) == list(range(1_000 - LENGTH, 1_000))


def test_a_histogram_shows_only_what_came_since_the_last_sample():
    metrics = Metrics("tea")
    histogram = metrics.histogram("steep_seconds", "Steeping.", BOUNDS, plot="Steep")
    (plot,) = metrics.plots
    means, quantiles = tracks_of(plot)
    histogram.observe(9.0)
    for track in (means, quantiles):
        track.sample(2.0)
    histogram.observe(0.5)
    histogram.observe(1.5)
    for track in (means, quantiles):
        track.sample(2.0)
        track.sample(2.0)
    assert list(means.values) == [9.0, 1.0, None]
    assert quantiles.values[0] == pytest.approx(9.95)
    assert quantiles.values[1] == pytest.approx(1.98)
    assert quantiles.values[2] is None
    assert means.plot.title == "Steep, mean"
