"""The inbox on a disk that is well."""

from __future__ import annotations

import os
import stat
from array import array
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError

from daemon.callback.inbox import InboxClosedError
from tests.callback.inboxes import PLENTY, Bench, after_a_kill, shown


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.sqlite"


@pytest.fixture
def bench(path: Path) -> Bench:
    return Bench(path)


def test_a_new_inbox_is_empty(bench):
    assert bench.troubles == []
    assert bench.inbox.depth == 0
    assert bench.inbox.last_number == 0
    assert bench.numbers() == []
    assert bench.rejected() == []
    assert bench.done(bench.inbox.oldest_received_us()) is None


def test_what_is_answered_survives_a_kill(bench, path, tmp_path):
    ids = [5, -(1 << 63), (1 << 63) - 1, 0]
    accepted = [bench.accept(*ids, at=17), bench.accept(at=18), bench.accept(7, at=16)]
    assert shown(accepted) == [(1, 17, ids), (2, 18, []), (3, 16, [7])]
    found = after_a_kill(path, tmp_path / "later")
    assert found.troubles == []
    assert found.inbox.depth == 3
    assert found.inbox.last_number == 3
    assert shown(found.done(found.inbox.load(0, 10, 100))) == shown(accepted)


def test_nothing_is_answered_before_it_is_on_disk(bench, path, tmp_path):
    answered = bench.inbox.accept(1, array("q", [1]))
    assert not answered.called
    assert bench.inbox.depth == 0
    assert after_a_kill(path, tmp_path / "later").numbers() == []
    assert bench.done(answered).number == 1
    assert bench.inbox.depth == 1


def test_ids_may_come_as_a_tuple(bench):
    assert shown([bench.done(bench.inbox.accept(1, (3, 2)))]) == [(1, 1, [3, 2])]


def test_an_id_that_is_no_int64_harms_nobody_else(bench):
    answered = bench.inbox.accept(1, (1,))
    with pytest.raises(OverflowError):
        bench.inbox.accept(1, (1 << 63,))
    assert bench.done(answered).number == 1
    assert bench.says is None


def test_cancelling_changes_nothing_for_the_callback(bench):
    answered = bench.inbox.accept(1, (1,))
    answered.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
    bench.clock.advance(0)
    assert bench.numbers() == [1]


def test_what_is_settled_is_gone_at_once_and_from_the_disk_soon(bench, path, tmp_path):
    for _ in range(5):
        bench.accept(1)
    bench.inbox.settle([2, 3])
    assert bench.inbox.depth == 3
    assert bench.numbers() == [1, 4, 5]
    assert after_a_kill(path, tmp_path / "at once").numbers() == [1, 2, 3, 4, 5]
    bench.pass_time(0.1)
    assert bench.inbox.depth == 3
    found = after_a_kill(path, tmp_path / "soon")
    assert found.numbers() == [1, 4, 5]
    assert found.inbox.depth == 3


def test_what_is_settled_leaves_with_a_commit_that_comes_along(bench, path, tmp_path):
    bench.accept(1)
    bench.inbox.settle([1])
    bench.accept(2)
    assert after_a_kill(path, tmp_path / "later").numbers() == [2]
    bench.pass_time(0.1)
    assert bench.inbox.depth == 1


def test_settling_twice_or_what_is_not_there_changes_nothing(bench):
    bench.accept(1)
    bench.accept(2)
    bench.settle([1, 1, 99])
    bench.settle([1])
    assert bench.inbox.depth == 1
    assert bench.numbers() == [2]


def test_many_settled_ones_leave_in_small_commits(bench, path, tmp_path):
    for _ in range(2_500):
        bench.inbox.accept(1, (1,))
    bench.clock.advance(0)
    bench.inbox.settle(range(1, 2_500))
    assert bench.inbox.depth == 1
    assert bench.done(bench.inbox.oldest_received_us()) == 1
    bench.accept(2)
    left = after_a_kill(path, tmp_path / "later").inbox.depth
    assert 1_000 < left < 2_000
    bench.pass_time(0.1)
    assert bench.inbox.depth == 2
    assert bench.numbers() == [2_500, 2_501]
    assert after_a_kill(path, tmp_path / "soon").numbers() == [2_500, 2_501]


def test_a_backlog_is_loaded_page_by_page(bench):
    for count in (3, 0, 4, 20, 1, 1):
        bench.accept(*range(count))
    assert bench.numbers(0, 2) == [1, 2]
    assert bench.numbers(2, 2) == [3, 4]
    assert bench.numbers(4, 2) == [5, 6]
    assert bench.numbers(6, 2) == []
    assert bench.numbers(0, 10, 7) == [1, 2, 3]
    assert bench.numbers(0, 10, 6) == [1, 2]
    assert bench.numbers(3, 10, 5) == [4]
    assert bench.numbers(4, 10, 2) == [5, 6]


def test_a_page_is_not_empty_because_all_that_was_read_is_settled(bench):
    for _ in range(10):
        bench.accept(1)
    bench.inbox.settle([2, 3, 4, 5, 6, 8])
    assert bench.numbers(0, 1) == [1]
    assert bench.numbers(1, 1) == [7]
    assert bench.numbers(7, 2) == [9, 10]
    bench.inbox.settle([10])
    assert bench.numbers(9, 1) == []


def test_the_oldest_is_the_first_that_was_accepted(bench):
    bench.accept(1, at=30)
    bench.accept(1, at=20)
    assert bench.done(bench.inbox.oldest_received_us()) == 30
    bench.inbox.settle([1])
    assert bench.done(bench.inbox.oldest_received_us()) == 20


def test_numbers_go_on_after_a_restart(bench, path):
    for _ in range(3):
        bench.accept(1)
    bench.inbox.settle([1, 2])
    bench.close()
    bench = Bench(path)
    assert bench.inbox.depth == 1
    assert bench.inbox.last_number == 3
    assert bench.accept(1).number == 4


def test_rejected_bodies_are_kept_the_newest_first(bench, path):
    for number in range(1, 6):
        bench.reject(f"reason {number}", bytes([number]), at=number)
    assert bench.rejected(None, 2) == ["reason 5", "reason 4"]
    page = bench.done(bench.inbox.page_of_rejected(4, 10, PLENTY))
    assert not page.has_more
    assert [(each.number, each.received_us, each.body) for each in page.rows] == [
        (3, 3, b"\3"),
        (2, 2, b"\2"),
        (1, 1, b"\1"),
    ]
    bench.close()
    bench = Bench(path)
    bench.reject("reason 6")
    assert bench.rejected(None, 2) == ["reason 6", "reason 5"]
    assert bench.inbox.depth == 0


def test_of_a_rejected_body_64_kib_are_kept(bench):
    bench.reject("long", bytes(70_000))
    page = bench.done(bench.inbox.page_of_rejected(None, 1, PLENTY))
    assert [kept.body for kept in page.rows] == [bytes(65_536)]


def test_a_page_of_rejected_bodies_ends_before_it_is_too_large_but_has_one(bench):
    for size in (10, 5, 6, 40):
        bench.reject(str(size), bytes(size))

    def page(before: int | None, limit: int, size_bytes: int) -> tuple[list[str], bool]:
        rows, has_more = bench.done(bench.inbox.page_of_rejected(before, limit, size_bytes))
        return [row.reason for row in rows], has_more

    assert page(None, 9, 39) == (["40"], True)
    assert page(None, 9, 45) == (["40"], True)
    assert page(None, 9, 46) == (["40", "6"], True)
    assert page(None, 2, PLENTY) == (["40", "6"], True)
    assert page(4, 9, 11) == (["6", "5"], True)
    assert page(4, 9, 21) == (["6", "5", "10"], False)
    assert page(4, 3, 21) == (["6", "5", "10"], False)
    assert page(1, 9, 21) == ([], False)


def test_of_rejected_bodies_the_newest_ten_thousand_are_kept(bench):
    for number in range(9_999):
        bench.inbox.reject(1, str(number), b"")
    bench.clock.advance(0)
    bench.reject("9999")
    assert len(bench.rejected()) == 10_000
    bench.reject("10000")
    kept = bench.rejected()
    assert len(kept) == 10_000
    assert (kept[0], kept[-1]) == ("10000", "1")


def test_closing_commits_what_waits(bench, path):
    bench.accept(1)
    bench.accept(2)
    bench.inbox.settle([1])
    waiting = [bench.inbox.accept(1, (3,)), bench.inbox.reject(1, "no", b"?")]
    bench.close()
    assert [waiter.called for waiter in waiting] == [True, True]
    assert bench.clock.getDelayedCalls() == []
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    bench = Bench(path)
    assert bench.numbers() == [2, 3]
    assert bench.rejected() == ["no"]


def test_closing_lets_all_go_that_are_settled(bench, path):
    for _ in range(3_500):
        bench.inbox.accept(1, (1,))
    bench.clock.advance(0)
    bench.inbox.settle(range(1, 3_501))
    closed = bench.inbox.close()
    bench.pass_time(0)
    bench.done(closed)
    assert Bench(path).inbox.depth == 0


def test_a_closed_inbox_takes_nothing(bench, path):
    bench.close()
    for refused in (bench.inbox.accept(1, (1,)), bench.inbox.reject(1, "no", b"")):
        with pytest.raises(InboxClosedError):
            bench.done(refused)
    bench.close()
    assert Bench(path).inbox.depth == 0


def test_its_files_are_private_whatever_the_umask(path):
    before = os.umask(0)
    try:
        bench = Bench(path)
        bench.accept(1)
        bench.reject("no")
    finally:
        os.umask(before)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
    assert path.name in modes
    assert set(modes.values()) == {0o600}


def test_a_file_that_others_may_read_is_made_private(bench, path):
    bench.close()
    path.chmod(0o644)
    Bench(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
