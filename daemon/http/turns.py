"""Shares the reactor's time among connections whose clients ask for much at once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall

SLICE_S: Final = 0.001
"""So long one connection goes on answering before others have their turn: some hundred requests
to most services, and one where a single reply takes longer."""

TURN_S: Final = 0.005
"""So long all connections of a server that were put off go on together, before the reactor looks
after everyone else."""


class Waiting(Protocol):
    """Someone who was put off."""

    def go_on(self) -> None:
        """Do as much as there is time for; ask to be put off again if there is more."""


class Turns:
    """Bounds what pipelined requests can do to everybody else who is served by the reactor.

    A single read may hold thousands of requests. Who has answered for :data:`SLICE_S` is put off,
    and has its turn again when the others who were put off had theirs. While somebody waits, those
    who come anew answer one request, and then wait as well.

    :param clock: schedules, and tells the time.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._slice_ends_s: float | None = None
        self._call: IDelayedCall | None = None

    def slice_end_s(self) -> float:
        """Give until when whoever works now may go on, in seconds of the clock."""
        if self._slice_ends_s is not None:
            return self._slice_ends_s
        now_s: float = self._clock.seconds()
        return now_s if self._waiting else now_s + SLICE_S

    def put_off(self, one: Waiting) -> None:
        """Let someone go on later, behind those who are waiting."""
        self._waiting[one] = None
        if self._call is None:
            self._call = self._clock.callLater(0, self._turn)

    def forget(self, one: Waiting) -> None:
        """Let someone who has gone wait no more."""
        self._waiting.pop(one, None)

    def stop(self) -> None:
        """Give nobody a turn any more."""
        self._waiting.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _turn(self) -> None:
        self._call = None
        now_s = self._clock.seconds()
        ends_s = now_s + TURN_S
        for _ in range(len(self._waiting)):
            if not self._waiting or now_s >= ends_s:
                break
            one = self._waiting.popitem(last=False)[0]
            self._slice_ends_s = min(now_s + SLICE_S, ends_s)
            try:
                one.go_on()
            finally:
                self._slice_ends_s = None
                now_s = self._clock.seconds()
        if self._waiting and self._call is None:
            self._call = self._clock.callLater(0, self._turn)
