"""A column whose disk is full, whose files go away, or are refused."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from pathlib import Path

import pytest

from daemon.storage.mapped import STORING, Column
from tests.small_disk import small_disk_in
from tests.storage.columns import (
    CAPACITY,
    FAR,
    drained,
    full_disk,
    names,
    on_disk,
    opened,
    refusing,
    step,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "column"


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
    with small_disk_in(tmp_path, "256k") as disk:
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
