"""The files of a ring, damaged: what is read back was written, and numbers never come twice."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from daemon.hash.jobs import Jobs
from daemon.storage.ring import Ring
from daemon.storage.segments import NewerFormatError
from tests.fuzz.choices import Choices
from tests.fuzz.damage import Damaged, in_one_place, read_files
from tests.fuzz.places import new_folder

VALUE_BYTES: Final = 64
PIECE: Final = 64
FIRST: Final = 10
ENTRIES: Final = 150
BOOT: Final = b"b" * 16
_NEXT_BOOT: Final = b"c" * 16
_MORE: Final = 70
_TOUCHED: Final = 4
"""Entries that one change can spoil, at most."""

_CLOSED: Final = 1
_REBOOTED: Final = 2


def run(data: bytes) -> None:
    """Damage the files of a ring, open them, and go on."""
    choices = Choices(data)
    flags = choices.byte()
    damaged = Damaged(_written(bool(flags & _CLOSED)), choices)
    boot = _NEXT_BOOT if flags & _REBOOTED else BOOT
    with new_folder() as folder:
        damaged.write_to(folder)
        before = read_files(folder)
        ring = Ring(folder, VALUE_BYTES, PIECE, boot)
        try:
            ring.open()
        except NewerFormatError:
            assert read_files(folder) == before
            return
        _check(ring, damaged)
        Jobs(ring, 1000, 0, 1 << 50)
        _go_on(ring, folder, boot)


@cache
def _written(closed: bool) -> dict[str, bytes]:
    with new_folder() as folder:
        ring = Ring(folder, VALUE_BYTES, PIECE, BOOT)
        ring.open()
        for number in range(1, ENTRIES + 1):
            ring.append(number, _value(number))
        ring.drop_before(FIRST)
        if closed:
            assert ring.close() is None
        return read_files(folder)


def _value(number: int) -> bytes:
    return number.to_bytes(VALUE_BYTES, "big")


def _held(ring: Ring) -> list[int]:
    """The numbers of all entries; there cannot be more than there was room for."""
    numbers: list[int] = []
    number = ring.first_above(1, 0)
    while number < ring.next:
        numbers.append(number)
        number = ring.first_above(number + 1, 0)
    assert ring.count() == len(numbers)
    assert ring.nth(len(numbers)) == ring.next
    return numbers


def _check(ring: Ring, damaged: Damaged) -> None:
    assert 1 <= ring.first <= ring.next
    numbers = _held(ring)
    stamps = [ring.stamp(number) for number in numbers]
    wrong = [
        number
        for number, stamp in zip(numbers, stamps, strict=True)
        if (stamp, ring.value(number)) != (number, _value(number)) or number > ENTRIES
    ]
    if damaged.only_cut:
        assert wrong == []
    elif not damaged.is_foreign:
        assert len(wrong) <= damaged.overwritten * _TOUCHED
    if damaged.only_cut and not damaged.is_removed:
        assert ring.next > ENTRIES, "a number would be given twice"
    if not damaged.overwritten and not damaged.is_removed and damaged.files:
        assert set(numbers) <= set(range(1, ENTRIES + 1))


def _go_on(ring: Ring, folder: Path, boot: bytes) -> None:
    """Add entries, end well, and find all of them again."""
    before = [(number, ring.value(number)) for number in _held(ring)]
    stamp = max(ring.newest, 1)
    added = []
    for _ in range(_MORE):
        number = ring.append(stamp, _value(ring.next))
        added.append((number, _value(number)))
    assert len({number for number, _ in added}) == _MORE
    assert ring.close() is None
    again = Ring(folder, VALUE_BYTES, PIECE, boot)
    assert again.open() == []
    after = [(number, again.value(number)) for number in _held(again)]
    assert after == before + added
    again.close()


def _seed(flags: int, *changes: bytes) -> bytes:
    return bytes([flags, len(changes)]) + b"".join(change[1:] for change in changes)


def _cut(name: int, size: int) -> bytes:
    return bytes([1, 0, name, 0]) + size.to_bytes(4, "little")


WORDS: Final = (b"tsring\0\0", bytes([1, 0, 0, 0, 0, 0, 0, 0]), b"\xff" * 8, BOOT, b"\xff\x7f")
SEEDS: Final = (
    *(bytes([flags, 0]) for flags in range(4)),
    *(
        _seed(flags, _cut(name, size))
        for flags in (0, 3)
        for name in (0, 2)
        for size in (0, 50, 5000)
    ),
    *(_seed(3, in_one_place(2, at, b"\xff\x01\x02")) for at in (0, 8, 16, 24, 32, 56, 64, 72, 80)),
    *(_seed(0, in_one_place(1, at, bytes(8))) for at in (0, 8, 4096, 4096 + 64 * 8 + 64)),
    bytes([1, 1, 6, 1]) + bytes([9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]),
    bytes([2, 1, 7, 1, 9]) + b"tsring\0\0" + bytes([1]),
    bytes([0, 2, 4, 1, 5, 0]) + bytes(12),
)
