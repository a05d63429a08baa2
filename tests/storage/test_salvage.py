"""What a column makes of damaged, foreign and missing files."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.storage.mapped import Column, Opened
from daemon.storage.segments import HEADER, MAGIC, VERSION, NewerFormatError
from tests.storage.columns import CAPACITY, FAR, drained, on_disk, opened, refusing, step


@pytest.fixture
def folder(tmp_path):
    """A column of 1 to 28 in four files, the last one half full."""
    folder = tmp_path / "column"
    column = opened(folder)
    for value in range(1, 29):
        column.append(value)
    return folder


def file(folder: Path, number: int) -> Path:
    return folder / f"{number:08}.column"


def reopened(folder: Path, latest: int = FAR) -> tuple[Opened, list[int]]:
    """Open it; what was found, and all entries. Checks that the next start finds the same."""
    column = Column(folder, CAPACITY)
    found = column.open(latest)
    values = drained(column)
    assert found.count == len(values)
    assert on_disk(folder) == values
    return found, values


def copies(folder: Path) -> set[str]:
    """Name the files that hold the entries of the second one."""
    return {
        path.name
        for path in folder.glob("*.column")
        if HEADER.unpack(path.read_bytes()[: HEADER.size])[-1] == CAPACITY
    }


def whys(found: Opened) -> str:
    return "\n".join(trouble.why for trouble in found.troubles)


def again(folder: Path, latest: int = FAR) -> Opened:
    """Open it once more: what was cleaned is not told twice."""
    return Column(folder, CAPACITY).open(latest)


@pytest.mark.parametrize("last", [0, 1, 7, 8, 9, 23, 24, 25, 27])
def test_entries_of_the_future_are_dropped_for_good(folder, last):
    found, values = reopened(folder, last)
    assert values == list(range(1, last + 1))
    assert found.future == 28 - last
    assert found.troubles == []
    found = again(folder)
    assert (found.count, found.future, found.troubles) == (last, 0, [])


def test_after_entries_of_the_future_new_ones_follow_in_order(folder):
    column = Column(folder, CAPACITY)
    column.open(10)
    column.append(10)
    column = Column(folder, CAPACITY)
    assert column.open(10).troubles == []
    assert drained(column) == [*range(1, 11), 10]


@pytest.mark.parametrize("size", [HEADER.size + 8 * 3, HEADER.size + 8 * 3 + 5])
def test_a_torn_file_at_the_end_keeps_its_readable_part(folder, size):
    os.truncate(file(folder, 4), size)
    found, values = reopened(folder)
    assert values == list(range(1, 28))
    assert "00000004.column was torn: 3 entries of it are readable" in whys(found)
    assert again(folder).troubles == []


def test_a_torn_file_in_the_middle_keeps_its_readable_part_and_all_others(folder):
    with file(folder, 2).open("r+b") as torn:
        torn.seek(HEADER.size + 8 * 3)
        torn.write(bytes(8))
    found, values = reopened(folder)
    assert values == [v for v in range(1, 29) if not 12 <= v <= 16]
    assert "00000002.column was torn" in whys(found)
    assert "5 entries before those of" in whys(found)


def test_a_file_missing_in_the_middle_is_told(folder):
    file(folder, 2).unlink()
    found, values = reopened(folder)
    assert values == [v for v in range(1, 29) if not 9 <= v <= 16]
    assert "8 entries before those of" in whys(found)


def test_a_file_missing_at_the_start_is_one_that_was_passed(folder):
    file(folder, 1).unlink()
    found, values = reopened(folder)
    assert values == list(range(9, 29))
    assert found.troubles == []


def test_a_copy_of_a_file_is_removed(folder):
    """A crash leaves one that comes between the copy of a file and its removal."""
    shutil.copy(file(folder, 2), folder / "copy.column")
    shutil.copy(file(folder, 2), folder / "shorter.column")
    with (folder / "shorter.column").open("r+b") as begun:
        begun.seek(HEADER.size + 3 * 8)
        begun.write(bytes(5 * 8))
    found, values = reopened(folder)
    assert values == list(range(1, 29))
    assert found.troubles == []
    assert len(copies(folder)) == 1


def test_of_two_equal_files_the_one_stays_that_was_written_last(folder):
    """Bug: it was made because the disk had refused the other, which was kept for its name."""
    shutil.copy(file(folder, 2), folder / "z.column")
    os.utime(file(folder, 2), (1, 1))
    _, values = reopened(folder)
    assert values == list(range(1, 29))
    assert copies(folder) == {"z.column"}


def test_a_copy_stays_while_the_disk_refuses_the_other(folder, monkeypatch):
    shutil.copy(file(folder, 2), folder / "z.column")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refusing(errno.EIO))
        found, values = reopened(folder)
    assert values == list(range(1, 29))
    assert "cannot be removed" in whys(found)
    assert len(copies(folder)) == 2


def test_a_torn_file_is_no_copy(folder):
    """Bug: what may lie behind the damaged place went with it."""
    shutil.copy(file(folder, 2), folder / "torn.column")
    os.truncate(folder / "torn.column", HEADER.size + 3 * 8)
    found, values = reopened(folder)
    assert values == list(range(1, 29))
    assert "it is now called torn.column.aside" in whys(found)


def test_a_copy_that_cannot_be_removed_is_told_and_counts_once(folder, monkeypatch):
    shutil.copy(file(folder, 2), folder / "copy.column")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refusing(30))
        found, values = reopened(folder)
    assert values == list(range(1, 29))
    assert "cannot be removed" in whys(found)


def test_a_file_of_other_entries_in_the_same_place_is_moved_aside(folder):
    content = bytearray(file(folder, 2).read_bytes())
    content[HEADER.size + 8 : HEADER.size + 16] = content[HEADER.size : HEADER.size + 8]
    (folder / "copy.column").write_bytes(content)
    found, values = reopened(folder)
    assert len(values) == 28
    assert "has the same entries" in whys(found)
    assert "it is now called" in whys(found)


def test_files_are_put_in_order_by_what_they_hold(folder):
    file(folder, 1).rename(folder / "z.column")
    found, values = reopened(folder)
    assert values == list(range(1, 29))
    assert found.troubles == []


def test_entries_that_go_back_behind_others_are_moved_aside(folder):
    place = file(folder, 3)
    place.write_bytes(
        HEADER.pack(MAGIC, VERSION, 8, 16) + b"".join(bytes([v, *[0] * 7]) for v in range(1, 9))
    )
    found, values = reopened(folder)
    assert values == [v for v in range(1, 29) if not 17 <= v <= 24]
    assert "its entries are older than those of 00000002.column" in whys(found)


def test_a_last_entry_that_cannot_be_true_costs_no_others(folder):
    with file(folder, 2).open("r+b") as damaged:
        damaged.seek(-8, os.SEEK_END)
        damaged.write(FAR.to_bytes(8, "little"))
    found, values = reopened(folder, 1000)
    assert values == [v for v in range(1, 29) if v != 16]
    assert found.future == 1


def test_a_foreign_file_is_moved_aside_unchanged_and_a_second_one_too(folder):
    for content in (b"mine", b"mine too"):
        (folder / "notes.column").write_bytes(content)
        found, values = reopened(folder)
        assert values == list(range(1, 29))
        assert "notes.column is not used: it is no file of this program" in whys(found)
    assert (folder / "notes.column.aside-1").read_bytes() == b"mine"
    assert (folder / "notes.column.aside-2").read_bytes() == b"mine too"


def test_a_folder_in_the_place_of_a_file_is_moved_aside(folder):
    file(folder, 9).mkdir()
    found, values = reopened(folder)
    assert values == list(range(1, 29))
    assert "it is no regular file" in whys(found)
    assert (folder / "00000009.column.aside-1").is_dir()


def test_an_empty_file_is_new(folder):
    file(folder, 9).touch()
    found, values = reopened(folder)
    assert values == list(range(1, 29))
    assert found.troubles == []


def test_a_file_cut_down_to_its_header_is_told(folder):
    os.truncate(file(folder, 4), HEADER.size)
    found, values = reopened(folder)
    assert values == list(range(1, 25))
    assert "0 entries of it are readable" in whys(found)


def test_stray_files_are_left_alone(folder):
    (folder / "README").write_text("mine")
    found, _ = reopened(folder)
    assert found.troubles == []
    assert (folder / "README").read_text() == "mine"


def test_a_newer_format_stops_the_start_and_changes_no_file(folder):
    file(folder, 1).write_bytes(b"foreign")
    os.truncate(file(folder, 2), 50)
    file(folder, 3).write_bytes(b"")
    file(folder, 9).write_bytes(HEADER.pack(MAGIC, VERSION + 1, 1, 1))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(NewerFormatError):
        Column(folder, CAPACITY).open(5)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("kind", ["file", "link to nowhere"])
def test_what_is_in_the_place_of_the_folder_is_moved_aside(tmp_path, kind):
    folder = tmp_path / "column"
    if kind == "file":
        folder.write_text("mine")
    else:
        folder.symlink_to("nowhere")
    found, values = reopened(folder)
    assert values == []
    assert "it is no folder" in whys(found)
    assert os.path.lexists(tmp_path / "column.aside-1")


def test_what_cannot_be_moved_or_cut_is_told_and_disturbs_no_later_start(folder, monkeypatch):
    file(folder, 9).write_bytes(b"foreign")
    column = Column(folder, CAPACITY)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refusing(30))
        patch.setattr(os, "truncate", refusing(30))
        patch.setattr(Path, "unlink", refusing(30))
        patch.setattr(Path, "chmod", refusing(30))
        found = column.open(20)
    assert (found.count, found.future) == (20, 8)
    assert "it stays where it is" in whys(found)
    assert "keeps entries that it should not have" in whys(found)
    column.append(28)
    step(column)
    found, values = reopened(folder)
    assert values == [*range(1, 29), 28]
    assert "same entries" not in whys(found)


def test_a_hole_that_may_not_grow_back_leaves_the_entries_readable(folder, monkeypatch):
    truncate = os.truncate

    def only_smaller(path: Path, size: int) -> None:
        if size > path.stat().st_size:
            raise OSError(27, "File too large")
        truncate(path, size)

    with monkeypatch.context() as patch:
        patch.setattr(os, "truncate", only_smaller)
        assert again(folder, 12).count == 12
    assert again(folder).count == 12


def damage(path: Path, kind: str, where: int, rubbish: bytes) -> None:
    """Harm a file; its format version stays as it is, as a newer one is no damage."""
    size = path.stat().st_size
    match kind:
        case "truncate":
            os.truncate(path, min(where, size))
        case "zero tail":
            os.truncate(path, min(where, size))
            os.truncate(path, size)
        case "overwrite":
            with path.open("r+b") as damaged:
                damaged.seek(max(where, 16))
                damaged.write(rubbish)
        case "remove":
            path.unlink()
        case "copy":
            shutil.copy(path, path.with_name(f"copy of {path.name}"))
        case "lengthen":
            os.truncate(path, size + where)


damages = st.tuples(
    st.integers(1, 5),
    st.sampled_from(["truncate", "zero tail", "overwrite", "remove", "copy", "lengthen"]),
    st.integers(0, 120),
    st.binary(min_size=1, max_size=16),
)


@given(st.integers(0, 40), st.lists(damages, max_size=4))
@settings(deadline=None)
def test_no_damage_stops_a_start_or_disturbs_the_order(count, harm):
    """Whatever was damaged: a start works, all is in order, and a second start has the same."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "column"
        column = opened(folder)
        for value in range(1, count + 1):
            column.append(value)
        for number, kind, where, rubbish in harm:
            if file(folder, number).exists():
                damage(file(folder, number), kind, where, rubbish)
        column = Column(folder, CAPACITY)
        found = column.open(1000)
        column.append(1000)
        step(column)
        values = drained(column)
        assert values == sorted(values)
        assert len(values) == found.count + 1
        assert on_disk(folder) == values
        if not harm:
            assert values == [*range(1, count + 1), 1000]
