"""One small value in a file, kept safe against torn writes.

The file has two slots, a page apart. A write goes to the slot that does not hold the current value,
in place, and counts once it is complete: whatever stops it on its way, the current value is still
in the other slot.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from daemon.storage.aside import set_aside

SLOT_BYTES: Final = 4096
"""Distance of the slots: no page and no sector holds bytes of both."""

FORMAT: Final = 1
"""The version of the value's format. The head of a slot is the same in all versions, its checksum
too, so that a file from the future can be told from a damaged one."""

_FILE_BYTES: Final = 2 * SLOT_BYTES
_MAGIC: Final = b"tsdslots"
_HEAD: Final = struct.Struct("<8sIIQ")
_CHECKSUM: Final = struct.Struct("<I")
_VALUE_AT: Final = _HEAD.size + _CHECKSUM.size

CAPACITY: Final = SLOT_BYTES - _VALUE_AT
"""Bytes that a value may have."""

_UNUSABLE: Final = frozenset(
    {errno.EACCES, errno.EIO, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EPERM}
)
"""Errors that speak of the file. Others, such as too many open files, speak of the system, and are
no reason to put a good file aside."""


class NewerFormatError(Exception):
    """A later version of the daemon has written the file. It was left as it is."""


@dataclass(frozen=True)
class Opened:
    """What was found in the file.

    :ivar value: the value; None when there is none, or none any more.
    :ivar torn: one slot was damaged, and the other one counts. A write that a loss of power has
        stopped leaves that.
    :ivar moved_to: where a damaged or foreign file was moved, out of the way.
    :ivar trouble: what someone should look at, in one line; None when all is well.
    """

    value: bytes | None = None
    torn: bool = False
    moved_to: Path | None = None
    trouble: str | None = None


class _UnusableError(Exception):
    """The file holds no value, and is not new either."""


class _Slot(NamedTuple):
    """An intact slot."""

    sequence: int
    place: int
    version: int
    value: bytes


class Slots:
    """A value in a file of two slots. One thread at a time may use it.

    :param path: where the file lies: in a folder that nobody else writes to.
    :param check: raises ValueError for bytes that are no value of this kind.
    """

    def __init__(self, path: Path, check: Callable[[bytes], object]) -> None:
        self.path = path
        self._check = check
        self._descriptor = -1
        self._current = 1
        self._sequence = 0
        self._found: bytes | None = None
        self._is_ready = False

    def open(self) -> Opened:
        """Open the file, or make it, with mode 0600.

        A file that is absent, or empty, or was made and never written to, is new. One that is
        foreign, cannot be read, or has no intact slot, is moved aside, and a new one made.

        A value that was found is written once more to where it was found, and synced. Its writer
        may have died before its own sync: then the value could be read now, and be gone after a
        loss of power. When this fails, and when a new file finds no room, there is trouble, but
        the file is open, and the next write tries again.

        :raises NewerFormatError: the value is in a format of the future.
        :raises OSError: the file can neither be opened nor made nor moved aside.
        """
        moved_to = trouble = None
        try:
            newest, torn = self._find()
        except _UnusableError as error:
            self.close()
            moved_to = set_aside(self.path)
            trouble = f"{self.path} {error}; it is now {moved_to.name}"
            newest, torn = self._find()
        if newest is not None:
            self._sequence, self._current, _, self._found = newest
        try:
            self._make_ready()
        except OSError as error:
            trouble = trouble or f"{self.path} cannot be written: {error.strerror}"
        return Opened(self._found, torn, moved_to, trouble)

    def write(self, value: bytes) -> None:
        """Replace the value; blocks until the disk has it.

        When this fails, the value before stays, now and after a restart: it is in the slot that
        was not touched, and stays untouched until another write has gone well. A sync that failed
        says nothing about what the disk has, and the system counts what it could not write as
        written; so the slot is wiped, and each later write gives all its bytes anew and never
        relies on a sync for those of an earlier one. The refused value can come back only if the
        disk has got it and not its wiping.

        The blocks are reserved when the file is made, so that there is room for later writes; on
        copy-on-write file systems they may need more.

        :raises ValueError: the value is longer than :data:`CAPACITY`.
        :raises OSError: the value is not stored.
        """
        if len(value) > CAPACITY:
            raise ValueError(f"a value of {len(value)} bytes, of {CAPACITY} at most")
        if not self._is_ready:
            self._make_ready()
        if not os.fstat(self._descriptor).st_nlink:
            raise OSError(errno.ENOENT, "someone has removed the file")
        self._sequence += 1
        target = 1 - self._current
        try:
            self._put(target, value)
        except OSError:
            with suppress(OSError):
                _write_and_sync(self._descriptor, bytes(SLOT_BYTES), target * SLOT_BYTES)
            raise
        self._current = target

    def close(self) -> None:
        """Close the file; closing twice is the same as once."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _find(self) -> tuple[_Slot | None, bool]:
        """Open the file, and give its newest slot, and whether the other one is torn.

        :raises _UnusableError: there is no intact slot, and the file is not new.
        """
        self._descriptor = _open(self.path)
        content = _read(self._descriptor)
        parts = content[:SLOT_BYTES], content[SLOT_BYTES:_FILE_BYTES]
        written = [index for index, part in enumerate(parts) if part.strip(b"\0")]
        intact = [slot for index in written if (slot := self._slot(index, parts[index]))]
        if not intact:
            if written or len(content) > _FILE_BYTES:
                raise _UnusableError("is damaged, or was never a file of ours")
            return None, False
        newest = max(intact)
        if newest.version > FORMAT:
            self.close()
            raise NewerFormatError(
                f"{self.path} has format {newest.version}, of a later version of the daemon;"
                f" this one knows {FORMAT}"
            )
        return newest, len(intact) < len(written)

    def _slot(self, index: int, part: bytes) -> _Slot | None:
        """Read a slot; None when it is damaged."""
        if len(part) < _VALUE_AT:
            return None
        magic, version, size_bytes, sequence = _HEAD.unpack_from(part)
        (checksum,) = _CHECKSUM.unpack_from(part, _HEAD.size)
        value = part[_VALUE_AT : _VALUE_AT + size_bytes]
        if magic != _MAGIC or len(value) != size_bytes:
            return None
        if checksum != crc32(value, crc32(part[: _HEAD.size])):
            return None
        if version <= FORMAT:
            try:
                self._check(value)
            except ValueError:
                return None
        return _Slot(sequence, index, version, value)

    def _put(self, index: int, value: bytes) -> None:
        head = _HEAD.pack(_MAGIC, FORMAT, len(value), self._sequence)
        checksum = _CHECKSUM.pack(crc32(value, crc32(head)))
        _write_and_sync(self._descriptor, head + checksum + value, index * SLOT_BYTES)

    def _make_ready(self) -> None:
        """Make sure of the file, its blocks and its place in its folder, and of what was found.

        Until then the slot that does not hold the current value may be all that the disk has.
        """
        os.fchmod(self._descriptor, 0o600)
        os.posix_fallocate(self._descriptor, 0, _FILE_BYTES)
        os.fsync(self._descriptor)
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        if self._found is not None:
            self._put(self._current, self._found)
        self._is_ready = True


def _open(path: Path) -> int:
    """Open a file for reading and writing, made if need be.

    :raises _UnusableError: this is nothing to read a value from.
    """
    # Without O_NONBLOCK, a FIFO or a device might keep the start waiting.
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno in _UNUSABLE and os.path.lexists(path):
            raise _UnusableError(f"cannot be opened ({error.strerror})") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _UnusableError("is no regular file")
    return descriptor


def _read(descriptor: int) -> bytes:
    """Give the content of a file, and a byte more than both slots of one that is too long.

    :raises _UnusableError: it cannot be read.
    """
    try:
        return os.pread(descriptor, _FILE_BYTES + 1, 0)
    except OSError as error:
        raise _UnusableError(f"cannot be read ({error.strerror})") from error


def _write_and_sync(descriptor: int, content: bytes, offset: int) -> None:
    """Write all of it, and wait until the disk has it."""
    while content:
        written = os.pwrite(descriptor, content, offset)
        content, offset = content[written:], offset + written
    os.fdatasync(descriptor)
