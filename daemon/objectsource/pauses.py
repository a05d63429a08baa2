"""Pauses before answers, which a stop ends all at once."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime


class StoppingError(Exception):
    """The source stops: nothing is worth waiting for any more."""


class Pauses:
    """Lets requests wait: a timer each, and nothing else.

    :param clock: schedules.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._timers: dict[Deferred[None], IDelayedCall | None] = {}
        self._ended = False

    def __len__(self) -> int:
        return len(self._timers)

    def wait(self, seconds: float | None) -> Deferred[None]:
        """Give a Deferred that fires after so many seconds; without any, never.

        It may be cancelled, and fails with :exc:`StoppingError` when the pauses are ended.
        """
        pause: Deferred[None] = Deferred(self._forget)
        if self._ended:
            pause.errback(StoppingError("the source is stopping"))
            return pause
        self._timers[pause] = (
            None if seconds is None else self._clock.callLater(seconds, self._over, pause)
        )
        return pause

    def end(self) -> None:
        """End every pause, and let none begin."""
        self._ended = True
        for pause in list(self._timers):
            if not pause.called:  # what one of them did may have ended another
                self._forget(pause)
                pause.errback(StoppingError("the source is stopping"))

    def _over(self, pause: Deferred[None]) -> None:
        del self._timers[pause]
        pause.callback(None)

    def _forget(self, pause: Deferred[None]) -> None:
        timer = self._timers.pop(pause)
        if timer is not None:
            timer.cancel()
