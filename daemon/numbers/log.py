"""The file ``numbers.log``: whole lines or nothing."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

MODE: Final = 0o666
"""Before the umask."""

PORTION_BYTES: Final = 8 << 20
"""So much is given to the disk at a time, as soon as it is there."""


class NumberLog:
    """A file that grows by whole batches of lines, and belongs to one daemon at a time.

    :param path: where it lies.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        self._size = 0
        self._torn = 0
        self._was_cut = False
        self._begun = 0

    def __str__(self) -> str:
        return str(self.path)

    def open(self) -> None:
        """Create the file or empty it.

        It is locked before it is emptied: the log of a running daemon stays as it is.

        :raises OSError: it cannot be made, is no regular file, or another daemon holds it.
        """
        # Without O_NONBLOCK, opening a FIFO would wait for its reader.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self.path, flags, MODE)
        try:
            _take_over(descriptor, self.path)
            os.ftruncate(descriptor, 0)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def append(self, buffers: Sequence[NDArray[np.uint8]]) -> None:
        """Write all buffers at the end, or leave the file as it was.

        What a write that failed half-way (a full disk) has left behind is cut off at once, or,
        where even that fails, before the next append.

        :param buffers: whole lines, a buffer for each width of number.
        :raises OSError: the lines are not in the file.
        """
        self._cut_torn_end()
        size = os.fstat(self._descriptor).st_size
        self._was_cut |= size < self._size
        left = [memoryview(buffer.data).cast("B") for buffer in buffers]
        try:
            while left:
                self._torn += self._write_some(left)
        except OSError:
            self._cut_torn_end()
            raise
        self._size = size + self._torn
        self._torn = 0
        self._begin_to_store()

    def sync(self) -> None:
        """Wait until the disk holds what was written.

        :raises OSError: the disk refused, or the file is no longer what was written: someone has
            cut or removed it.
        """
        os.fdatasync(self._descriptor)
        if self._was_cut or not os.fstat(self._descriptor).st_nlink:
            raise OSError("someone has cut or removed it: numbers that were counted are missing")

    def close(self) -> None:
        """Close the file, and give the lock back."""
        descriptor = self._descriptor
        try:
            self._cut_torn_end()
        finally:
            self._descriptor = -1
            os.close(descriptor)

    def _begin_to_store(self) -> None:
        """Have the system begin to write what it has; waits for nothing.

        Left alone it would write at the next sync all of a second at once, up to 150 MB, and
        every other sync of the machine would wait behind that.
        """
        size_bytes = self._size - self._begun
        if size_bytes >= PORTION_BYTES:
            with suppress(OSError):  # the next sync tells
                os.posix_fadvise(self._descriptor, self._begun, size_bytes, os.POSIX_FADV_DONTNEED)
            self._begun = self._size

    def _cut_torn_end(self) -> None:
        if self._torn:
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - self._torn)
            self._torn = 0

    def _write_some(self, left: list[memoryview]) -> int:
        """Write once, and drop from ``left`` what was written; gives its size in bytes."""
        written = os.writev(self._descriptor, left)
        rest = written
        while left and rest >= len(left[0]):
            rest -= len(left.pop(0))
        if rest:
            left[0] = left[0][rest:]
        return written


def _take_over(descriptor: int, path: Path) -> None:
    """Lock a file for this daemon alone.

    :raises OSError: it is no regular file, or another daemon holds it.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(f"{path} is no regular file")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(f"{path} is in use by another daemon") from error
