"""Numbered entries: what is kept, through which deaths, and what is told when it cannot be."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daemon.storage.ring import SHED_AT_ONCE, STORING, Ring
from daemon.storage.ringfiles import HEADER, HEADER_BYTES, boot_id
from daemon.storage.ringstart import SKIPPED
from daemon.storage.salvage import Trouble
from daemon.storage.segments import NewerFormatError
from tests.storage.columns import full_disk, refusing

VALUE_BYTES = 8
PIECE = 64
BOOT, NEXT_BOOT = b"b" * 16, b"c" * 16


def ring_in(folder: Path | None, boot: bytes = BOOT) -> tuple[Ring, list[Trouble]]:
    ring = Ring(folder, VALUE_BYTES, PIECE, boot)
    return ring, ring.open()


def value(number: int) -> bytes:
    return number.to_bytes(VALUE_BYTES, "big")


def fill(ring: Ring, count: int) -> None:
    for _ in range(count):
        ring.append(ring.next, value(ring.next))


def step(ring: Ring) -> Trouble | None:
    """Do what service and thread do once a second."""
    return ring.take(ring.work().run())


def held(ring: Ring) -> list[int]:
    """The numbers of all entries, each of which must have its own stamp and value."""
    numbers = [n for n in range(max(1, ring.first - 5), ring.next + 5) if ring.stamp(n)]
    assert [ring.stamp(number) for number in numbers] == numbers
    assert [ring.value(number) for number in numbers] == [value(number) for number in numbers]
    assert ring.count() == len(numbers)
    return numbers


def after_death(folder: Path, boot: bytes = BOOT) -> Ring:
    """Give what a start would find now, in a copy so that nothing changes."""
    copy = Path(tempfile.mkdtemp(dir=folder.parent)) / "copy"
    shutil.copytree(folder, copy)
    ring, _ = ring_in(copy, boot)
    return ring


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ring"


class Model(RuleBasedStateMachine):
    """A ring beside a list, through clean ends, kills and a disk that is full at times."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        self.folder = Path(self.place.name) / "ring"
        self.ring, _ = ring_in(self.folder)
        self.numbers: list[int] = []
        self.next = 1

    def teardown(self) -> None:
        self.place.cleanup()

    @rule(count=st.integers(1, 100))
    def append(self, count: int) -> None:
        fill(self.ring, count)
        self.numbers += range(self.next, self.next + count)
        self.next += count

    @rule()
    def drop_all(self) -> None:
        self.drop(len(self.numbers))

    @rule(count=st.integers(1, 150))
    def drop(self, count: int) -> None:
        self.numbers = self.numbers[count:]
        self.ring.drop_before(self.numbers[0] if self.numbers else self.next)

    @rule()
    def let_the_thread_work(self) -> None:
        assert step(self.ring) is None
        assert step(self.ring) is None
        assert len(list(self.folder.iterdir())) <= self.needed() + 2  # a spare one too

    @rule()
    def end_well_and_start(self) -> None:
        assert self.ring.close() is None
        self.start()

    @rule()
    def kill_and_start(self) -> None:
        self.start()

    @rule(count=st.integers(0, 300))
    def look_for_an_entry(self, count: int) -> None:
        expected = self.numbers[count] if count < len(self.numbers) else self.next
        assert self.ring.nth(count) == expected

    @rule(limit=st.integers(0, 300))
    def look_for_a_stamp(self, limit: int) -> None:
        above = [number for number in self.numbers if number > limit]
        assert self.ring.first_above(1, limit) == (above[0] if above else self.next)
        assert self.ring.count(limit + 1) == len(above)

    def start(self) -> None:
        self.ring, troubles = ring_in(self.folder)
        assert not troubles

    @invariant()
    def the_same_entries_are_there(self) -> None:
        assert self.ring.next == self.next
        assert self.ring.first == (self.numbers[0] if self.numbers else self.next)
        assert held(self.ring) == self.numbers

    @invariant()
    def no_piece_outlives_its_entries(self) -> None:
        assert self.ring.pieces <= self.needed() + 1

    def needed(self) -> int:
        return len({number // PIECE for number in [self.next, *self.numbers]})


Model.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestModel = Model.TestCase


def test_without_files_it_is_the_same(folder):
    ring, troubles = ring_in(None)
    fill(ring, 3 * PIECE)
    ring.drop_before(PIECE + 2)
    assert held(ring) == list(range(PIECE + 2, 3 * PIECE + 1))
    assert step(ring) is None
    assert not troubles
    assert not folder.exists()


@pytest.mark.parametrize("kept", [False, True])
def test_pieces_do_not_pile_up_when_each_entry_goes_as_the_next_one_comes(folder, kept):
    ring, _ = ring_in(folder if kept else None)
    for _ in range(10 * PIECE):
        ring.drop_before(ring.next)
        fill(ring, 1)
        assert ring.pieces == 1
    step(ring)
    step(ring)
    if kept:
        assert len(list(folder.iterdir())) == 2  # the one in use, and the next one


def test_very_many_pieces_are_given_back_little_by_little(folder):
    ring, _ = ring_in(folder)
    fill(ring, 3 * SHED_AT_ONCE * PIECE)
    ring.drop_before(ring.next - 1)
    assert held(ring) == [ring.next - 1]
    assert ring.pieces == 2 * SHED_AT_ONCE
    for _ in range(3):
        step(ring)
    assert ring.pieces == 1


def test_what_was_dropped_stays_dropped_after_a_start(folder):
    ring, _ = ring_in(folder)
    fill(ring, 10)
    ring.drop_before(6)
    assert held(after_death(folder)) == list(range(6, 11))
    assert ring.close() is None
    again, _ = ring_in(folder, NEXT_BOOT)
    assert held(again) == list(range(6, 11))
    fill(again, PIECE)
    assert after_death(folder, NEXT_BOOT).first == 6


def test_the_last_file_stays_while_the_disk_is_full_though_all_in_it_is_dropped(folder):
    ring, _ = ring_in(folder)
    fill(ring, 5)
    with full_disk():
        fill(ring, 3 * PIECE)
        ring.drop_before(ring.next)
        step(ring)
        again = ring_in(folder)[0]
    assert again.next >= ring.next
    step(ring)
    step(ring)
    assert ring.pieces == 1


def test_after_an_outage_files_know_what_was_dropped_and_the_lead(folder):
    ring, _ = ring_in(folder)
    with full_disk():
        ring.lead_by(500)
        fill(ring, 10)
        ring.drop_before(4)
        step(ring)
    step(ring)
    assert after_death(folder).first == 4
    assert after_death(folder).lead == 500
    ring.drop_before(7)
    assert held(after_death(folder)) == list(range(7, 11))
    with full_disk():
        fill(ring, PIECE)
        step(ring)
        fill(ring, PIECE)
        ring.drop_before(12)
    for _ in range(4):
        step(ring)
    assert after_death(folder).first == 12


def test_a_damaged_entry_before_the_oldest_one_leaves_the_ring_usable(folder):
    ring, _ = ring_in(folder)
    fill(ring, 10)
    ring.drop_before(9)
    (path,) = folder.glob("0000000000-*")
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES + 2 * 8)
        file.write(bytes(8))
    again, _ = ring_in(folder)
    assert held(again) == []
    assert again.next > 10, "numbers would be given twice"
    fill(again, 1)
    assert held(again) == [again.next - 1]


def copied_because_of(error: int, ring: Ring, refused: Path) -> None:
    """Have the thread give up a file that the disk refuses, and write another instead."""
    really = os.open

    def refuse(path: Any, *words: Any, **options: Any) -> int:
        if str(path) == str(refused):
            raise OSError(error, os.strerror(error))
        return really(path, *words, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", refuse)
        assert step(ring) is not None
    step(ring)


def two_files_of_one_stretch(folder: Path, serial: int) -> tuple[Path, Path]:
    """Leave two behind, as a kill does that comes between a copy and the removal of the other.

    :param serial: of the file that was refused.
    :returns: the one that was refused, and its copy.
    """
    ring, _ = ring_in(folder)
    fill(ring, 10)
    (path,) = folder.glob("0000000000-*")
    refused = path.rename(path.with_name(f"0000000000-{serial}.ring"))
    ring, _ = ring_in(folder)
    kept = refused.read_bytes()
    fill(ring, 1)
    copied_because_of(errno.EMFILE, ring, refused)
    fill(ring, 1)
    (copy,) = set(folder.glob("0000000000-*")) - {refused}
    refused.write_bytes(kept)
    return refused, copy


def test_a_copy_with_more_entries_takes_the_place_of_the_file_that_was_refused(folder):
    refused, copy = two_files_of_one_stretch(folder, 57)
    ring, troubles = ring_in(folder)
    assert held(ring) == list(range(1, 13))
    assert troubles == []
    assert not refused.exists()
    assert copy.exists()


def test_a_file_goes_only_when_the_disk_has_its_copy(folder, monkeypatch):
    refused, copy = two_files_of_one_stretch(folder, 57)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", refusing(errno.EIO))
        ring, _ = ring_in(folder)
    assert held(ring) == list(range(1, 13))
    assert refused.exists()
    assert copy.exists()


def test_what_lies_behind_a_damaged_place_is_moved_aside_and_not_removed(folder):
    """Bug: a file without a readable entry was taken for a copy of any other."""
    _, copy = two_files_of_one_stretch(folder, 57)
    with copy.open("r+b") as file:
        file.seek(HEADER_BYTES)
        file.write(bytes(8))
    ring, troubles = ring_in(folder, NEXT_BOOT)
    assert held(ring) == list(range(1, 11))
    assert any("another file has these entries" in trouble.why for trouble in troubles)


@pytest.mark.parametrize("serial", [1, 57])
def test_numbers_of_a_stretch_that_only_one_of_two_files_knows_of_come_once(folder, serial):
    """Bug: it was looked for in the file whose name came last."""
    refused, copy = two_files_of_one_stretch(folder, serial)
    with copy.open("r+b") as file:
        content = bytearray(file.read(HEADER.size))
        fields = list(HEADER.unpack(content))
        fields[7] = 1
        file.seek(0)
        file.write(HEADER.pack(*fields))
    ring, _ = ring_in(folder)
    assert ring.next > 2 * PIECE
    assert not refused.exists()


def test_entries_added_behind_a_damaged_oldest_number_are_there_at_the_next_start(folder):
    """Bug: the start went on in a file that was taken for empty, with stamps of any age."""
    ring, _ = ring_in(folder)
    fill(ring, 10)
    assert ring.close() is None
    (path,) = folder.glob("0000000000-*")
    with path.open("r+b") as file:
        file.seek(HEADER.size - 8)
        file.write((PIECE - 1).to_bytes(8, sys.byteorder))
    again, _ = ring_in(folder)
    assert again.newest == 0
    for _ in range(PIECE):
        again.append(1, value(again.next))
    added = range(again.next - PIECE, again.next)
    assert again.close() is None
    last, _ = ring_in(folder)
    assert [last.value(number) for number in added] == [value(number) for number in added]
    assert [last.stamp(number) for number in added] == [1] * PIECE


def test_the_longest_lead_is_kept_as_long_as_its_entries(folder):
    ring, _ = ring_in(folder)
    ring.lead_by(500)
    fill(ring, 5)
    again = after_death(folder)
    assert again.lead == 500
    again.lead_by(20)
    assert again.lead == 500
    fill(again, PIECE)
    again.drop_before(again.next)
    assert again.lead == 20
    assert again.close() is None


def test_a_piece_holds_no_descriptor_where_python_can_do_without(folder):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # a snapshot
    ring, _ = ring_in(folder)
    fill(ring, 10 * PIECE)
    held_by_each = 0 if sys.version_info >= (3, 13) else 1
    assert len(os.listdir("/proc/self/fd")) == before + 10 * held_by_each  # noqa: PTH208
    assert ring.close() is None
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_files_are_private_and_those_passed_are_removed(folder):
    ring, _ = ring_in(folder)
    fill(ring, 3 * PIECE)
    step(ring)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    before = len(list(folder.iterdir()))
    ring.drop_before(2 * PIECE + 5)
    step(ring)
    assert len(list(folder.iterdir())) == before - 2


def test_the_next_piece_is_made_before_it_is_needed(folder, monkeypatch):
    ring, _ = ring_in(folder)
    fill(ring, 1)
    step(ring)
    monkeypatch.setattr(os, "posix_fallocate", refusing(errno.ENOSPC))
    fill(ring, PIECE)
    monkeypatch.undo()
    assert held(after_death(folder)) == list(range(1, PIECE + 2))


def test_numbers_do_not_come_again_when_all_entries_are_dropped(folder):
    ring, _ = ring_in(folder)
    fill(ring, 2 * PIECE)
    ring.drop_before(ring.next)
    assert ring.close() is None
    again, _ = ring_in(folder)
    assert again.next == 2 * PIECE + 1


def test_numbers_do_not_come_again_after_a_loss_of_power(folder):
    ring, _ = ring_in(folder)
    fill(ring, PIECE + 5)
    again, _ = ring_in(folder, NEXT_BOOT)
    assert again.next >= SKIPPED * PIECE
    assert held(again) == list(range(1, PIECE + 6))
    first = again.next
    fill(again, 1)
    assert held(again) == [*range(1, PIECE + 6), first]
    assert again.count(PIECE) == 7
    assert again.first_above(1, PIECE + 5) == first


def test_after_a_clean_end_nothing_is_skipped_in_the_next_run_of_the_machine(folder):
    ring, _ = ring_in(folder)
    fill(ring, PIECE + 5)
    assert ring.close() is None
    again, _ = ring_in(folder, NEXT_BOOT)
    assert again.next == PIECE + 6


def test_what_a_loss_of_power_took_half_of_is_not_there(folder):
    ring, _ = ring_in(folder)
    fill(ring, 20)
    (path,) = folder.glob("0000000000-*")
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES + PIECE * 8 + 9 * VALUE_BYTES)
        file.write(bytes(VALUE_BYTES))
    again, _ = ring_in(folder, NEXT_BOOT)
    assert held(again) == list(range(1, 10))
    once_more, _ = ring_in(folder, NEXT_BOOT)
    assert held(once_more) == list(range(1, 10))
    assert once_more.next == again.next


def test_a_kill_between_value_and_stamp_leaves_no_entry(folder):
    ring, _ = ring_in(folder)
    fill(ring, 5)
    (path,) = folder.glob("0000000000-*")
    with path.open("r+b") as file:
        file.seek(HEADER_BYTES + PIECE * 8 + 5 * VALUE_BYTES)
        file.write(b"x" * VALUE_BYTES)
    again, _ = ring_in(folder)
    assert again.next == 6
    fill(again, 1)
    assert held(again) == list(range(1, 7))


def test_a_torn_file_keeps_its_readable_part(folder):
    ring, _ = ring_in(folder)
    fill(ring, 20)
    (path,) = folder.glob("0000000000-*")
    os.truncate(path, HEADER_BYTES + PIECE * 8 + 10 * VALUE_BYTES)
    again, troubles = ring_in(folder)
    assert held(again) == list(range(1, 11))
    assert "torn" in troubles[0].why
    assert again.next > 21
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", ["foreign", "header", "short", "folder", "long", "link"])
def test_what_is_unreadable_is_set_aside_and_its_numbers_are_not_used_again(folder, damage):
    ring, _ = ring_in(folder)
    fill(ring, 2 * PIECE + 5)
    (path,) = folder.glob("0000000002-*")
    if damage == "foreign":
        path.write_bytes(b"hello")
    elif damage == "header":
        with path.open("r+b") as file:
            file.seek(24)
            file.write(b"\xff" * 8)
    elif damage == "short":
        os.truncate(path, 10)
    elif damage == "long":
        os.truncate(path, 1 << 20)
    else:
        path.unlink()
        path.mkdir() if damage == "folder" else path.symlink_to(folder / "elsewhere")
    again, troubles = ring_in(folder)
    assert [trouble.part for trouble in troubles] == [path.name]
    assert held(again) == list(range(1, 2 * PIECE + 1))
    assert again.next == 3 * PIECE + 1
    assert list(folder.glob("*.aside-1"))
    # Without a number having been given, the start after that must know too.
    once_more, troubles = ring_in(folder)
    assert not troubles
    assert once_more.next == 3 * PIECE + 1


def test_when_nothing_is_readable_numbers_go_on_behind_all_files(folder):
    ring, _ = ring_in(folder)
    fill(ring, 5)
    for path in folder.iterdir():
        path.write_bytes(b"hello")
    again, troubles = ring_in(folder)
    assert troubles
    assert again.next > PIECE
    assert again.first == again.next
    once_more, _ = ring_in(folder)
    assert once_more.next == again.next


@pytest.mark.parametrize("index", [9_000_000_000, 10**15])
def test_a_file_with_a_wild_name_keeps_nobody_from_starting_and_looking(folder, index):
    ring, _ = ring_in(folder)
    fill(ring, PIECE + 5)
    (folder / f"{index:010}-1.ring").write_bytes(b"foreign")
    again, troubles = ring_in(folder)
    assert [trouble.part for trouble in troubles] == [f"{index:010}-1.ring"]
    assert again.next == (index + 1) * PIECE + 1
    assert again.first_above(1, PIECE + 4) == PIECE + 5
    assert again.first_above(1, PIECE + 5) == again.next
    assert again.append(1000, value(7)) == again.next - 1
    assert again.first_above(1, PIECE + 5) == again.next - 1
    assert again.close() is None


@pytest.mark.parametrize("name", ["999999999999999999-1.ring", "100000000000000000-1.ring"])
def test_a_name_beyond_all_numbers_is_no_reason_to_leave_numbers_out(folder, name):
    ring, _ = ring_in(folder)
    fill(ring, 5)
    (folder / name).write_bytes(b"foreign")
    again, troubles = ring_in(folder)
    assert [trouble.part for trouble in troubles] == [name]
    assert held(again) == [1, 2, 3, 4, 5]
    assert again.append(6, value(6)) == 6


@pytest.mark.parametrize("reach", [1 << 57, (1 << 63) - 1, -1])
def test_a_header_that_knows_of_impossible_numbers_is_damaged(folder, reach):
    ring, _ = ring_in(folder)
    fill(ring, 5)
    (path,) = folder.glob("0000000000-*")
    with path.open("r+b") as file:
        file.seek(64)  # behind magic, version, shape, index, boot and state
        file.write(reach.to_bytes(8, sys.byteorder, signed=True))
    again, troubles = ring_in(folder)
    assert [trouble.part for trouble in troubles] == [path.name]
    assert again.append(6, value(6)) == PIECE + 1


def test_a_newer_format_is_left_alone(folder):
    ring, _ = ring_in(folder)
    fill(ring, 5)
    (path,) = folder.glob("0000000000-*")
    with path.open("r+b") as file:
        file.seek(8)
        file.write((2).to_bytes(8, "little"))
    before = path.read_bytes()
    with pytest.raises(NewerFormatError, match="format 2"):
        ring_in(folder)
    assert path.read_bytes() == before


def test_beside_a_newer_format_nothing_is_mended(folder):
    ring, _ = ring_in(folder)
    fill(ring, PIECE + 5)
    (torn,) = folder.glob("0000000000-*")
    os.truncate(torn, HEADER_BYTES + 100)
    (newer,) = folder.glob("0000000001-*")
    with newer.open("r+b") as file:
        file.seek(8)
        file.write((2).to_bytes(8, sys.byteorder))
    with pytest.raises(NewerFormatError, match="format 2"):
        ring_in(folder)
    assert torn.stat().st_size == HEADER_BYTES + 100


def test_of_two_files_for_the_same_entries_the_fuller_one_counts(folder):
    ring, _ = ring_in(folder)
    fill(ring, 5)
    (path,) = folder.glob("0000000000-*")
    shutil.copy(path, folder / "0000000000-77.ring")
    fill(ring, 5)
    again, troubles = ring_in(folder)
    assert held(again) == list(range(1, 11))
    assert troubles == []
    assert not (folder / "0000000000-77.ring").exists()


def test_a_file_of_other_entries_for_the_same_numbers_is_moved_aside(folder):
    ring, _ = ring_in(folder)
    fill(ring, 5)
    (path,) = folder.glob("0000000000-*")
    content = bytearray(path.read_bytes())
    content[4096 : 4096 + 8] = content[4096 + 8 : 4096 + 16]
    (folder / "0000000000-77.ring").write_bytes(content)
    fill(ring, 5)
    again, troubles = ring_in(folder)
    assert held(again) == list(range(1, 11))
    assert troubles[0].part == "0000000000-77.ring"


@pytest.mark.parametrize("begun", [0, 5, PIECE])
def test_a_full_disk_stops_nothing_and_what_is_in_memory_is_written_later(folder, begun):
    ring, _ = ring_in(folder)
    fill(ring, begun)
    with full_disk():
        trouble = step(ring)
        fill(ring, 3 * PIECE)
        trouble = step(ring) or trouble
        assert trouble is not None
        assert trouble.part == STORING
        assert held(ring) == list(range(1, 3 * PIECE + begun + 1))
    for _ in range(6):
        step(ring)
    assert step(ring) is None
    assert held(ring) == list(range(1, 3 * PIECE + begun + 1))
    assert held(after_death(folder)) == held(ring)
    fill(ring, 1)
    assert held(after_death(folder)) == held(ring)


def test_numbers_that_were_in_memory_only_do_not_come_again_after_a_kill(folder):
    ring, _ = ring_in(folder)
    fill(ring, 5)
    with full_disk():
        fill(ring, 3 * PIECE)
        step(ring)
        again = ring_in(folder)[0]
    assert again.next >= ring.next
    assert again.count() == PIECE


def test_a_close_writes_what_is_in_memory_if_it_can(folder):
    ring, _ = ring_in(folder)
    with full_disk():
        fill(ring, 2 * PIECE)
        step(ring)
    assert ring.close() is None
    again, _ = ring_in(folder, NEXT_BOOT)
    assert held(again) == list(range(1, 2 * PIECE + 1))


def test_a_close_on_a_full_disk_says_what_is_missing(folder):
    ring, _ = ring_in(folder)
    with full_disk():
        fill(ring, 5)
        trouble = ring.close()
    assert trouble is not None
    assert trouble.part == STORING


def test_a_file_that_was_taken_away_is_noticed_and_made_anew(folder):
    ring, _ = ring_in(folder)
    fill(ring, 5)
    step(ring)
    (path,) = folder.glob("0000000000-*")
    path.unlink()
    assert step(ring) is not None
    step(ring)
    assert step(ring) is None
    fill(ring, 1)
    assert held(after_death(folder)) == list(range(1, 7))


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    ring, troubles = ring_in(tmp_path / "file")
    assert troubles[0].part == STORING
    fill(ring, 5)
    assert held(ring) == list(range(1, 6))
    assert step(ring) is not None


def test_a_disk_that_refuses_to_sync_is_told(folder, monkeypatch):
    ring, _ = ring_in(folder)
    fill(ring, 5)
    monkeypatch.setattr(os, "fdatasync", refusing(errno.EIO))
    assert step(ring) is not None


@given(st.lists(st.integers(1, 100), max_size=200), st.integers(1, 100))
def test_stamps_are_lowered_to_a_limit(stamps, limit):
    ring, _ = ring_in(None)
    for stamp in sorted(stamps):
        ring.append(stamp, value(1))
    ring.lower(limit)
    lowered = [ring.stamp(number) for number in range(1, ring.next)]
    assert lowered == [min(stamp, limit) for stamp in sorted(stamps)]


def test_the_machine_tells_its_runs_apart():
    assert boot_id() == boot_id()
    assert len(boot_id()) == 16
