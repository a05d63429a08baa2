"""A column in mapped files, against a list."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from daemon.storage.mapped import NOTHING, STORING, Column, Work
from daemon.storage.salvage import Trouble

CAPACITY = 8
FAR = 1 << 50


def opened(folder: Path, capacity: int = CAPACITY) -> Column:
    column = Column(folder, capacity)
    column.open(FAR)
    return column


def step(column: Column) -> Trouble | None:
    """Do what service and thread do once a second."""
    return column.take(column.work().run())


def drained(column: Column) -> list[int]:
    """Take out all entries."""
    values: list[int] = []
    while column.count:
        before, oldest = column.count, column.oldest
        column.drop_through(oldest)
        values += [oldest] * (before - column.count)
    assert column.oldest == NOTHING
    return values


def on_disk(folder: Path) -> list[int]:
    """Give what a start finds now, in a copy so that nothing changes."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        shutil.copytree(folder, copy)
        return drained(opened(copy))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no new file get any room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "column"


def test_it_starts_empty(folder):
    column = Column(folder, CAPACITY)
    found = column.open(FAR)
    assert (found.count, found.future, found.troubles) == (0, 0, [])
    assert (column.count, column.oldest, column.newest) == (0, NOTHING, 0)


def test_folder_and_files_are_private(folder):
    column = opened(folder)
    for value in range(1, 3 * CAPACITY):
        column.append(value)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_folder_open_to_others_is_made_private(folder):
    folder.mkdir(mode=0o755)
    opened(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


class ColumnBesideList(RuleBasedStateMachine):
    """Full disks, ends in good order and others, while work is under way: all in any order."""

    @initialize(capacity=st.integers(1, 9))
    def start(self, capacity):
        self.place = tempfile.TemporaryDirectory()
        self.folder = Path(self.place.name) / "column"
        self.capacity = capacity
        self.column = opened(self.folder, capacity)
        self.under_way: Work | None = None
        self.disk = ExitStack()
        self.values: list[int] = []
        self.limit, self.latest = 0, 1

    def teardown(self):
        self.disk.close()
        self.place.cleanup()
        assert drained(self.column) == self.values

    @rule(gaps=st.lists(st.integers(0, 3), min_size=1, max_size=12))
    def append(self, gaps):
        for gap in gaps:
            self.latest += gap
            self.values.append(self.latest)
            assert self.column.append(self.latest) == len(self.values)

    @rule(gaps=st.lists(st.integers(0, 9), min_size=1, max_size=12))
    def append_and_drop(self, gaps):
        for gap in gaps:
            self.latest += gap
            self.forget(self.latest - 10)
            self.values.append(self.latest)
            assert self.column.append(self.latest, self.limit) == len(self.values)

    @rule(behind=st.integers(1, 20))
    def drop(self, behind):
        self.forget(self.latest - behind)
        self.column.drop_through(self.limit)

    @precondition(lambda self: self.under_way is None)
    @rule()
    def begin_work(self):
        self.under_way = self.column.work()

    @rule()
    def end_work(self):
        self.column.take((self.under_way or self.column.work()).run())
        self.under_way = None

    @rule()
    def fill_disk(self):
        self.disk.close()
        self.disk.enter_context(full_disk())

    @rule()
    def make_room(self):
        self.disk.close()

    @rule()
    def close_and_open(self):
        self.make_room()
        self.end_work()
        assert self.column.close() is None
        self.reopen()

    @rule()
    def crash_and_open(self):
        self.make_room()
        self.end_work()
        while step(self.column):
            pass
        self.reopen()

    def forget(self, limit):
        self.limit = max(self.limit, limit)
        self.values = [value for value in self.values if value > self.limit]

    def reopen(self):
        self.column = Column(self.folder, self.capacity)
        found = self.column.open(self.latest)
        assert (found.future, found.troubles) == (0, [])
        self.column.drop_through(self.limit)

    @invariant()
    def is_the_list(self):
        assert self.column.count == len(self.values)
        assert self.column.oldest == (self.values[0] if self.values else NOTHING)
        assert self.column.newest == (self.values[-1] if self.values else 0)


ColumnBesideList.TestCase.settings = settings(deadline=None, max_examples=60)
TestColumnBesideList = ColumnBesideList.TestCase


def test_everything_is_on_disk_before_the_next_line_of_the_program(folder):
    column = opened(folder)
    for value in range(1, 3 * CAPACITY):
        column.append(value)
        assert on_disk(folder) == list(range(1, value + 1))


KILLED = """
import os, signal, sys
from pathlib import Path
from daemon.storage.mapped import Column
column = Column(Path(sys.argv[1]), 8)
column.open(1 << 50)
for value in range(1, int(sys.argv[2]) + 1):
    column.append(value)
    if value % 7 == 0:
        column.take(column.work().run())
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("count", [1, 8, 9, 30])
def test_a_killed_process_leaves_everything_behind(folder, count):
    killed = subprocess.run([sys.executable, "-c", KILLED, folder, str(count)], check=False)
    assert killed.returncode == -signal.SIGKILL
    for _ in range(3):
        column = Column(folder, CAPACITY)
        found = column.open(FAR)
        assert found.troubles == []
        assert found.count == count
    assert drained(column) == list(range(1, count + 1))


def test_files_that_were_passed_are_removed(folder):
    column = opened(folder)
    for value in range(1, 10 * CAPACITY + 1):
        column.append(value)
    assert len(names(folder)) == 10
    column.drop_through(7 * CAPACITY)
    assert step(column) is None
    assert len(names(folder)) == 4
    column.drop_through(FAR)
    assert step(column) is None
    assert len(names(folder)) == 2


def test_the_thread_makes_the_next_file_before_it_is_needed(folder):
    column = opened(folder)
    step(column)
    ahead = names(folder)
    for value in range(1, 2 * CAPACITY + 1):
        column.append(value)
    assert names(folder) == ahead
    column.append(FAR)
    assert len(names(folder)) == len(ahead) + 1


def test_a_closed_column_leaves_its_entries_and_no_more_than_one_file_beside(folder):
    column = opened(folder)
    for value in range(1, CAPACITY + 2):
        column.append(value)
    assert column.close() is None
    assert len(names(folder)) == 2
    column = opened(folder)
    column.drop_through(FAR)
    assert column.close() is None
    assert len(names(folder)) == 1


def test_the_disk_is_asked_to_sync_only_what_is_new(folder, monkeypatch):
    synced: list[str] = []
    fdatasync = os.fdatasync

    def count(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fdatasync(descriptor)

    column = opened(folder)
    monkeypatch.setattr(os, "fdatasync", count)
    step(column)
    assert synced == []
    column.append(1)
    step(column)
    assert synced == ["00000001.column", "column"]
    column.append(1)
    step(column)
    assert synced[2:] == ["00000001.column"]
    step(column)
    assert len(synced) == 3
    for _ in range(CAPACITY):
        column.append(1)
    step(column)
    assert synced[3:] == ["00000001.column", "00000002.column", "column"]


def test_on_a_full_disk_it_goes_on_in_memory_and_writes_that_later(folder):
    column = opened(folder)
    everything = list(range(1, 6 * CAPACITY))
    with full_disk():
        for value in everything[: 4 * CAPACITY]:
            column.append(value)
        trouble = step(column)
        assert trouble is not None
        assert trouble.part == STORING
        assert "File too large" in trouble.why
        assert step(column) == trouble
    assert column.count == 4 * CAPACITY
    assert on_disk(folder) == everything[:CAPACITY]
    for value in everything[4 * CAPACITY :]:
        column.append(value)
    while step(column):
        pass
    assert on_disk(folder) == everything
    column.drop_through(everything[-1])
    step(column)
    step(column)
    assert len(names(folder)) == 2


def test_it_opens_on_a_full_disk(folder):
    column = opened(folder)
    column.append(1)
    column = Column(folder, CAPACITY)
    with full_disk():
        found = column.open(FAR)
        assert [trouble.part for trouble in found.troubles] == [STORING]
        assert found.count == 1
        column.append(2)
    while step(column):
        pass
    assert on_disk(folder) == [1, 2]


def test_closing_on_a_full_disk_tells_that_entries_may_be_missing(folder):
    column = opened(folder)
    with full_disk():
        for value in range(1, CAPACITY + 2):
            column.append(value)
        assert column.close() is not None
    assert on_disk(folder) == list(range(1, CAPACITY + 1))


def test_closing_writes_what_was_in_memory_only(folder):
    column = opened(folder)
    with full_disk():
        for value in range(1, 2 * CAPACITY):
            column.append(value)
    assert column.close() is None
    assert on_disk(folder) == list(range(1, 2 * CAPACITY))


def test_a_disk_without_room_is_no_deadly_signal(tmp_path):
    """A mapped page without room behind it would be one; only a real disk shows it."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tsdaemon-test", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    try:
        column = opened(disk / "column", 4096)
        step(column)
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(150_000))
        everything = list(range(1, 5 * 4096))
        for value in everything[:-1]:
            column.append(value)
        trouble = step(column)
        assert trouble is not None
        assert "No space left on device" in trouble.why
        ballast.unlink()
        column.append(everything[-1])
        while step(column):
            pass
        column = opened(disk / "column", 4096)
        assert drained(column) == everything
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_files_that_someone_removes_are_written_again(folder):
    column = opened(folder)
    everything = list(range(1, 4 * CAPACITY))
    for value in everything[:-1]:
        column.append(value)
    step(column)
    shutil.rmtree(folder)
    trouble = step(column)
    assert trouble is not None
    assert "No such file" in trouble.why
    column.append(everything[-1])
    while step(column):
        pass
    assert on_disk(folder) == everything


def test_a_file_that_someone_puts_in_the_place_of_another_is_left_alone(folder):
    column = opened(folder)
    column.append(1)
    step(column)
    place = folder / "00000001.column"
    place.rename(folder / "elsewhere")
    place.write_bytes(b"mine")
    trouble = step(column)
    assert trouble is not None
    assert "another file has taken the place" in trouble.why
    while step(column):
        pass
    assert place.read_bytes() == b"mine"
    assert on_disk(folder) == [1]


def refusing(number: int) -> Callable[..., None]:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def test_what_the_disk_did_not_take_is_written_to_another_file(folder, monkeypatch):
    column = opened(folder)
    column.append(1)
    step(column)
    column.append(2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refusing(errno.EIO))
        trouble = step(column)
        assert trouble is not None
        assert "Input/output error" in trouble.why
        assert step(column) == trouble
    before = names(folder)
    while step(column):
        pass
    step(column)
    assert on_disk(folder) == [1, 2]
    assert "00000001.column" in before
    assert "00000001.column" not in names(folder)


def test_a_file_that_cannot_be_removed_is_removed_later(folder, monkeypatch):
    column = opened(folder)
    for value in range(1, CAPACITY + 2):
        column.append(value)
    column.drop_through(CAPACITY)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refusing(errno.EPERM))
        trouble = step(column)
        assert trouble is not None
        assert "Operation not permitted" in trouble.why
    assert step(column) is None
    assert "00000001.column" not in names(folder)


def test_without_a_folder_it_works_in_memory_until_there_is_one(tmp_path):
    folder = tmp_path / "missing" / "column"
    column = Column(folder, CAPACITY)
    found = column.open(FAR)
    assert [trouble.part for trouble in found.troubles] == [STORING]
    for value in range(1, 3 * CAPACITY):
        column.append(value)
    assert step(column) is not None
    folder.parent.mkdir()
    while step(column):
        pass
    assert on_disk(folder) == list(range(1, 3 * CAPACITY))


def test_entries_dropped_while_they_are_being_written_leave_no_file(folder):
    column = opened(folder)
    with full_disk():
        for value in range(1, 3 * CAPACITY + 1):
            column.append(value)
        step(column)
    step(column)
    work = column.work()
    column.drop_through(FAR)
    column.take(work.run())
    step(column)
    step(column)
    assert len(names(folder)) == 2
    assert on_disk(folder) == []


def test_it_works_when_there_are_no_more_descriptors(folder):
    column = opened(folder)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        for value in range(1, 3 * CAPACITY):
            column.append(value)
        trouble = step(column)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert trouble is not None
    assert "Too many open files" in trouble.why
    while step(column):
        pass
    assert on_disk(folder) == list(range(1, 3 * CAPACITY))


def test_an_entry_for_which_there_is_no_memory_is_refused_and_harms_nothing(folder, monkeypatch):
    column = opened(folder)
    for value in range(1, CAPACITY + 1):
        column.append(value)
    with monkeypatch.context() as patch:
        patch.setattr("mmap.mmap", refusing(errno.ENOMEM))
        with pytest.raises(OSError, match="Cannot allocate memory"):
            column.append(FAR)
    assert column.count == CAPACITY
    column.append(FAR)
    assert drained(column) == [*range(1, CAPACITY + 1), FAR]
