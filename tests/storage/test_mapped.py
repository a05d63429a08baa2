"""A column in mapped files, against a list."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
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

from daemon.storage.mapped import NOTHING, Column, Work
from tests.storage.columns import (
    CAPACITY,
    FAR,
    drained,
    full_disk,
    names,
    on_disk,
    opened,
    step,
)


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
