"""Single files of a column: what is taken for one, and what is not."""

from __future__ import annotations

import os

import pytest

from daemon.storage.aside import set_aside
from daemon.storage.segments import (
    HEADER,
    MAGIC,
    MAX_ANCHOR,
    MAX_CAPACITY,
    UNUSED,
    VERSION,
    NewerFormatError,
    UnreadableError,
    read,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "00000001.column"


def entries(*values):
    return b"".join(value.to_bytes(8, "little", signed=True) for value in values)


def header(version=VERSION, capacity=4, anchor=0):
    return HEADER.pack(MAGIC, version, capacity, anchor)


@pytest.mark.parametrize(
    ("body", "values", "torn"),
    [
        (entries(1, 2, 2, 3), [1, 2, 2, 3], False),
        (entries(1, 2, 0, 0), [1, 2], False),
        (entries(0, 0, 0, 0), [], False),
        (entries(1, 2, 0, 3), [1, 2], True),
        (entries(1, 3, 2, 3), [1, 3], True),
        (entries(1, -3, 2, 3), [1], True),
        (entries(-1, 2, 3, 4), [], True),
        (entries(1, 2, 3), [1, 2, 3], True),
        (entries(1, 2, 3, 4)[:-1], [1, 2, 3], True),
        (b"", [], True),
    ],
)
def test_what_is_readable_is_a_start_that_never_falls(path, body, values, torn):
    path.write_bytes(header(anchor=7) + body)
    stretch = read(path)
    assert stretch.values.tolist() == values
    assert stretch.torn is torn
    assert stretch.anchor == 7


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(5),
        bytes(HEADER.size),
        bytes(1000),
        header(anchor=UNUSED),
        header(anchor=UNUSED) + entries(1, 2),
    ],
)
def test_a_file_that_was_never_put_to_use_holds_nothing(path, content):
    path.write_bytes(content)
    stretch = read(path)
    assert (stretch.anchor, stretch.values.tolist(), stretch.torn) == (UNUSED, [], False)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"x", "no file of this program"),
        (b"some text that is longer than a header", "no file of this program"),
        (header()[:-1], "no file of this program"),
        (bytes(HEADER.size) + b"x", "its header is missing"),
        (header(version=0), "damaged"),
        (header(version=-5), "damaged"),
        (header(capacity=0), "damaged"),
        (header(capacity=MAX_CAPACITY + 1), "damaged"),
        (header(anchor=UNUSED - 1), "damaged"),
        (header(anchor=MAX_ANCHOR + 1), "damaged"),
        (header() + entries(1, 2, 3, 4, 5), "larger than its header says"),
    ],
)
def test_what_is_foreign_or_damaged_is_told_apart(path, content, why):
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match=why):
        read(path)


def test_a_huge_file_of_zeros_is_not_read(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnreadableError, match="no file of this program"):
        read(path)


def test_a_newer_format_is_named_with_its_file(path):
    path.write_bytes(header(version=VERSION + 1, capacity=-1))
    with pytest.raises(NewerFormatError, match=rf"{path} has format {VERSION + 1}"):
        read(path)


def test_a_folder_and_a_fifo_are_no_files(path):
    path.mkdir()
    with pytest.raises(UnreadableError, match="no regular file"):
        read(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(UnreadableError, match="no regular file"):
        read(path)


def test_a_link_is_not_followed(path):
    other = path.with_name("other")
    other.write_bytes(header() + entries(1, 2, 3, 4))
    path.symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        read(path)


def test_what_is_set_aside_takes_no_name_that_is_taken(path):
    asides = []
    for content in (b"first", b"second", b"third"):
        path.write_bytes(content)
        asides.append(set_aside(path))
    assert [aside.read_bytes() for aside in asides] == [b"first", b"second", b"third"]
    assert not path.exists()
