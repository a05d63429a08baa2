"""Which of the 10^9 numbers were seen: one bit each, and one vectorised step for a batch."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from daemon.numbers.wire import Numbers

SIZE: Final = 10**9
_STRETCHES: Final = np.append(np.arange(0, SIZE // 8, 1 << 21), SIZE // 8)
"""Edges of the stretches of the bitmap that get their memory at once: 2 MiB, a huge page."""

_BITS: Final = (1 << np.arange(8)).astype(np.uint8)


class Ledger:
    """A set of numbers from 0 to 999,999,999.

    The bitmap has 125 MB; the system gives its pages when they are first touched.
    """

    def __init__(self) -> None:
        self._bitmap: NDArray[np.uint8] = np.zeros(SIZE // 8, np.uint8)
        self._touched: NDArray[np.bool_] = np.zeros(len(_STRETCHES) - 1, np.bool_)

    def unseen(self, numbers: Numbers) -> Numbers:
        """Give those of a batch that are not in the set, each once, in ascending order.

        Sorting brings duplicates side by side and lets the look-ups walk through the bitmap in
        one direction, which spares the processor most of the wait for memory.

        :param numbers: a batch, sorted in place.
        """
        numbers.sort()
        where, bits = _places(numbers)
        unseen: NDArray[np.bool_] = (self._bitmap.take(where) & bits) == 0
        unseen[1:] &= numbers[1:] != numbers[:-1]
        return numbers[unseen]

    def add(self, unseen: Numbers) -> None:
        """Take numbers into the set.

        :param unseen: distinct numbers that are not in the set, as :meth:`unseen` gives them. As
            each bit is still 0 and comes once, adding is setting, also for bits of one byte.
        """
        where, bits = _places(unseen)
        if not self._touched.all():
            self._touch(where)
        np.add.at(self._bitmap, where, bits)

    def _touch(self, where: NDArray[np.int64]) -> None:
        """Have the system give the memory for some places now.

        It takes up to a millisecond for each stretch, which ``add.at`` would spend holding the
        interpreter, and so the reactor; filling a slice does not.

        :param where: bytes of the bitmap, in ascending order.
        """
        needed: NDArray[np.bool_] = np.diff(where.searchsorted(_STRETCHES)) > 0
        for stretch in np.flatnonzero(needed & ~self._touched):
            self._bitmap[_STRETCHES[stretch] : _STRETCHES[stretch + 1]] = 0
        self._touched |= needed


def _places(numbers: Numbers) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Give the byte of each number, and its bit in that byte."""
    where = np.right_shift(numbers, 3, dtype=np.int64)
    return where, _BITS.take(numbers & np.uint32(7))
