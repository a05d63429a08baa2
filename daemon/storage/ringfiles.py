"""The files of a ring: each holds the entries of one stretch of numbers.

A file is a page of header, then the stamps of all its entries, then their values, in the machine's
own byte order. An entry is there when neither its stamp nor its value is all zeros: so no file
needs a length that a crash could leave wrong. No stamp and no value lies on two sectors of a disk,
so a loss of power leaves each of them whole or missing.
"""

from __future__ import annotations

import itertools
import mmap
import os
import re
import stat
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

import numpy as np

from daemon.storage.segments import NewerFormatError, UnreadableError

HEADER: Final = struct.Struct("=8sqqqq16sqqqq")
"""Magic, format version, bytes of a value, room in entries, index, boot, state, reach, lead, first.
"""

HEADER_BYTES: Final = 4096
MAGIC: Final = b"tsring\0\0"
VERSION: Final = 1
SUFFIX: Final = ".ring"
STAMP_BYTES: Final = 8

MAX_NUMBER: Final = 1 << 62
"""No file that claims to hold, or to know of, entries with greater numbers is true."""

_NAME: Final = re.compile(r"([0-9]{10,18})-[0-9]+\.ring")
_LIVE: Final = struct.Struct("=16sqqq")
"""The part of the header that changes at times: boot, state, reach, lead."""

_LIVE_AT: Final = HEADER.size - STAMP_BYTES - _LIVE.size
_FIRST_AT: Final = HEADER.size - STAMP_BYTES

_WITH_CARE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How to open what may be anything. Without O_NONBLOCK, opening a FIFO would wait for its writer.
"""

_BOOT_FILE: Final = Path("/proc/sys/kernel/random/boot_id")


class State(IntEnum):
    """What has become of a file."""

    SPARE = 0
    BEGUN = 1
    CLOSED = 2


@dataclass(frozen=True)
class Shape:
    """What the pieces of a ring are like.

    :ivar value_bytes: a divisor of 512, so that a value lies in one sector.
    :ivar capacity: entries in a piece; a multiple of 64.
    """

    value_bytes: int
    capacity: int

    @property
    def max_index(self) -> int:
        """The last piece that there can be."""
        return MAX_NUMBER // self.capacity

    @property
    def entries_bytes(self) -> int:
        """Bytes of all entries of a piece."""
        return self.capacity * (STAMP_BYTES + self.value_bytes)


@dataclass(eq=False)
class Piece:
    """The entries of one stretch of numbers, in memory or in a mapped file.

    :ivar index: which stretch; the first is 0.
    :ivar stamps: int64; zero where nothing was added yet.
    :ivar values: bytes, one value after another.
    :ivar mapping: what both lie in.
    :ivar oldest: one number, in the file's header: that of the ring's oldest entry as the last
        piece knew it.
    :ivar count: how many entries there are, once no more are added.
    :ivar lead: how far in the future stamps of its entries may lie.
    :ivar path: its file; None in memory.
    :ivar inode: the file's, to tell it from another of that name.
    :ivar kept: whether that file holds the entries.
    :ivar synced: how many of them the disk is known to have.
    """

    index: int
    stamps: memoryview[int]
    values: memoryview[int]
    mapping: mmap.mmap
    oldest: memoryview[int]
    count: int = 0
    lead: int = 0
    path: Path | None = None
    inode: int = 0
    kept: bool = False
    synced: int = 0

    def mark(self, boot: bytes, state: State, reach: int) -> None:
        """Write the part of the header that changes.

        :param boot: of the machine's run in which entries were added last.
        :param reach: the last stretch whose numbers may have been given away.
        """
        if self.path is not None:
            _LIVE.pack_into(self.mapping, _LIVE_AT, boot, state, reach, self.lead)

    def release(self) -> None:
        """Give the memory back."""
        self.stamps.release()
        self.values.release()
        self.oldest.release()
        self.mapping.close()


@dataclass(frozen=True)
class Found:
    """A file that a start has found.

    :ivar torn: it had lost its end, which was given back to it, empty.
    """

    piece: Piece
    boot: bytes
    state: State
    reach: int
    torn: bool


def in_memory(index: int, shape: Shape) -> Piece:
    """Make a piece without a file.

    :raises OSError: there is no memory left.
    """
    return _piece(index, mmap.mmap(-1, shape.entries_bytes), shape, 0)


def boot_id() -> bytes:
    """Give 16 bytes that are others after each start of the machine."""
    try:
        return bytes.fromhex(_BOOT_FILE.read_text("ascii").strip().replace("-", ""))
    except (OSError, ValueError):
        return os.urandom(16)


class RingFiles:
    """The folder of a ring's files. Any thread may use it.

    :param folder: belongs to this ring alone; the one above it exists.
    """

    def __init__(self, folder: Path, shape: Shape, boot: bytes) -> None:
        self.folder = folder
        self.shape = shape
        self.boot = boot
        self._size = HEADER_BYTES + shape.entries_bytes
        self._serials = itertools.count(1)

    def paths(self) -> list[tuple[int, Path]]:
        """List the files with their index, lowest first. The folder is made, and made private.

        :raises OSError: the folder cannot be made or listed.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(OSError):  # what a read-only disk holds can be read all the same
            self.folder.chmod(0o700)
        named = [(_NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return sorted((int(match[1]), path) for match, path in named if match)

    def make(self, index: int) -> Piece:
        """Make a file with reserved room, and map it. Its name is none that was used before.

        :raises OSError: the disk is full, there are no more descriptors, and the like.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        descriptor, path = self._create(index)
        try:
            # Writing to a mapped page for which the disk has no room is a deadly SIGBUS.
            os.posix_fallocate(descriptor, 0, self._size)
            head = (MAGIC, VERSION, self.shape.value_bytes, self.shape.capacity, index, self.boot)
            os.pwrite(descriptor, HEADER.pack(*head, State.SPARE, index, 0, 0), 0)
            return self._mapped(index, path, descriptor)
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise
        finally:
            os.close(descriptor)

    def require_known(self, path: Path) -> None:
        """See that no later version has written a file. It is not changed.

        :raises NewerFormatError: one has.
        :raises OSError: it cannot be read.
        """
        descriptor = os.open(path, os.O_RDONLY | _WITH_CARE)
        try:
            _require_known(path, os.pread(descriptor, HEADER.size, 0))
        finally:
            os.close(descriptor)

    def read(self, index: int, path: Path) -> Found:
        """Map a file that a start has found; its piece has no count yet.

        :raises NewerFormatError: it is from a later version.
        :raises UnreadableError: it is none of ours, or is damaged.
        :raises OSError: it cannot be used.
        """
        descriptor = os.open(path, os.O_RDWR | _WITH_CARE)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableError("it is no regular file")
            head = os.pread(descriptor, HEADER.size, 0)
            boot, state, reach, lead = self._understood(path, head, index)
            if status.st_size > self._size:
                raise UnreadableError("it is larger than its header says")
            torn = status.st_size < self._size
            if torn:
                os.posix_fallocate(descriptor, 0, self._size)
            piece = self._mapped(index, path, descriptor)
            piece.lead = lead
            return Found(piece, boot, state, reach, torn)
        finally:
            os.close(descriptor)

    def check(self, path: Path, inode: int) -> None:
        """Look whether a file is where it should be.

        :raises OSError: it is not, or the folder cannot be read.
        """
        if path.lstat().st_ino != inode:
            raise FileNotFoundError(f"another file has taken the place of {path}")

    def sync(self, path: Path, inode: int) -> None:
        """Wait until the disk holds what is in a file.

        :raises OSError: the disk refused, or the file is not there.
        """
        self.check(path, inode)
        # mmap.flush would keep the interpreter lock, and so stop every other thread meanwhile.
        for place in (path, self.folder):
            descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self, path: Path, inode: int) -> None:
        """Remove a file if it is still there.

        :raises OSError: it cannot be removed; to ask again is in order.
        """
        with suppress(FileNotFoundError):
            if path.lstat().st_ino == inode:
                path.unlink()

    def _create(self, index: int) -> tuple[int, Path]:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        while True:
            path = self.folder / f"{index:010}-{next(self._serials)}{SUFFIX}"
            with suppress(FileExistsError):
                return os.open(path, flags, 0o600), path

    def _mapped(self, index: int, path: Path, descriptor: int) -> Piece:
        mapping = _map(descriptor, self._size)
        piece = _piece(index, mapping, self.shape, HEADER_BYTES)
        piece.path, piece.inode, piece.kept = path, os.fstat(descriptor).st_ino, True
        return piece

    def _understood(self, path: Path, head: bytes, index: int) -> tuple[bytes, State, int, int]:
        if len(head) < HEADER.size or not head.startswith(MAGIC):
            raise UnreadableError("it is no file of this program")
        _require_known(path, head)
        _, version, *shape, boot, state, reach, lead, first = HEADER.unpack(head)
        if version != VERSION or shape != [self.shape.value_bytes, self.shape.capacity, index]:
            raise UnreadableError("its header is damaged")
        end = (reach + 1) * self.shape.capacity + 1
        possible = (
            0 <= state <= State.CLOSED
            and index <= reach <= self.shape.max_index
            and 0 <= first <= end
            and lead >= 0
        )
        if not possible:
            raise UnreadableError("its header is damaged")
        return boot, State(state), reach, lead


def _require_known(path: Path, head: bytes) -> None:
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        return
    version = HEADER.unpack(head)[1]
    if version > VERSION:
        raise NewerFormatError(
            f"{path} has format {version}; this version of the program knows {VERSION} at most"
        )


def readable(piece: Piece, shape: Shape, *, thorough: bool) -> int:
    """Count the entries that can be read from the start on, and clear the stamps behind them.

    :param thorough: look at the values too, which only a loss of power can have taken.
    """
    stamps = np.frombuffer(piece.stamps, np.int64)
    good = stamps > 0
    good[1:] &= stamps[1:] >= stamps[:-1]
    if thorough:
        words = np.frombuffer(piece.values, np.uint8).reshape(shape.capacity, shape.value_bytes)
        good &= words.any(axis=1)
    count = len(good) if good.all() else int(good.argmin())
    if stamps[count:].any():
        stamps[count:] = 0
    return count


def _map(descriptor: int, size_bytes: int) -> mmap.mmap:
    """Map a file, holding no descriptor of it where Python can do that."""
    if sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, size_bytes, trackfd=False)
    return mmap.mmap(descriptor, size_bytes)


def _piece(index: int, mapping: mmap.mmap, shape: Shape, start: int) -> Piece:
    whole = memoryview(mapping)
    middle = start + shape.capacity * STAMP_BYTES
    end = start + shape.entries_bytes
    header = whole[_FIRST_AT : HEADER.size] if start else memoryview(bytearray(STAMP_BYTES))
    stamps = whole[start:middle].cast("q")
    return Piece(index, stamps, whole[middle:end], mapping, header.cast("q"))
