"""The file ``numbers.log``: whole lines or nothing."""

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from daemon.numbers.log import PORTION_BYTES, NumberLog


def lines(text: bytes) -> list[np.ndarray]:
    return [np.frombuffer(text, np.uint8)]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[NumberLog]:
    log = NumberLog(tmp_path / "numbers.log")
    log.open()
    yield log
    log.close()


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: a real write that ends short."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_buffers_follow_one_another_in_the_file(log):
    log.append([*lines(b"1\n2\n"), *lines(b"10\n")])
    log.append(lines(b"3\n"))
    assert log.path.read_bytes() == b"1\n2\n10\n3\n"


def test_a_two_dimensional_buffer_is_written_row_by_row(log):
    log.append([np.frombuffer(b"11\n12\n", np.uint8).reshape(2, 3)])
    assert log.path.read_bytes() == b"11\n12\n"


def test_opening_empties_the_file(tmp_path):
    path = tmp_path / "numbers.log"
    path.write_bytes(b"old\n")
    log = NumberLog(path)
    log.open()
    assert path.read_bytes() == b""
    log.close()


def test_the_mode_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        log = NumberLog(tmp_path / "numbers.log")
        log.open()
        log.close()
    finally:
        os.umask(before)
    assert log.path.stat().st_mode & 0o777 == 0o640


def test_the_log_of_another_daemon_stays_as_it_is(log):
    log.append(lines(b"1\n"))
    with pytest.raises(OSError, match="in use by another daemon"):
        NumberLog(log.path).open()
    assert log.path.read_bytes() == b"1\n"


def test_a_closed_log_can_be_opened_by_the_next_daemon(tmp_path):
    first = NumberLog(tmp_path / "numbers.log")
    first.open()
    first.close()
    second = NumberLog(tmp_path / "numbers.log")
    second.open()
    second.close()


def test_a_fifo_is_refused_at_once_with_or_without_a_reader(tmp_path):
    path = tmp_path / "numbers.log"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device"):
        NumberLog(path).open()
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="no regular file"):
        NumberLog(path).open()
    os.close(reader)


def test_a_file_cut_by_someone_else_gets_whole_lines_still_and_is_told(log):
    log.append(lines(b"1\n2\n"))
    log.sync()
    os.truncate(log.path, 0)
    log.append(lines(b"3\n"))
    assert log.path.read_bytes() == b"3\n"
    for _ in range(2):
        with pytest.raises(OSError, match="someone has cut or removed it"):
            log.sync()


@pytest.mark.parametrize("place", ["/dev/null", "/nowhere/at/all/numbers.log", "/"])
def test_what_cannot_be_a_log_is_refused(place):
    with pytest.raises(OSError):  # noqa: PT011  # three kinds of it
        NumberLog(Path(place)).open()


def test_a_write_that_ends_short_leaves_nothing_behind(log):
    log.append(lines(b"1\n"))
    with room_for(6), pytest.raises(OSError) as raised:  # noqa: PT011
        log.append([*lines(b"22\n"), *lines(b"333333\n")])
    assert raised.value.errno == errno.EFBIG
    assert log.path.read_bytes() == b"1\n"


def test_it_works_on_when_there_is_room(log):
    with room_for(3), pytest.raises(OSError):  # noqa: PT011
        log.append(lines(b"22\n4444\n"))
    log.append(lines(b"5\n"))
    assert log.path.read_bytes() == b"5\n"


def test_a_torn_end_that_could_not_be_cut_off_is_cut_off_before_the_next_append(log, monkeypatch):
    def refuse(_descriptor: int, _size: int) -> None:
        raise OSError(errno.EIO, "no")

    log.append(lines(b"1\n"))
    with monkeypatch.context() as patch, room_for(6), pytest.raises(OSError, match="no"):
        patch.setattr(os, "ftruncate", refuse)
        log.append(lines(b"22\n333333\n"))
    assert log.path.read_bytes() == b"1\n22\n3"
    log.append(lines(b"7\n"))
    assert log.path.read_bytes() == b"1\n7\n"


def test_closing_cuts_off_a_torn_end(tmp_path, monkeypatch):
    def refuse(_descriptor: int, _size: int) -> None:
        raise OSError(errno.EIO, "no")

    log = NumberLog(tmp_path / "numbers.log")
    log.open()
    with monkeypatch.context() as patch, room_for(2), pytest.raises(OSError, match="no"):
        patch.setattr(os, "ftruncate", refuse)
        log.append(lines(b"333\n"))
    log.close()
    assert log.path.read_bytes() == b""


def test_syncing_says_when_the_disk_refuses(log, monkeypatch):
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EIO, "no")

    log.sync()
    monkeypatch.setattr(os, "fdatasync", refuse)
    with pytest.raises(OSError, match="no"):
        log.sync()


def test_much_is_given_to_the_disk_before_the_next_sync(log, monkeypatch):
    given: list[tuple[int, int]] = []

    def advise(_descriptor: int, offset: int, length: int, _advice: int) -> None:
        given.append((offset, length))
        raise OSError(errno.EIO, "as if the disk were in trouble")

    monkeypatch.setattr(os, "posix_fadvise", advise)
    block = np.full(PORTION_BYTES // 4, ord("7"), np.uint8)
    for _ in range(9):
        log.append([block])
    assert given == [(0, PORTION_BYTES), (PORTION_BYTES, PORTION_BYTES)]
    assert log.path.stat().st_size == 9 * len(block)
