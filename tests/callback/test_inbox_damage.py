"""The inbox with rows that cannot be read: they are set aside, and work goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs

from daemon.callback.inbox import Rejected
from tests.callback.inboxes import PLENTY, Bench
from tests.storage.columns import full_disk

LATEST_US = 253_402_300_799_999_999


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.sqlite"


def spoil(path: Path, statement: str, *values: Any) -> None:
    """Change the file behind the daemon's back."""
    with other_program(path) as connection:
        connection.execute(statement, values)


@contextmanager
def other_program(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    with connection:
        yield connection
    connection.close()


def with_callbacks(path: Path, count: int) -> Path:
    bench = Bench(path)
    for number in range(1, count + 1):
        bench.accept(number, number + 1, at=number)
    bench.close()
    return path


def rejected(bench: Bench) -> list[Rejected]:
    return bench.done(bench.inbox.page_of_rejected(None, 9, PLENTY)).rows


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"\1\2\3\4", b"\1\2\3\4"),
        (b"\1" * 100_001, b"\1" * 65_536),
        ("abc", b"abc"),
        (1.5, b"1.5"),
    ],
)
def test_a_callback_that_cannot_be_read_is_set_aside_and_the_others_are_given(path, value, kept):
    spoil(with_callbacks(path, 3), "UPDATE callbacks SET ids = ? WHERE number = 2", value)
    bench = Bench(path)
    with capturedLogs() as logged:
        assert bench.numbers() == [1, 3]
        bench.pass_time(1)
        assert bench.numbers() == [1, 3]
    assert [(event["log_level"].name, event["number"]) for event in logged] == [("error", 2)]
    assert bench.said == ["callbacks are missing: damaged ones were moved to the rejected"]
    assert bench.inbox.depth == 2
    (row,) = rejected(bench)
    assert (row.received_us, row.body) == (2, kept)
    assert row.reason == "callback 2 was accepted, and was damaged in the inbox"
    bench.close()
    again = Bench(path)
    assert (again.numbers(), again.inbox.depth, again.says) == ([1, 3], 2, None)
    assert [each.reason for each in rejected(again)] == [row.reason]


def test_without_the_row_of_totals_callbacks_are_counted_and_taken(path):
    """Bug, found by fuzzing: nothing was accepted any more."""
    spoil(with_callbacks(path, 3), "DELETE FROM totals")
    bench = Bench(path)
    assert bench.inbox.depth == 3
    bench.accept(7)
    assert bench.numbers() == [1, 2, 3, 4]
    assert bench.inbox.depth == 4
    bench.settle([1, 2])
    bench.close()
    assert Bench(path).inbox.depth == 2


def test_what_is_text_by_damage_and_no_text_either_stops_nothing(path):
    with_callbacks(path, 2)
    spoil(path, "UPDATE callbacks SET ids = CAST(x'ff80ff' AS TEXT) WHERE number = 1")
    spoil(path, "UPDATE callbacks SET received_us = CAST(x'ff' AS TEXT) WHERE number = 1")
    bench = Bench(path)
    assert bench.numbers() == [2]
    bench.pass_time(1)
    assert [(row.received_us, row.body) for row in rejected(bench)] == [(0, b"\xff\x80\xff")]


def test_one_whose_time_is_damaged_too_is_shown_without(path):
    with_callbacks(path, 1)
    spoil(path, "UPDATE callbacks SET ids = x'00', received_us = ?", LATEST_US + 1)
    bench = Bench(path)
    assert bench.numbers() == []
    bench.pass_time(1)
    assert [row.received_us for row in rejected(bench)] == [0]


def test_any_number_of_them_in_a_row_are_passed_over(path):
    spoil(with_callbacks(path, 12), "UPDATE callbacks SET ids = x'00' WHERE number % 6")
    bench = Bench(path)
    assert bench.numbers(0, 2) == [6]
    assert bench.numbers(6, 2) == [12]
    bench.pass_time(1)
    assert bench.numbers(0, 3) == [6, 12]
    assert bench.numbers(0, 3, 3) == [6]
    assert bench.inbox.depth == 2
    assert len(bench.rejected()) == 10
    assert len(bench.said) == 1


def test_those_alone_are_an_empty_inbox(path):
    spoil(with_callbacks(path, 3), "UPDATE callbacks SET ids = x'00'")
    bench = Bench(path)
    assert bench.numbers() == []
    bench.pass_time(1)
    assert bench.inbox.depth == 0
    assert bench.accept(1).number == 4


def test_they_keep_clear_of_bodies_that_are_rejected_meanwhile(path):
    spoil(with_callbacks(path, 2), "UPDATE callbacks SET ids = x'00'")
    bench = Bench(path)
    before = bench.inbox.reject(5, "before", b"a")
    bench.inbox.load(0, PLENTY, PLENTY)
    after = bench.inbox.reject(5, "after", b"b")
    bench.done(before)
    bench.done(after)
    assert [row.reason.split()[0] for row in rejected(bench)] == [
        "after",
        "callback",
        "callback",
        "before",
    ]


def test_on_a_full_disk_they_stay_until_there_is_room(path):
    spoil(with_callbacks(path, 3), "UPDATE callbacks SET ids = x'00' WHERE number = 1")
    bench = Bench(path)
    with full_disk():
        assert bench.numbers() == [2, 3]
        bench.pass_time(1)
        assert bench.rejected() == []
        assert bench.inbox.depth == 3
    bench.pass_time(1)
    assert bench.done(bench.inbox.oldest_received_us()) == 2
    bench.pass_time(1)
    assert (bench.inbox.depth, len(bench.rejected())) == (2, 1)


def test_one_that_its_reader_has_settled_meanwhile_is_not_kept(path):
    spoil(with_callbacks(path, 3), "UPDATE callbacks SET ids = x'00' WHERE number = 2")
    bench = Bench(path)
    bench.inbox.settle([2])
    assert bench.numbers() == [1, 3]
    bench.pass_time(1)
    assert (bench.rejected(), bench.inbox.depth, bench.says) == ([], 2, None)


def test_they_stay_when_the_inbox_closes(path):
    spoil(with_callbacks(path, 2), "UPDATE callbacks SET ids = x'00' WHERE number = 1")
    bench = Bench(path)
    loading = bench.inbox.load(0, 1, 1)
    bench.close()
    bench.done(loading)
    with other_program(path) as connection:
        rows = connection.execute(
            "SELECT (SELECT count(*) FROM callbacks), (SELECT count(*) FROM rejected)"
        ).fetchall()
    assert rows in ([(2, 0)], [(1, 1)]), "moved as a whole, or not at all"


def test_rejected_bodies_whose_rows_are_damaged_are_shown_as_far_as_they_can_be(path):
    bench = Bench(path)
    bench.reject("why", b"body", at=7)
    bench.close()
    spoil(path, "UPDATE rejected SET received_us = ?, reason = CAST(x'ff' AS TEXT)", LATEST_US + 1)
    assert rejected(Bench(path)) == [Rejected(1, 0, "\N{REPLACEMENT CHARACTER}", b"body")]
