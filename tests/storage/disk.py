"""A disk that fails and loses power, for tests of what is stored on it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hypothesis import strategies as st

SECTOR_BYTES = 512


def fail(number: int) -> int:
    """Raise an error of the system."""
    raise OSError(number, os.strerror(number))


class Disk:
    """A disk under a page cache: it has what was synced; of the rest, some sectors or none.

    A sync that fails leaves its writes in the cache, marked as written, as Linux does: no later
    sync brings them to the disk.

    :param path: the file that is looked at.
    :param size_bytes: the most that it may have.
    :param fate: decides what goes wrong, and what is on the disk after a loss of power.
    """

    def __init__(self, path: Path, size_bytes: int, fate: st.DataObject) -> None:
        self.path = path
        self.fate = fate
        self.size_bytes = size_bytes
        self.durable = bytearray(size_bytes)
        self.unsure: dict[int, list[bytes]] = {}
        self.dirty: dict[int, bytes] = {}
        self.is_broken = False
        self.sync = os.fdatasync
        self.write = os.pwrite

    def draw_failure(self) -> bool:
        return self.is_broken and self.fate.draw(st.booleans())

    def pwrite(self, descriptor: int, content: bytes, offset: int) -> int:
        if self.draw_failure():
            fail(errno.EIO)
        count = len(content)
        if self.is_broken:
            count = self.fate.draw(st.integers(1, len(content)))
        self.write(descriptor, content[:count], offset)
        cached = os.pread(descriptor, self.size_bytes, 0).ljust(self.size_bytes, b"\0")
        for at in range(offset // SECTOR_BYTES, (offset + count - 1) // SECTOR_BYTES + 1):
            sector = cached[at * SECTOR_BYTES :][:SECTOR_BYTES]
            self.dirty[at] = sector
            self.unsure.setdefault(at, []).append(sector)
        return count

    def fdatasync(self, descriptor: int) -> None:
        dirty, self.dirty = self.dirty, {}
        if self.draw_failure():
            fail(errno.EIO)
        for at, sector in dirty.items():
            self.durable[at * SECTOR_BYTES : (at + 1) * SECTOR_BYTES] = sector
            self.unsure.pop(at, None)
        self.sync(descriptor)

    def lose_power(self) -> None:
        """Leave in the file what was durable, and of the rest whatever fate likes."""
        for at, sectors in self.unsure.items():
            sector = self.fate.draw(st.none() | st.sampled_from(sectors))
            if sector is not None:
                self.durable[at * SECTOR_BYTES : (at + 1) * SECTOR_BYTES] = sector
        self.unsure.clear()
        self.dirty.clear()
        self.path.write_bytes(self.durable)

    def replace(self) -> None:
        """Take a new and empty file for the one before."""
        self.durable = bytearray(self.size_bytes)
