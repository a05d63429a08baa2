"""The files of a column, damaged: what is read back was written, in its order."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from daemon.storage.mapped import Column
from daemon.storage.segments import NewerFormatError
from tests.fuzz.choices import Choices
from tests.fuzz.damage import Damaged, in_one_place, read_files
from tests.fuzz.places import new_folder

CAPACITY: Final = 16
ENTRIES: Final = 60
_START: Final = 1_000
LATEST: Final = _START + 2 * ENTRIES
_MORE: Final = 20
_TOUCHED: Final = 3
_CLOSED: Final = 1


def run(data: bytes) -> None:
    """Damage the files of a column, open them, and go on."""
    choices = Choices(data)
    damaged = Damaged(_written(bool(choices.byte() & _CLOSED)), choices)
    with new_folder() as folder:
        damaged.write_to(folder)
        before = read_files(folder)
        column = Column(folder, CAPACITY)
        try:
            opened = column.open(LATEST)
        except NewerFormatError:
            assert read_files(folder) == before
            return
        found = _drained(_again(folder))
        assert opened.count == column.count == len(found)
        _check(found, damaged)
        _go_on(column, folder, found)


@cache
def _written(closed: bool) -> dict[str, bytes]:
    with new_folder() as folder:
        column = Column(folder, CAPACITY)
        column.open(LATEST)
        for value in range(_START, _START + ENTRIES):
            column.append(value)
        column.take(column.work().run())
        if closed:
            assert column.close() is None
        return read_files(folder)


def _again(folder: Path) -> Column:
    """Open what another column has cleaned: nothing is left that it would complain of."""
    column = Column(folder, CAPACITY)
    column.open(LATEST)
    return column


def _drained(column: Column) -> list[int]:
    values: list[int] = []
    while column.count:
        before, oldest = column.count, column.oldest
        column.drop_through(oldest)
        assert column.count < before
        values += [oldest] * (before - column.count)
    return values


def _check(found: list[int], damaged: Damaged) -> None:
    assert found == sorted(found)
    assert all(0 < value <= LATEST for value in found)
    written = range(_START, _START + ENTRIES)
    if not damaged.is_foreign:
        wrong = [value for value in found if value not in written]
        assert len(wrong) <= damaged.overwritten * _TOUCHED
    if damaged.only_cut:
        assert set(found) <= set(written)
        assert len(set(found)) == len(found)


def _go_on(column: Column, folder: Path, found: list[int]) -> None:
    """Add entries, end well, and find all of them again."""
    added = list(range(LATEST - _MORE, LATEST)) if not found else [LATEST] * _MORE
    for value in added:
        column.append(value)
    column.take(column.work().run())
    assert column.count == len(found) + _MORE
    column.close()
    assert _drained(_again(folder)) == found + added


def _seed(flags: int, change: bytes) -> bytes:
    return bytes([flags]) + change


WORDS: Final = (b"tscolumn", bytes([1, 0, 0, 0, 0, 0, 0, 0]), b"\xff" * 8, b"\xff\x7f")
SEEDS: Final = (
    b"\0\0",
    b"\1\0",
    *(
        bytes([flags, 1, 0, name, 0]) + size.to_bytes(4, "little")
        for flags in (0, 1)
        for name in (0, 2)
        for size in (0, 10, 33, 77)
    ),
    *(_seed(0, in_one_place(1, at, b"\xff\x01")) for at in (0, 8, 16, 24, 31, 32, 40)),
    *(_seed(1, in_one_place(1, at, bytes(8))) for at in (0, 8, 16, 24, 32, 80)),
    bytes([1, 1, 6, 1]) + bytes([9, 0, 0, 0, 0, 0, 0, 0]),
    bytes([0, 2, 4, 1, 5, 0]) + bytes(12),
    bytes([0, 1, 7, 1, 30]) + b"tscolumn" + bytes([1]),
)
