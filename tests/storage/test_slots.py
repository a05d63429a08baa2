"""The file of two slots: what was written is read back, whatever happens to a later write."""

from __future__ import annotations

import errno
import os
import resource
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.storage.slots import CAPACITY, FORMAT, SLOT_BYTES, NewerFormatError, Opened, Slots
from tests.storage.disk import Disk, fail

FILE_BYTES = 2 * SLOT_BYTES

values = st.binary(max_size=700) | st.binary(min_size=CAPACITY, max_size=CAPACITY)


def of_any_kind(value: bytes) -> bytes:
    return value


def not_foreign(value: bytes) -> None:
    if value.startswith(b"foreign"):
        raise ValueError("foreign")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "value"


@contextmanager
def opened(path: Path) -> Iterator[tuple[Slots, Opened]]:
    slots = Slots(path, not_foreign)
    try:
        yield slots, slots.open()
    finally:
        slots.close()


def found(path: Path) -> Opened:
    """What the next daemon would find."""
    with opened(path) as (_, what):
        return what


def written(path: Path, *many: bytes) -> bytes:
    """Write values one after another, and give the file's content."""
    with opened(path) as (slots, _):
        for value in many:
            slots.write(value)
    return path.read_bytes()


def slot(version: int, sequence: int, value: bytes) -> bytes:
    """A slot, made after the description of the format and not by the code."""
    head = struct.pack("<8sIIQ", b"tsdslots", version, len(value), sequence)
    return (head + struct.pack("<I", crc32(head + value)) + value).ljust(SLOT_BYTES, b"\0")


def test_a_file_that_is_absent_is_new_and_private(path):
    assert found(path) == Opened()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == FILE_BYTES


def test_an_empty_file_is_new_and_becomes_private(path):
    path.touch(mode=0o644)
    assert found(path) == Opened()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("size_bytes", [1, 100, SLOT_BYTES, FILE_BYTES])
def test_a_file_that_was_made_and_never_written_to_is_new(path, size_bytes):
    path.write_bytes(bytes(size_bytes))
    assert found(path) == Opened()
    assert written(path, b"1")
    assert found(path).value == b"1"


@settings(deadline=None)  # a disk takes the time that it takes
@given(many=st.lists(values, min_size=1, max_size=6))
def test_the_last_value_written_is_read_back_at_each_of_two_starts(tmp_path_factory, many):
    path = tmp_path_factory.mktemp("slots") / "value"
    written(path, *many)
    assert found(path) == found(path) == Opened(many[-1])


def test_values_written_by_one_start_after_another_take_turns(path):
    for number in range(5):
        written(path, b"%d" % number)
        assert found(path).value == b"%d" % number


def test_a_file_is_as_its_format_says(path):
    assert written(path, b"first", b"second") == slot(1, 1, b"first") + slot(1, 2, b"second")


def test_later_writes_do_not_make_the_file_longer_nor_need_new_blocks(path):
    written(path, b"1")
    before = path.stat().st_blocks
    written(path, *[b"%d" % number for number in range(10)])
    assert path.stat().st_size == FILE_BYTES
    assert path.stat().st_blocks == before


def test_a_value_may_be_empty_and_not_too_long(path):
    written(path, b"")
    assert found(path).value == b""
    with opened(path) as (slots, _), pytest.raises(ValueError, match=str(CAPACITY)):
        slots.write(bytes(CAPACITY + 1))
    assert found(path).value == b""


@pytest.mark.parametrize("many", [1, 2, 3])
def test_a_write_torn_at_any_byte_leaves_the_value_before(path, many):
    before = written(path, *[b"old %d" % number for number in range(many)])
    after = written(path, b"the new value")
    changed = [at for at in range(FILE_BYTES) if before[at] != after[at]]
    for end in range(changed[0], changed[-1] + 1):
        path.write_bytes(after[:end] + before[end:])
        what = found(path)
        assert what.value == b"old %d" % (many - 1), end
        assert what.trouble is None
        assert what.torn or end == changed[0] or not any(after[changed[0] : end])
    path.write_bytes(after)
    assert found(path) == Opened(b"the new value")


def test_any_byte_gone_bad_in_one_slot_leaves_the_other(path):
    good = written(path, b"old", b"new")
    for at in range(SLOT_BYTES, SLOT_BYTES + len(good[SLOT_BYTES:].rstrip(b"\0"))):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        assert found(path) == Opened(b"old", torn=True), at


def test_a_torn_slot_is_written_to_next(path):
    content = written(path, b"old", b"new")
    path.write_bytes(content[:SLOT_BYTES] + b"torn" + content[SLOT_BYTES + 4 :])
    written(path, b"newer")
    assert found(path) == Opened(b"newer")


@pytest.mark.parametrize(
    ("length", "value"),
    [(SLOT_BYTES, b"old"), (SLOT_BYTES + 1, b"old"), (FILE_BYTES - 1, b"new")],
)
def test_a_file_that_was_cut_off_keeps_what_is_whole(path, length, value):
    content = written(path, b"old", b"new")
    path.write_bytes(content[:length])
    assert found(path).value == value
    written(path, b"newer")
    assert found(path) == Opened(b"newer")
    assert path.stat().st_size == FILE_BYTES


FOREIGN = {
    "text": b"something else entirely\n",
    "one byte": b"x",
    "as long as ours": b"x" * FILE_BYTES,
    "longer zeros": bytes(FILE_BYTES + 1),
    "both slots torn": slot(1, 1, b"a value")[:30].ljust(SLOT_BYTES, b"\0") + b"tsdslots",
    "another kind of value": slot(1, 1, b"foreign") + slot(1, 2, b"foreign too"),
    "a length beyond the slot": struct.pack("<8sIIQI", b"tsdslots", 1, 1 << 31, 1, 0),
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_damaged_or_foreign_file_is_moved_aside_and_reported(path, content):
    path.write_bytes(content)
    with opened(path) as (slots, what):
        slots.write(b"new")
    aside = path.with_name("value.aside-1")
    assert what.value is None
    assert what.moved_to == aside
    assert aside.read_bytes() == content
    assert what.trouble is not None
    assert aside.name in what.trouble
    assert "\n" not in what.trouble
    assert found(path) == Opened(b"new")


def test_no_earlier_file_moved_aside_is_overwritten(path):
    for number in range(3):
        path.write_bytes(b"foreign %d" % number)
        found(path)
    aside = sorted(other.read_bytes() for other in path.parent.glob("value.aside-*"))
    assert aside == [b"foreign 0", b"foreign 1", b"foreign 2"]


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "in it").touch()


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize(
    "make",
    [make_folder, os.mkfifo, make_socket, lambda path: path.symlink_to(path)],
    ids=["folder", "fifo", "socket", "link to itself"],
)
def test_what_is_no_file_is_moved_aside(path, make):
    make(path)
    what = found(path)
    assert what.moved_to is not None
    assert os.path.lexists(what.moved_to)
    assert found(path) == Opened()


def test_a_file_that_the_disk_cannot_read_is_moved_aside(path, monkeypatch):
    written(path, b"old")
    with monkeypatch.context() as patched:
        broken = iter([OSError(errno.EIO, "Input/output error")])
        read = os.pread

        def pread(*args: int) -> bytes:
            for error in broken:
                raise error
            return read(*args)

        patched.setattr(os, "pread", pread)
        what = found(path)
    assert what.trouble is not None
    assert "Input/output error" in what.trouble
    assert what.moved_to is not None
    assert what.moved_to.read_bytes().startswith(slot(1, 1, b"old"))


def test_a_good_file_stays_in_its_place_when_the_system_has_no_files_left(path, monkeypatch):
    written(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", lambda *_, **__: fail(errno.EMFILE))
        with pytest.raises(OSError, match="Too many open files"):
            found(path)
    assert found(path) == Opened(b"old")


def test_a_folder_that_is_missing_is_no_damage(tmp_path):
    with pytest.raises(FileNotFoundError):
        found(tmp_path / "missing" / "value")


def test_a_newer_format_stops_the_start_and_is_left_as_it_is(path):
    content = slot(FORMAT, 7, b"ours") + slot(FORMAT + 1, 8, b"foreign to us")
    path.write_bytes(content)
    with pytest.raises(NewerFormatError, match="later version") as caught:
        found(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_a_torn_slot_of_a_newer_format_is_only_torn(path):
    path.write_bytes(slot(FORMAT, 7, b"ours") + slot(FORMAT + 1, 8, b"theirs")[:25])
    assert found(path) == Opened(b"ours", torn=True)


def test_closing_twice_is_the_same_as_once(path):
    slots = Slots(path, of_any_kind)
    slots.open()
    slots.close()
    slots.close()


def test_a_failed_sync_leaves_the_value_before_and_the_next_write_goes_well(path, monkeypatch):
    with opened(path) as (slots, _):
        slots.write(b"old")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", lambda _: fail(errno.EIO))
            with pytest.raises(OSError, match="Input/output error"):
                slots.write(b"refused")
        image = path.read_bytes()
        slots.write(b"new")
    assert found(path) == Opened(b"new")
    path.write_bytes(image)
    assert found(path) == Opened(b"old")


@pytest.mark.parametrize("room_bytes", [0, 10, 30])
def test_a_write_that_ends_short_leaves_the_value_before(path, monkeypatch, room_bytes):
    write = os.pwrite
    room = room_bytes

    def pwrite(descriptor: int, content: bytes, offset: int) -> int:
        nonlocal room
        if not room:
            fail(errno.ENOSPC)
        count = write(descriptor, content[:room], offset)
        room -= count
        return count

    with opened(path) as (slots, _):
        slots.write(b"old")
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", pwrite)
            with pytest.raises(OSError, match="No space left"):
                slots.write(b"refused")
    assert found(path).value == b"old"


def test_a_write_in_many_pieces_is_whole(path, monkeypatch):
    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, content, at: write(fd, content[:7], at))
    written(path, b"a value that is longer than seven bytes")
    assert found(path) == Opened(b"a value that is longer than seven bytes")


@contextmanager
def no_room() -> Iterator[None]:
    """Let no file of this process grow: what the system does on a full disk, for real."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_without_room_for_a_new_file_it_starts_and_writes_when_there_is_room(path):
    slots = Slots(path, of_any_kind)
    with no_room():
        what = slots.open()
        with pytest.raises(OSError, match="File too large"):
            slots.write(b"refused")
    assert what.value is None
    assert what.trouble is not None
    assert "cannot be written" in what.trouble
    slots.write(b"new")
    slots.close()
    assert found(path) == Opened(b"new")


def test_a_value_that_cannot_be_made_sure_of_is_given_and_reported(path, monkeypatch):
    written(path, b"old")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", lambda _: fail(errno.EIO))
        what = found(path)
    assert what.value == b"old"
    assert what.trouble == f"{path} cannot be written: Input/output error"
    assert what.moved_to is None
    assert found(path) == Opened(b"old")


def test_a_file_that_someone_has_removed_takes_no_more_values(path):
    with opened(path) as (slots, _):
        slots.write(b"old")
        path.unlink()
        with pytest.raises(OSError, match="removed"):
            slots.write(b"lost")


@settings(deadline=None)  # a disk takes the time that it takes
@given(st.data())
def test_no_value_is_lost_to_failing_writes_deaths_and_losses_of_power(tmp_path_factory, fate):
    """After each, the value is the last that was written well, or one refused since then."""
    path = tmp_path_factory.mktemp("slots") / "value"
    disk = Disk(path, FILE_BYTES, fate)
    possible = {None}
    number = 0
    with patch.object(os, "pwrite", disk.pwrite), patch.object(os, "fdatasync", disk.fdatasync):
        for _ in range(fate.draw(st.integers(1, 4))):
            disk.is_broken = fate.draw(st.booleans())
            with opened(path) as (slots, what):
                assert what.value in possible
                if what.moved_to is not None:
                    disk.replace()
                if what.trouble is None:
                    possible = {what.value}
                for disk.is_broken in fate.draw(st.lists(st.booleans(), max_size=6)):
                    number += 1
                    value = b"%d" % number * fate.draw(st.sampled_from([1, 300]))
                    try:
                        slots.write(value)
                    except OSError:
                        possible.add(value)
                    else:
                        possible = {value}
            if fate.draw(st.booleans()):
                disk.lose_power()
