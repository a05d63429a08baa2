"""Shares the reactor's time among those who ask for much at once, or for what takes long."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

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

    def give_up(self) -> None:
        """Go away: something that cannot be has happened."""


class Turns:
    """Bounds what pipelined requests can do to everybody else who is served by the reactor.

    A single read may hold thousands of requests. Who has answered for :data:`SLICE_S` is put off,
    and has its turn again when the others who were put off had theirs. While somebody waits, those
    who come anew answer one request, and then wait as well.

    :param clock: schedules, and tells the time.
    """

    log = Logger()

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
            except BaseException:  # noqa: BLE001  # the others must have their turns
                self.log.failure("a connection could not go on")
                one.give_up()
            finally:
                self._slice_ends_s = None
                now_s = self._clock.seconds()
        if self._waiting and self._call is None:
            self._call = self._clock.callLater(0, self._turn)


class Slices:
    """Gives replies that take long to make their time, one after another.

    Hundreds may be asked for within one turn of the reactor, by a client each. In each turn they
    are worked on for :data:`SLICE_S` together, and one piece more.

    :param clock: schedules, and tells the time.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._waiting: deque[Deferred[None]] = deque()
        self._ends_s = 0.0
        self._call: IDelayedCall | None = None

    def turn(self) -> Deferred[None]:
        """Wait until there is time to make something; fires at once if there is.

        May be cancelled.
        """
        if not self._waiting and self._has_time():
            return succeed(None)
        turn: Deferred[None] = Deferred()
        self._waiting.append(turn)
        return turn

    async def collect(self, pieces: Iterable[bytes]) -> list[bytes]:
        """Make something in pieces.

        Who has begun goes on before others begin: many that are half done would take much memory.

        :param pieces: makes one whenever it is asked.
        """
        made = []
        await self.turn()
        for piece in pieces:
            made.append(piece)
            if not self._has_time():
                turn: Deferred[None] = Deferred()
                self._waiting.appendleft(turn)
                await turn
        return made

    def _has_time(self) -> bool:
        now_s: float = self._clock.seconds()
        if self._call is None:
            self._ends_s = now_s + SLICE_S
            self._call = self._clock.callLater(0, self._next_turn)
        return now_s < self._ends_s

    def _next_turn(self) -> None:
        self._call = None
        while self._waiting and self._has_time():
            turn = self._waiting.popleft()
            if not turn.called:  # else it was cancelled
                turn.callback(None)
