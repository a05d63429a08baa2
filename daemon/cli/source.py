"""Where the numbers come from: a file of any size, or a stream that may pause."""

from __future__ import annotations

import os
import stat
import sys
from collections import deque
from contextlib import suppress

from daemon.cli.lines import Block, Cutter
from daemon.cli.outcome import CannotAskError

STDIN = "-"


class Source:
    """A file as blocks of lines. At most two pieces of it are in memory.

    :param name: its path, or ``-`` for standard input.
    :param piece_bytes: how much is read at once.
    :raises CannotAskError: it cannot be opened.
    """

    def __init__(self, name: str, piece_bytes: int) -> None:
        self.name = "standard input" if name == STDIN else name
        self._is_ours = name != STDIN
        self._piece_bytes = piece_bytes
        self._cutter = Cutter()
        self._blocks: deque[Block] = deque()
        self._has_all = False
        try:
            self._descriptor = os.open(name, os.O_RDONLY) if self._is_ours else sys.stdin.fileno()
            mode = os.fstat(self._descriptor)
        except (OSError, ValueError, AttributeError) as error:
            why = getattr(error, "strerror", None) or "it is closed"
            raise CannotAskError(f"cannot read {self.name}: {why}") from error
        if stat.S_ISDIR(mode.st_mode):
            os.close(self._descriptor)
            raise CannotAskError(f"cannot read {self.name}: it is a folder")
        self._is_regular = stat.S_ISREG(mode.st_mode)
        self.size: int | None = mode.st_size if self._is_regular else None
        """Bytes to come; None when nobody knows."""

    @property
    def lines(self) -> int:
        """How many numbers were read so far."""
        return self._cutter.lines

    @property
    def pause_descriptor(self) -> int | None:
        """What to poll for more; None when reading never waits, or nothing is to be read."""
        if self._is_regular or self._has_all or self._blocks:
            return None
        return self._descriptor

    @property
    def at_end(self) -> bool:
        """Whether every block was taken."""
        return self._has_all and not self._blocks

    def peek(self, *, readable: bool) -> Block | None:
        """Give the next block, and leave it there.

        :param readable: whether :attr:`pause_descriptor` has something to read.
        :returns: None when there is none now, or none any more.
        :raises CannotAskError: the disk cannot read on.
        """
        while not self._blocks and not self._has_all and (readable or self._is_regular):
            self._read()
            readable = False
        return self._blocks[0] if self._blocks else None

    def take(self) -> Block:
        """Take the block that :meth:`peek` has given."""
        return self._blocks.popleft()

    def stop(self) -> None:
        """Read no further, and forget what was not taken."""
        self._has_all = True
        self._blocks.clear()

    def close(self) -> None:
        """Close the file."""
        if self._is_ours:
            with suppress(OSError):
                os.close(self._descriptor)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, self._piece_bytes)
        except BlockingIOError:
            return
        except OSError as error:
            raise CannotAskError(f"cannot read {self.name}: {error.strerror}") from error
        self._blocks.extend(self._cutter.feed(data) if data else self._cutter.end())
        self._has_all = not data or self._cutter.has_stopped
