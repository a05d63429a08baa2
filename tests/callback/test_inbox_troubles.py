"""The inbox on a disk that is full, and with files that are damaged, foreign or gone."""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import capturedLogs

from daemon.callback.inbox import InboxFullError, RefusedError
from daemon.storage.slots import NewerFormatError
from tests.callback.inboxes import Bench, after_a_kill, shown
from tests.small_disk import remount, small_disk_in
from tests.storage.columns import full_disk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.sqlite"


@pytest.fixture
def bench(path: Path) -> Bench:
    return Bench(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk_in(tmp_path, "512k") as disk:
        yield disk


class HungDisk:
    """Stands for the thread: nothing ends before the disk answers, and everything at once then."""

    def __init__(self) -> None:
        self._held: list[Callable[[], Any]] | None = []

    def __call__(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        if self._held is None:
            return maybeDeferred(function, *args)
        done: Deferred[Any] = Deferred()
        self._held.append(lambda: maybeDeferred(function, *args).chainDeferred(done))
        return done

    def answer(self) -> None:
        held, self._held = self._held or [], None
        for work in held:
            work()


def has_failed(result: Deferred[Any], error: type[Exception]) -> bool:
    """Whether there is a result already, and it is that error."""
    failures: list[Any] = []
    result.addErrback(failures.append)
    return len(failures) == 1 and failures[0].check(error) is error


def says(bench: Bench) -> str:
    assert bench.says is not None
    return bench.says


def test_on_a_full_disk_callbacks_are_accepted_and_stored_later(bench, path, tmp_path):
    bench.accept(1)
    with full_disk():
        assert shown([bench.accept(2, at=7)]) == [(2, 7, [2])]
        assert "in memory only" in says(bench)
        bench.accept(3)
        assert bench.inbox.depth == 3
        assert bench.numbers() == [1, 2, 3]
        bench.pass_time(1)
        assert bench.says is not None
    assert after_a_kill(path, tmp_path / "full").numbers() == [1]
    bench.pass_time(0.9)
    assert bench.says is not None
    bench.pass_time(0.1)
    assert bench.says is None
    assert len(bench.said) == 2
    found = after_a_kill(path, tmp_path / "later")
    assert shown(found.done(found.inbox.load(1, 1, 1))) == [(2, 7, [2])]
    assert found.numbers() == bench.numbers() == [1, 2, 3]
    assert found.inbox.depth == bench.inbox.depth == 3


def test_what_is_in_memory_is_given_in_order_with_what_is_on_disk(bench):
    for _ in range(2):
        bench.accept(1, 2)
    with full_disk():
        for _ in range(2):
            bench.accept(1, 2)
    for _ in range(2):
        bench.accept(1, 2)
    assert bench.numbers() == [1, 2, 3, 4, 5, 6]
    assert bench.numbers(0, 3) == [1, 2, 3]
    assert bench.numbers(2, 1) == [3]
    assert bench.numbers(2, 5, 5) == [3, 4]
    assert bench.numbers(3, 2) == [4, 5]
    bench.inbox.settle([3])
    assert bench.numbers(1, 2) == [2, 4]
    bench.inbox.settle([1, 2])
    assert bench.done(bench.inbox.oldest_received_us()) == 1_000
    bench.pass_time(1)
    assert bench.numbers() == [4, 5, 6]
    assert bench.inbox.depth == 3


def test_what_is_settled_before_the_disk_is_back_is_never_written(bench, path, tmp_path):
    with full_disk():
        bench.accept(1)
        bench.accept(2)
        bench.inbox.settle([1])
        assert bench.inbox.depth == 1
    bench.pass_time(1)
    assert after_a_kill(path, tmp_path / "later").numbers() == [2]
    assert bench.inbox.depth == 1


def test_what_is_settled_on_a_full_disk_leaves_it_later(bench, path, tmp_path):
    for _ in range(3):
        bench.accept(1)
    with full_disk():
        bench.inbox.settle([1, 3])
        bench.pass_time(0.1)
        assert bench.says is not None
        assert bench.inbox.depth == 1
        assert bench.numbers() == [2]
        bench.pass_time(1)
    bench.pass_time(1)
    assert bench.says is None
    assert bench.inbox.depth == 1
    assert after_a_kill(path, tmp_path / "later").numbers() == [2]


def test_a_rejected_body_is_not_kept_on_a_full_disk_and_that_is_counted(bench):
    with full_disk():
        bench.reject("lost")
        assert "rejected are not kept" in says(bench)
    assert bench.inbox.rejected_lost == 1
    bench.pass_time(1)
    assert bench.says is None
    bench.reject("kept")
    assert bench.rejected() == ["kept"]


def test_many_in_memory_are_written_soon_after_the_disk_is_back(bench, path, tmp_path):
    with full_disk():
        for _ in range(3_000):
            bench.inbox.accept(1, (1, 2))
        bench.clock.advance(0)
        assert bench.inbox.depth == 3_000
    bench.pass_time(1)
    assert bench.says is None
    assert after_a_kill(path, tmp_path / "later").inbox.depth == bench.inbox.depth == 3_000


def test_when_memory_is_full_as_well_callbacks_are_refused(bench):
    ids = array("q", range(100_000))
    with full_disk():
        answers = [bench.inbox.accept(1, ids) for _ in range(90)]
        bench.clock.advance(0)
        for answer in answers[:83]:
            bench.done(answer)
        for answer in answers[83:]:
            with pytest.raises(InboxFullError):
                bench.done(answer)
        assert "refused" in says(bench)
        assert bench.inbox.refused == 7
        assert bench.inbox.depth == 83
        bench.inbox.settle([1])
        assert bench.done(bench.inbox.accept(1, ids)).number == 85
    bench.pass_time(1)
    assert bench.says is None
    assert bench.numbers() == [*range(2, 84), 85]


def test_while_the_disk_hangs_what_waits_is_bounded_and_the_rest_hears_at_once(path):
    disk = HungDisk()
    bench = Bench(path, disk)
    inbox, ids = bench.inbox, array("q", range(100_000))
    taken = [inbox.accept(1, ids)]
    bench.clock.advance(0)
    kept = inbox.reject(1, "kept", b"?" * 100_000)
    taken += [inbox.accept(1, ids) for _ in range(82)]
    assert inbox.refused == 0
    taken.append(inbox.accept(1, ids))
    for number in range(1, 4):
        assert has_failed(inbox.accept(1, array("q")), InboxFullError)
        assert inbox.refused == number
    assert inbox.reject(1, "lost", b"?").called
    assert inbox.rejected_lost == 1
    assert not kept.called
    disk.answer()
    bench.pass_time(0)
    assert [bench.done(each).number for each in taken] == list(range(1, 85))
    assert bench.rejected() == ["kept"]
    assert bench.accept(1).number == 85


def test_closing_on_a_full_disk_says_what_is_lost(bench, path):
    bench.accept(1)
    with full_disk():
        bench.accept(2)
        with capturedLogs() as logged:
            bench.close()
    assert [(event["log_level"].name, event["count"]) for event in logged] == [("critical", 1)]
    assert Bench(path).numbers() == [1]


def test_closing_writes_what_was_in_memory_only(bench, path):
    with full_disk():
        bench.accept(1)
    bench.close()
    assert Bench(path).numbers() == [1]


def test_it_starts_on_a_full_disk(path):
    with full_disk():
        bench = Bench(path)
        assert "in memory only" in says(bench)
        bench.accept(1)
        bench.pass_time(1)
        assert bench.numbers() == [1]
        with pytest.raises(RefusedError):
            bench.rejected()
    bench.pass_time(1)
    assert bench.says is None
    bench.close()
    assert Bench(path).numbers() == [1]


def test_a_disk_without_room_leaves_the_file_whole(small_disk, tmp_path):
    path = small_disk / "inbox.sqlite"
    bench = Bench(path)
    ids = range(1_000)
    while bench.says is None:
        bench.accept(*ids)
    on_disk = after_a_kill(path, tmp_path / "full").numbers()
    assert on_disk == list(range(1, bench.inbox.last_number))
    for _ in range(10):
        bench.accept(*ids)
    everything = list(range(1, bench.inbox.last_number + 1))
    assert bench.numbers() == everything
    bench.settle(everything[:5])
    bench.pass_time(1)
    remount(small_disk, "size=4m")
    bench.pass_time(1)
    assert bench.says is None
    assert bench.inbox.depth == len(everything) - 5
    found = after_a_kill(path, tmp_path / "later")
    assert found.numbers() == everything[5:]
    found.close()
    check = sqlite3.connect(tmp_path / "later" / path.name)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()


def test_a_start_without_any_room_takes_up_the_backlog(small_disk, tmp_path):
    before = Bench(tmp_path / "inbox.sqlite")
    for _ in range(20):
        before.accept(*range(500))
    for each in tmp_path.glob("inbox.sqlite*"):
        (small_disk / each.name).write_bytes(each.read_bytes())
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    bench = Bench(small_disk / "inbox.sqlite")
    assert bench.troubles == []
    assert bench.inbox.depth == 20
    assert bench.numbers() == list(range(1, 21))
    for _ in range(20):
        bench.accept(*range(500))
    assert "in memory only" in says(bench)
    ballast.unlink()
    bench.pass_time(1)
    assert bench.says is None
    assert bench.numbers() == list(range(1, 41))


def damage(path: Path) -> None:
    """Overwrite all pages but the first."""
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))


@pytest.mark.parametrize(
    "content",
    [b"no database at all, but long enough to look like one" * 100, b"SQLite format 3\0", b"x"],
)
def test_a_file_that_is_no_database_is_set_aside(path, content):
    path.write_bytes(content)
    bench = Bench(path)
    (trouble,) = bench.troubles
    assert f"{path.name}.aside-1" in trouble
    assert path.with_name(f"{path.name}.aside-1").read_bytes() == content
    assert bench.accept(1).number == 1
    assert bench.says is None


def test_a_database_of_another_program_is_set_aside(path):
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE callbacks (number)")
    foreign.close()
    bench = Bench(path)
    (trouble,) = bench.troubles
    assert "another program" in trouble
    assert bench.accept(1).number == 1


def test_a_folder_in_its_place_is_set_aside(path):
    path.mkdir()
    bench = Bench(path)
    assert len(bench.troubles) == 1
    assert bench.accept(1).number == 1


def test_a_damaged_file_is_set_aside_with_all_that_it_had(bench, path, tmp_path):
    ids = array("q", [7_777_777_777, 8_888_888_888])
    bench.accept(*ids)
    killed = tmp_path / "killed"
    killed.mkdir()
    for each in tmp_path.glob("inbox.sqlite*"):
        (killed / each.name).write_bytes(each.read_bytes())
    damage(killed / path.name)
    found = Bench(killed / path.name)
    assert len(found.troubles) == 1
    aside = list(killed.glob("inbox.sqlite.aside-1*"))
    assert ids.tobytes() in b"".join(each.read_bytes() for each in aside)
    assert found.inbox.depth == 0
    assert found.accept(1).number == 1


def test_a_log_without_its_file_is_set_aside(bench, path, tmp_path):
    bench.accept(1)
    log = path.with_name(f"{path.name}-wal")
    kept = log.read_bytes()
    later = tmp_path / "later"
    later.mkdir()
    (later / log.name).write_bytes(kept)
    found = Bench(later / path.name)
    assert len(found.troubles) == 1
    assert (later / f"{log.name}.aside-1").read_bytes() == kept
    assert found.accept(1).number == 1


def test_a_file_from_a_later_version_is_left_alone(bench, path):
    bench.accept(1)
    bench.close()
    later = sqlite3.connect(path)
    later.execute("PRAGMA user_version = 2")
    later.close()
    content = path.read_bytes()
    with pytest.raises(NewerFormatError, match="later version"):
        Bench(path)
    assert path.read_bytes() == content
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_file_that_another_program_uses_stops_the_start(bench, path):
    bench.accept(1)
    with pytest.raises(OSError, match="locked"):
        Bench(path)
    assert bench.accept(2).number == 2
    assert bench.numbers() == [1, 2]


def test_no_other_program_can_lock_it_out(bench, path):
    bench.accept(1)
    other = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN EXCLUSIVE")
    other.close()
    bench.accept(2)
    assert bench.says is None


@pytest.fixture
def damaged(path: Path) -> Bench:
    """An inbox with a backlog whose file is damaged while it is in use."""
    bench = Bench(path)
    for _ in range(200):
        bench.inbox.accept(5, array("q", range(2_000)))
    bench.clock.advance(0)
    bench.close()
    bench = Bench(path)
    assert bench.inbox.depth == 200
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (len(content) - 4096))
    return bench


def test_damage_met_while_reading_begins_a_new_file(damaged, path):
    with pytest.raises(RefusedError, match="aside-1"):
        damaged.numbers()
    assert "callbacks are missing" in says(damaged)
    assert damaged.inbox.depth == 0
    assert damaged.numbers() == []
    assert damaged.accept(1).number == 201
    damaged.pass_time(5)
    assert "callbacks are missing" in says(damaged)
    damaged.close()
    found = Bench(path)
    assert found.troubles == []
    assert found.numbers() == [201]


def test_damage_met_while_writing_loses_no_new_callback(damaged, path):
    damaged.inbox.settle(range(1, 200, 3))
    assert damaged.accept(1).number == 201
    assert damaged.numbers() == [201]
    damaged.pass_time(1)
    assert "callbacks are missing" in says(damaged)
    assert "memory only" not in says(damaged)
    assert damaged.inbox.depth == 1
    damaged.inbox.settle([50, 201])
    damaged.pass_time(0.1)
    assert damaged.inbox.depth == 0
    damaged.accept(2)
    damaged.close()
    assert Bench(path).numbers() == [202]


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_someone_removes_is_made_again(bench, path, is_replaced):
    bench.accept(1)
    path.unlink()
    if is_replaced:
        path.write_bytes(b"something else")
    assert bench.accept(2).number == 2
    assert "removed" in says(bench)
    bench.pass_time(1)
    assert "callbacks are missing" in says(bench)
    bench.close()
    assert Bench(path).numbers() == [2]


def test_a_log_that_someone_removes_loses_nothing(bench, path, tmp_path):
    bench.accept(1)
    path.with_name(f"{path.name}-wal").unlink()
    bench.accept(2)
    assert bench.says is None
    assert after_a_kill(path, tmp_path / "later").numbers() == [1, 2]


def test_a_folder_that_is_not_there_stops_the_start(tmp_path):
    with pytest.raises(FileNotFoundError):
        Bench(tmp_path / "nowhere" / "inbox.sqlite")


def test_a_file_that_may_not_be_written_stops_the_start(small_disk):
    bench = Bench(small_disk / "inbox.sqlite")
    bench.accept(1)
    bench.close()
    remount(small_disk, "ro")
    with pytest.raises(OSError, match="Read-only"):
        Bench(small_disk / "inbox.sqlite")
    remount(small_disk, "rw")
    assert Bench(small_disk / "inbox.sqlite").numbers() == [1]


def test_tables_that_are_not_ours_are_damage(bench, path):
    bench.accept(1)
    bench.close()
    other = sqlite3.connect(path)
    other.execute("DROP TABLE callbacks")
    other.close()
    bench = Bench(path)
    assert len(bench.troubles) == 1
    assert bench.accept(1).number == 1
