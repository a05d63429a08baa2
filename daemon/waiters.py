"""Readers that wait for something to change, or for their time: any number of them, one timer."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

RELEASED_AT_ONCE: Final = 256
"""So many are released in one turn of the reactor: each has its reply made there and then."""


class Waiters:
    """Lets readers wait.

    :param clock: schedules.
    :ivar closed: nobody waits any more.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[int, Deferred[None]] = {}
        self._until: list[tuple[float, int]] = []
        self._numbers = count()
        self._timer: IDelayedCall | None = None
        self._timer_until = inf
        self.closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, seconds: float) -> Deferred[None]:
        """Give a Deferred that fires at the next :meth:`wake`, or when the time is over.

        It may be cancelled when nobody waits any more.
        """
        number = next(self._numbers)
        waiter: Deferred[None] = Deferred(lambda _: self._forget(number))
        if self.closed:
            waiter.callback(None)
            return waiter
        self._waiting[number] = waiter
        heappush(self._until, (self._clock.seconds() + seconds, number))
        self._set_timer()
        return waiter

    def wake(self) -> None:
        """Release all who wait now."""
        if not self._waiting:
            return
        released = list(self._waiting.values())
        self._waiting.clear()
        self._until.clear()
        self._set_timer()
        self._release(released)

    def close(self) -> None:
        """Release all, and let nobody wait any more."""
        self.closed = True
        self.wake()

    def _release(self, waiters: list[Deferred[None]]) -> None:
        for waiter in waiters[:RELEASED_AT_ONCE]:
            if not waiter.called:  # cancelled meanwhile
                waiter.callback(None)
        rest = waiters[RELEASED_AT_ONCE:]
        if rest:
            self._clock.callLater(0, self._release, rest)

    def _forget(self, number: int) -> None:
        self._waiting.pop(number, None)
        # What nobody waits for stays in the heap until its time, unless it is most of the heap.
        if len(self._until) > 2 * len(self._waiting) + RELEASED_AT_ONCE:
            self._until = [entry for entry in self._until if entry[1] in self._waiting]
            heapify(self._until)
            self._set_timer()

    def _time_over(self) -> None:
        self._timer = None
        over = []
        while self._until and self._until[0][0] <= self._clock.seconds():
            _, number = heappop(self._until)
            waiter = self._waiting.pop(number, None)
            if waiter is not None:
                over.append(waiter)
        self._set_timer()
        self._release(over)

    def _set_timer(self) -> None:
        """Have the timer go off when the first one's time is over."""
        first = self._until[0][0] if self._until else inf
        if self._timer is not None:
            if self._timer_until == first:
                return
            self._timer.cancel()
            self._timer = None
        if self._until:
            self._timer_until = first
            delay = max(0.0, first - self._clock.seconds())
            self._timer = self._clock.callLater(delay, self._time_over)
