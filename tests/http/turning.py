"""A clock whose turns are those of a reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock

HELD_S = 1e9


class Turning(Clock):
    """Runs in one turn what was due before it, as a reactor does; time passes while it works."""

    def __init__(self) -> None:
        super().__init__()
        self._turning = False
        self._held: list[tuple[Any, float]] = []

    def callLater(
        self,
        delay: float,
        callable: Callable[..., object],  # noqa: A002  # as Twisted calls it
        *args: object,
        **kw: object,
    ) -> IDelayedCall:
        """Call later; what is asked for during a turn has its time after it."""
        call = super().callLater(HELD_S if self._turning else delay, callable, *args, **kw)
        if self._turning:
            self._held.append((call, delay))
        return call

    def work(self, seconds: float) -> None:
        """Be busy."""
        self.rightNow += seconds

    def turn(self) -> None:
        """Do what is due."""
        self._turning = True
        self.advance(0)
        self._turning = False
        held, self._held = self._held, []
        for call, delay_s in held:
            if call.active():
                call.reset(delay_s)

    @property
    def is_busy(self) -> bool:
        """Whether something is due."""
        return any(call.getTime() <= self.seconds() for call in self.getDelayedCalls())
