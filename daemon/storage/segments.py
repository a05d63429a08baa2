"""The files of a column: each holds a stretch of its entries, and says which.

A file is a header and then entries of eight bytes, all in the machine's own byte order. An entry of
zero is one that was not written yet: so no file needs a length that a crash could leave wrong.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

HEADER: Final = struct.Struct("=8sqqq")
"""Magic, format version, room in entries, anchor."""

MAGIC: Final = b"tscolumn"

VERSION: Final = 1

SUFFIX: Final = ".column"

ENTRY_BYTES: Final = 8

MAX_CAPACITY: Final = 1 << 24
"""No header that claims room for more entries (128 MiB) is true."""

UNUSED: Final = -1
"""The anchor of a file that was prepared and is not part of the column yet."""

MAX_ANCHOR: Final = 1 << 62
"""Likewise, no anchor beyond it is true."""

_ANCHOR: Final = struct.Struct("=q")


class NewerFormatError(Exception):
    """A file was written by a later version of this program, which alone understands it."""


class UnreadableError(Exception):
    """A file is none of ours, or is no longer what was written."""


@dataclass(eq=False)
class Segment:
    """A stretch of a column, in memory only.

    :ivar entries: int64; zero where nothing was added yet.
    :ivar mapping: what they lie in, if that has to be unmapped.
    :ivar anchor: how many entries the column got before the first of these.
    :ivar count: how many there are, once no more are added.
    :ivar kept: whether a file holds them.
    """

    entries: memoryview[int]
    mapping: mmap.mmap | None = None
    anchor: int = UNUSED
    count: int = 0
    kept: bool = False

    def begin(self, anchor: int) -> None:
        """Put a new segment to use."""
        self.anchor = anchor

    def release(self) -> None:
        """Give the memory back."""
        self.entries.release()
        if self.mapping is not None:
            self.mapping.close()

    def discard(self) -> None:
        """Give back all that is taken up.

        :raises OSError: a file remains; to ask again is in order.
        """
        self.release()


@dataclass(eq=False, kw_only=True)
class FileSegment(Segment):
    """A stretch of a column that has a file.

    :ivar path: where the file is.
    :ivar inode: the file's, to tell it from another of that name.
    :ivar synced: how many entries the disk is known to have.
    """

    path: Path
    inode: int
    kept: bool = True
    synced: int = 0

    def begin(self, anchor: int) -> None:
        """Put a new segment to use: from now on the next start reads its file."""
        self.anchor = anchor
        if self.mapping is not None:
            self.mapping[HEADER.size - _ANCHOR.size : HEADER.size] = _ANCHOR.pack(anchor)

    def discard(self) -> None:
        """Give the memory back, and remove the file if it is still there.

        :raises OSError: the file cannot be removed; to ask again is in order.
        """
        self.release()
        with contextlib.suppress(FileNotFoundError):
            if self.path.lstat().st_ino == self.inode:
                self.path.unlink()


@dataclass(frozen=True)
class Stretch:
    """What was read from a file.

    :ivar capacity: room in entries, as its header says.
    :ivar anchor: as in :class:`Segment`; :data:`UNUSED` if the file was never put to use.
    :ivar values: the readable entries: positive, none smaller than the one before it.
    :ivar torn: whether there is something behind them, or should be.
    """

    path: Path
    inode: int
    capacity: int = 0
    anchor: int = UNUSED
    values: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    torn: bool = False


def in_memory(capacity: int) -> Segment:
    """Make a segment without a file.

    :param capacity: room in entries.
    :raises OSError: there is no memory left.
    """
    mapping = mmap.mmap(-1, capacity * ENTRY_BYTES)
    return Segment(memoryview(mapping).cast("q"), mapping)


class SegmentFiles:
    """The folder of a column's files. Any thread may use it.

    :param folder: belongs to this column alone; the one above it exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)

    def paths(self) -> list[Path]:
        """List what bears the name of a segment. The folder is made, and made private.

        :raises OSError: the folder cannot be made or listed.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        # What a read-only disk holds can be read all the same.
        with contextlib.suppress(OSError):
            self.folder.chmod(0o700)
        return sorted(path for path in self.folder.iterdir() if path.suffix == SUFFIX)

    def make(self, capacity: int) -> FileSegment:
        """Make a file with reserved room, and map it.

        :param capacity: room in entries.
        :raises OSError: the disk is full, there are no more descriptors, and the like.
        """
        self.folder.mkdir(mode=0o700, exist_ok=True)
        descriptor, path = self._create()
        size = file_size(capacity)
        try:
            # Writing to a mapped page for which the disk has no room is a deadly SIGBUS.
            os.posix_fallocate(descriptor, 0, size)
            os.pwrite(descriptor, HEADER.pack(MAGIC, VERSION, capacity, UNUSED), 0)
            mapping = mmap.mmap(descriptor, size)
            inode = os.fstat(descriptor).st_ino
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        finally:
            os.close(descriptor)
        entries = memoryview(mapping)[HEADER.size :].cast("q")
        return FileSegment(entries, mapping, path=path, inode=inode)

    def store(self, segment: Segment) -> FileSegment:
        """Write a segment to which nothing is added any more to a new file, and to the disk.

        :returns: the same entries in that file.
        :raises OSError: there is no such file.
        """
        fresh = self.make(segment.count)
        try:
            fresh.entries[:] = segment.entries[: segment.count]
            fresh.count = segment.count
            # Before the anchor is there, a start takes the file for one that was never used.
            self.sync(fresh)
            fresh.begin(segment.anchor)
            self.sync(fresh)
        except OSError:
            with contextlib.suppress(OSError):
                fresh.discard()
            raise
        fresh.synced = fresh.count
        return fresh

    def check(self, segment: FileSegment) -> None:
        """Look whether a segment's file is where it should be.

        :raises OSError: it is not, or the folder cannot be read.
        """
        if segment.path.lstat().st_ino != segment.inode:
            raise FileNotFoundError(f"another file has taken the place of {segment.path}")

    def sync(self, segment: FileSegment) -> None:
        """Wait until the disk holds what is in a segment.

        :raises OSError: the disk refused, or the file is not there.
        """
        self.check(segment)
        # mmap.flush would keep the interpreter lock, and so stop every other thread meanwhile.
        sync(segment.path)
        if not segment.synced:
            sync(self.folder)

    def _create(self) -> tuple[int, Path]:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        while True:
            path = self.folder / f"{next(self._numbers):08}{SUFFIX}"
            with contextlib.suppress(FileExistsError):
                return os.open(path, flags, 0o600), path


def file_size(capacity: int) -> int:
    """Give the size in bytes of a file with room for so many entries."""
    return HEADER.size + capacity * ENTRY_BYTES


def read(path: Path) -> Stretch:
    """Read a file, and change nothing.

    :raises NewerFormatError: it is from a later version.
    :raises UnreadableError: it is none of ours, or is damaged.
    :raises OSError: it cannot be read.
    """
    # Without O_NONBLOCK, opening a FIFO would wait for its writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("it is no regular file")
        with open(descriptor, "rb", closefd=False) as file:
            head = file.read(HEADER.size)
            if not head.strip(b"\0") and status.st_size <= file_size(MAX_CAPACITY):
                if file.read().strip(b"\0"):
                    raise UnreadableError("its header is missing")
                return Stretch(path, status.st_ino)
            capacity, anchor = _understood(path, head)
            if status.st_size > file_size(capacity):
                raise UnreadableError("it is larger than its header says")
            if anchor == UNUSED:
                return Stretch(path, status.st_ino)
            values = np.zeros((status.st_size - HEADER.size) // ENTRY_BYTES, np.int64)
            file.readinto(values.data)
    finally:
        os.close(descriptor)
    count = _readable(values)
    torn = status.st_size < file_size(capacity) or bool(values[count:].any())
    return Stretch(path, status.st_ino, capacity, anchor, values[:count].copy(), torn)


def cut(stretch: Stretch, count: int) -> None:
    """Take out of a file all but its first entries; the whole file if there are none.

    :raises OSError: nothing was taken out.
    """
    if not count:
        stretch.path.unlink()
        return
    os.truncate(stretch.path, file_size(count))
    # What grows back is a hole: it reads as zeros, and takes no room on the disk. Where it may
    # not grow, the next start calls the file torn, and reads the same from it.
    with contextlib.suppress(OSError):
        os.truncate(stretch.path, file_size(stretch.capacity))


def _understood(path: Path, head: bytes) -> tuple[int, int]:
    """Check a header; gives capacity and anchor.

    :raises NewerFormatError: it is from a later version.
    :raises UnreadableError: it is no header, or it is nonsense.
    """
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise UnreadableError("it is no file of this program")
    _, version, capacity, anchor = HEADER.unpack(head)
    if version > VERSION:
        raise NewerFormatError(
            f"{path} has format {version}; this version of the program knows {VERSION} at most"
        )
    possible = (
        version == VERSION
        and 1 <= capacity <= MAX_CAPACITY
        and (anchor == UNUSED or 0 <= anchor <= MAX_ANCHOR)
    )
    if not possible:
        raise UnreadableError("its header is damaged")
    return capacity, anchor


def _readable(values: NDArray[np.int64]) -> int:
    """Give the length of the longest start that is positive and never falls."""
    good = values > 0
    good[1:] &= values[1:] >= values[:-1]
    return len(good) if good.all() else int(good.argmin())


def sync(path: Path) -> None:
    """Wait until the disk holds a file, or a folder's list of files.

    :raises OSError: the disk refused.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
