"""How late the reactor is: a call for a certain moment, and when it came."""

from __future__ import annotations

from collections import deque
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from daemon.metrics import Histogram

INTERVAL_S: Final = 0.25
REMEMBERED: Final = 8
"""Calls: those of the last two seconds."""


class ReactorLag:
    """Measures, four times a second, how late the reactor makes a call.

    :param clock: the reactor.
    :param told: told each lag, in seconds.
    """

    def __init__(self, clock: IReactorTime, told: Histogram) -> None:
        self._clock = clock
        self._told = told
        self._recent: deque[float] = deque(maxlen=REMEMBERED)
        self._due = 0.0
        self._call: IDelayedCall | None = None

    @property
    def worst_s(self) -> float:
        """The longest lag of the last two seconds."""
        return max(self._recent, default=0.0)

    def start(self) -> None:
        """Begin to measure."""
        self._due = self._clock.seconds() + INTERVAL_S
        self._call = self._clock.callLater(INTERVAL_S, self._called)

    def stop(self) -> None:
        """Measure no more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _called(self) -> None:
        late_s = max(0.0, self._clock.seconds() - self._due)
        self._recent.append(late_s)
        self._told.observe(late_s)
        self.start()
