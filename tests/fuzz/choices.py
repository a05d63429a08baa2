"""Turns the bytes that a fuzzer makes up into decisions."""

from __future__ import annotations

from itertools import cycle
from typing import Final

SIZES: Final = 4
"""Bytes that say how the rest is cut into pieces: see :func:`cut`."""


class Choices:
    """Reads decisions from the front of some bytes. When these are used up, each one is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return max(0, len(self._data) - self._at)

    def byte(self) -> int:
        """Give the next byte."""
        return self.take(1)[0] if self.left else 0

    def number(self, below: int) -> int:
        """Give a number from 0 on that is smaller than another."""
        return int.from_bytes(self.take(4), "little") % below

    def take(self, count: int) -> bytes:
        """Give some bytes, fewer when no more are left."""
        at = self._at
        self._at = at + count
        return self._data[at : at + count]

    def rest(self) -> bytes:
        """Give all that is left."""
        return self.take(self.left)


def cut(data: bytes, sizes: bytes) -> list[bytes]:
    """Cut bytes into pieces that are not empty, as a network may.

    :param sizes: of the pieces, over and over; 0 stands for all the rest, and so does no size.
    """
    pieces: list[bytes] = []
    start = 0
    for size in cycle(sizes or b"\0"):
        if start >= len(data):
            break
        end = start + size if size else len(data)
        pieces.append(data[start:end])
        start = end
    return pieces
