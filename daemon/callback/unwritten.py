"""Callbacks that are in memory only, since the disk refused them: a rule, without I/O."""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from typing import Final

from daemon.callback.inbox_tables import Callback

MEMORY_BYTES: Final = 64 * 1024 * 1024
"""How much memory they may take together; some 200,000 callbacks, fewer when they name many ids."""

OVERHEAD_BYTES: Final = 320
"""What one takes beside the 8 bytes of each id."""


class Unwritten:
    """Callbacks in the order of their numbers, bounded by what they take.

    :param memory_bytes: how much that may be.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._free_bytes = memory_bytes
        self._callbacks: dict[int, Callback] = {}

    def __len__(self) -> int:
        return len(self._callbacks)

    def __contains__(self, number: object) -> bool:
        return number in self._callbacks

    def add(self, callback: Callback) -> bool:
        """Keep a callback, of a greater number than all before; whether there was room for it."""
        size_bytes = size_of(callback)
        if size_bytes > self._free_bytes:
            return False
        self._free_bytes -= size_bytes
        self._callbacks[callback.number] = callback
        return True

    def remove(self, number: int) -> bool:
        """Let a callback go; whether it was there."""
        callback = self._callbacks.pop(number, None)
        if callback is None:
            return False
        self._free_bytes += size_of(callback)
        return True

    def first(self, count: int, mentions: int) -> list[Callback]:
        """Give the callbacks of the smallest numbers: see :func:`cut`."""
        return cut(list(islice(self._callbacks.values(), count)), count, mentions)

    def between(self, after: int, through: int | None) -> list[Callback]:
        """Give callbacks with greater numbers than ``after``.

        :param through: the greatest number; None: there is none.
        """
        if not self._callbacks:
            return []
        numbers = list(self._callbacks)
        begin = bisect_right(numbers, after)
        end = None if through is None else bisect_right(numbers, through)
        return [self._callbacks[number] for number in numbers[begin:end]]


def cut(callbacks: list[Callback], limit: int, mentions: int) -> list[Callback]:
    """Give the first callbacks of a list.

    :param limit: how many at most.
    :param mentions: how many ids they may have together; the first comes in any case.
    """
    for place, callback in enumerate(callbacks[:limit]):
        mentions -= len(callback.ids)
        if place and mentions < 0:
            return callbacks[:place]
    return callbacks[:limit]


def size_of(callback: Callback) -> int:
    """Give what a callback takes in memory, in bytes."""
    return OVERHEAD_BYTES + 8 * len(callback.ids)
