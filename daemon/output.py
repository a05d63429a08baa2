"""Lines to standard output and standard error, from a daemon that never waits for a reader."""

from __future__ import annotations

import os
import select
from typing import Final

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2

_PIECE: Final = select.PIPE_BUF
"""Bytes. A pipe that is ready to be written takes so many at once."""


def fill_missing_descriptors() -> None:
    """Put ``/dev/null`` where standard input, output or error is closed.

    Otherwise the next file or socket opened would get its number, and our lines.
    """
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one


def write(descriptor: int, data: bytes) -> None:
    """Write all data, or as much of it as the reader takes at once.

    :raises BlockingIOError: the pipe is full, its reader does not read.
    :raises OSError: the pipe is closed, or the disk full.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    for start in range(0, len(data), _PIECE):
        if not poll.poll(0):
            raise BlockingIOError("it takes no more: its reader does not read")
        os.write(descriptor, data[start : start + _PIECE])


class LossyLines:
    """A text file, as far as a log observer needs one, that drops lines rather than waits.

    When the reader reads again, a line says how many it has missed.

    :param descriptor: where the lines go.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lost = 0

    def write(self, text: str) -> None:
        """Write one line, or drop it."""
        if self._lost:
            text = f"({self._lost} lines of the log were lost: nobody read them)\n{text}"
        try:
            write(self._descriptor, text.encode(errors="backslashreplace"))
        except OSError:
            self._lost += 1
        else:
            self._lost = 0

    def flush(self) -> None:
        """Do nothing: no line waits."""
