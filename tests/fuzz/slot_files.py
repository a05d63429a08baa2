"""The file of the timestamp, damaged: what is read back was written."""

from __future__ import annotations

import struct
from functools import cache
from typing import Final
from zlib import crc32

from daemon.storage.slots import FORMAT, SLOT_BYTES, NewerFormatError, Slots
from daemon.timestamp.register import Stored
from tests.fuzz.choices import Choices
from tests.fuzz.damage import Damaged, in_one_place, read_files
from tests.fuzz.places import new_folder

NAME: Final = "timestamp"
VALUES: Final = tuple(Stored(f"17{number}.5", f"boot-{number}").encode() for number in range(4))
_NEW: Final = Stored("0", "boot-9").encode()
_FORGED: Final = 1
_HEAD: Final = struct.Struct("<8sIIQ")


def run(data: bytes) -> None:
    """Damage the file, open it, and write to it."""
    choices = Choices(data)
    flags = choices.byte()
    files = _written(flags // 2 % (len(VALUES) + 1))
    forged = _slot(choices) if flags & _FORGED else b""
    damaged = Damaged(files, choices)
    with new_folder() as folder:
        damaged.write_to(folder)
        path = folder / NAME
        if forged:
            content = path.read_bytes() if path.exists() else b""
            at = SLOT_BYTES * (flags >> 7)
            path.write_bytes(content[:at].ljust(at, b"\0") + forged + content[at + len(forged) :])
        before = read_files(folder)
        slots = Slots(path, Stored.decode)
        try:
            opened = slots.open()
        except NewerFormatError:
            assert forged
            assert read_files(folder) == before
            return
        if opened.value is not None:
            Stored.decode(opened.value)
            assert forged or opened.value in VALUES
        if damaged.only_cut and not damaged.is_removed and not forged and damaged.files == files:
            assert opened.trouble is None
        slots.write(_NEW)
        slots.close()
        again = Slots(path, Stored.decode)
        assert again.open().value == _NEW
        again.close()


@cache
def _written(count: int) -> dict[str, bytes]:
    with new_folder() as folder:
        slots = Slots(folder / NAME, Stored.decode)
        slots.open()
        for value in VALUES[:count]:
            slots.write(value)
        slots.close()
        return read_files(folder)


def _slot(choices: Choices) -> bytes:
    """Give a slot whose checksum is right, whatever else it says."""
    version = choices.byte() % (FORMAT + 3)
    sequence = choices.number(1 << 32) << (choices.byte() % 33)
    value = choices.take(choices.byte() % 40)
    head = _HEAD.pack(b"tsdslots", version, len(value), sequence)
    return head + struct.pack("<I", crc32(value, crc32(head))) + value


WORDS: Final = (b"tsdslots", b"boot-1 17", b"\xff" * 8)
SEEDS: Final = (
    *(bytes([2 * count, 0]) for count in range(len(VALUES) + 1)),
    *(bytes([8, 1, 0, 0, 0]) + size.to_bytes(4, "little") for size in (0, 9, 30, 4096, 4110)),
    *(bytes([8]) + in_one_place(0, at, b"\xff") for at in (0, 8, 12, 16, 24, 28, 4096)),
    bytes([9, 1, 9, 0, 0, 0, 0, 12]) + b"boot-8 18.25" + bytes([0]),
    bytes([0x89, 2, 9, 0, 0, 0, 0, 3]) + b"abc" + bytes([0]),
    bytes([0x89, 1, 9, 0, 0, 0, 32, 3]) + b"abc" + bytes([0]),
    bytes([4, 1, 4, 0]),
    bytes([4, 1, 7, 0, 3]) + b"foreign",
)
