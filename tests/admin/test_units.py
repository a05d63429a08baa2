"""Numbers as a person reads them."""

from __future__ import annotations

import pytest

from daemon.admin.units import lasting, moment, rfc3339, shown
from daemon.metrics import Kind


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (0, "0"),
        (7, "7"),
        (0.25, "0.25"),
        (0.0001, "0.00"),
        (12.34, "12.3"),
        (123.4, "123"),
        (9_934, "9,934"),
        (999_999, "999,999"),
        (1_000_000, "1 M"),
        (12_345_678, "12.3 M"),
        (3_000_000_000, "3 G"),
        (4e15, "4,000 T"),
    ],
)
def test_plain_numbers(value, text):
    assert shown(value, "") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ms"),
        (0.0004, "0.40 ms"),
        (0.0123, "12.3 ms"),
        (0.5, "500 ms"),
        (1.5, "1.50 s"),
        (31.4, "31.4 s"),
        (75, "1 min 15 s"),
        (3_700, "1 h 1 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_times(value, text):
    assert shown(value, "seconds") == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (999, "999 B"), (90_700_000, "90.7 MB"), (2e12, "2 TB")]
)
def test_sizes(value, text):
    assert shown(value, "bytes") == text


def test_rates():
    assert shown(139.4, "", Kind.RATE) == "139/s"
    assert shown(2_500_000, "bytes", Kind.RATE) == "2.50 MB/s"
    assert shown(0.066, "seconds", Kind.RATE) == "6.60 %"


def test_how_long_is_told_by_the_two_largest_units():
    assert [lasting(seconds) for seconds in (0, 59.9, 60, 3600, 86_400)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "1 h 0 min",
        "1 d 0 h",
    ]


def test_times_of_day_are_told_in_utc():
    assert rfc3339(1_700_000_000_123_456) == "2023-11-14T22:13:20.123Z"
    assert moment(1_700_000_000_999_999) == "2023-11-14 22:13:20 UTC"
