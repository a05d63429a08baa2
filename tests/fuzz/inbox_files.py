"""The files of the callback service's inbox, damaged: no callback is made up."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from daemon.callback.inbox_file import DamagedError, InboxFile, RefusedError
from daemon.callback.inbox_tables import Callback, Rejected, Work
from daemon.storage.slots import NewerFormatError
from tests.fuzz.choices import Choices
from tests.fuzz.damage import Damaged, in_one_place, read_files
from tests.fuzz.places import new_folder

NAME: Final = "inbox.sqlite"
PLENTY: Final = 1 << 40
_CLOSED: Final = 1
CALLBACKS: Final = tuple(
    Callback(number, 1_700_000_000_000_000 + number, list(range(number * 7)))
    for number in range(1, 31)
)
_REJECTED: Final = tuple(Rejected(number, 5, "not JSON", b"x" * 300) for number in range(1, 6))
_SETTLED: Final = (3, 4)
_NEW: Final = Callback(1 << 40, 7, [1, 2, 3])


def run(data: bytes) -> None:
    """Damage the files, open them, read all there is, and write."""
    choices = Choices(data)
    damaged = Damaged(_written(bool(choices.byte() & _CLOSED)), choices)
    with new_folder() as folder:
        damaged.write_to(folder)
        inbox = InboxFile(folder / NAME)
        try:
            inbox.open()
        except (NewerFormatError, OSError) as error:
            assert not damaged.only_cut, error
            return
        found = _read(inbox)
        if damaged.only_cut:
            known = {each.number: each for each in CALLBACKS}
            for callback in found:
                expected = known[callback.number]
                assert callback.received_us == expected.received_us
                # Of a page that was cut, SQLite takes what is missing for zeros.
                assert _is_or_is_missing(callback.ids, expected.ids)
        _go_on(inbox, folder)


def _is_or_is_missing(ids: Sequence[int], expected: Sequence[int]) -> bool:
    """Whether these are the bytes that were written, or zeros in their place."""
    pairs = zip(_packed(ids), _packed(expected), strict=True)
    return all(byte in (0, other) for byte, other in pairs)


def _packed(ids: Sequence[int]) -> bytes:
    return array("q", ids).tobytes()


@cache
def _written(closed: bool) -> dict[str, bytes]:
    with new_folder() as folder:
        inbox = InboxFile(folder / NAME)
        inbox.open()
        for callback in CALLBACKS:
            inbox.write(Work([callback], [], []))
        inbox.write(Work([], _REJECTED, _SETTLED))
        if closed:
            inbox.close()
        files = read_files(folder)
        inbox.close()
        return files


def _read(inbox: InboxFile) -> list[Callback]:
    found: list[Callback] = []
    after: int | None = 0
    with suppress(RefusedError, DamagedError):
        for _ in range(len(CALLBACKS)):
            page = inbox.load(after or 0, 7, PLENTY)
            found += page.callbacks
            after = page.through
            if after is None:
                break
    with suppress(RefusedError, DamagedError):
        inbox.page_of_rejected(None, 100, PLENTY)
    return found


def _go_on(inbox: InboxFile, folder: Path) -> None:
    """Write: of a file that turns out to be damaged, a new one takes the place."""
    for _ in range(3):
        try:
            inbox.write(Work([_NEW], [], []))
        except (DamagedError, RefusedError):
            continue
        break
    else:
        return
    inbox.close()
    again = InboxFile(folder / NAME)
    with suppress(RefusedError, DamagedError):
        again.open()
        page = again.load(_NEW.number - 1, 10, PLENTY)
        assert [list(each.ids) for each in page.callbacks if each.number == _NEW.number] == [
            _NEW.ids
        ]
    again.close()


def _seed(flags: int, change: bytes) -> bytes:
    return bytes([flags]) + change


WORDS: Final = (b"SQLite format 3\0", b"\x0d\0", b"\x05\0", b"\xff" * 8)
SEEDS: Final = (
    b"\0\0",
    b"\1\0",
    *(
        bytes([flags, 1, 0, name, 0]) + size.to_bytes(4, "little")
        for flags, name in ((0, 0), (0, 1), (1, 0))
        for size in (0, 10, 100, 4096, 8192, 9000)
    ),
    *(_seed(1, in_one_place(0, at, b"\xff\x01")) for at in (0, 16, 28, 44, 60, 68, 100, 103)),
    *(_seed(1, in_one_place(0, at, bytes(8))) for at in (0, 100, 4096, 4104, 8192, 12288)),
    *(_seed(0, in_one_place(1, at, b"\x01\x02")) for at in (0, 8, 16, 24, 32, 60, 4200)),
    bytes([0, 1, 4, 0]),
    bytes([1, 1, 7, 0, 30]) + b"SQLite format 3\0",
)
