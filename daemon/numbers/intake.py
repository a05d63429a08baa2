"""What was received and is not recorded yet. A batch is made of many reads and clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np

from daemon.numbers import wire

Sender = TypeVar("Sender")

SMALL_BLOCK: Final = 4096
"""Bytes. Up to here a block costs less to check by the methods of ``bytes`` than to convert; its
lines are converted later, with those of many others."""


@dataclass(frozen=True)
class Batch(Generic[Sender]):
    """Numbers that are recorded together.

    :ivar numbers: in no order.
    :ivar senders: who sent some of them.
    """

    numbers: wire.Numbers
    senders: frozenset[Sender]


class Intake(Generic[Sender]):
    """Collects regular lines until a batch of them is taken out."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._blocks: list[wire.Numbers] = []
        self._senders: set[Sender] = set()
        self.count = 0

    def add(self, block: bytes, sender: Sender) -> int:
        """Take the regular lines at the start of a block.

        :param block: what the sender sent, from the start of a line on; may end anywhere.
        :returns: how many bytes of it were taken.
        """
        if len(block) <= SMALL_BLOCK:
            taken = wire.regular_bytes(block)
            if taken:
                self._lines.append(block[:taken])
        else:
            numbers = wire.parse(block)
            taken = len(numbers) * wire.LINE
            if taken:
                self._blocks.append(numbers)
        if taken:
            self._senders.add(sender)
            self.count += taken // wire.LINE
        return taken

    def take(self) -> Batch[Sender]:
        """Give everything collected, and start anew."""
        if self._lines:
            self._blocks.append(wire.parse(b"".join(self._lines)))
        batch = Batch(np.concatenate(self._blocks), frozenset(self._senders))
        self._lines.clear()
        self._blocks.clear()
        self._senders.clear()
        self.count = 0
        return batch
