"""One timer for any number of deadlines."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

TICK_S: Final = 0.5
"""How often the timer looks; a deadline is noticed this much late at most."""

NEVER: Final = 2**63
"""The tick of what nobody looks at."""


class Bound(Protocol):
    """Something that must have moved on by its deadline.

    :ivar deadline: when, in seconds of the clock; :data:`math.inf` for never. May be put off at
        any time without telling anyone, which makes it cheap: that is what happens all the time.
    :ivar tick: belongs to :class:`Deadlines`: when it is looked at; :data:`NEVER` to begin with.
    """

    deadline: float
    tick: int

    def overdue(self) -> None:
        """The deadline has passed."""


class Deadlines:
    """Looks at each thing when its deadline could have passed.

    Things are kept in one set for each tick. Who has put off its deadline meanwhile is kept for
    the later tick: so a busy connection costs one look each time its idle time would have been
    over, and an idle one the same.

    A tick may come late: the process stood still, or the reactor was busy. What arrived meanwhile
    was in time, but nobody has read it. So it is read first, in one more turn of the reactor.

    :param clock: schedules, and tells the time.
    :param on_tick: told the time at the start and at each tick. Who puts a deadline off very often
        can go by this time: asking the clock costs more, and a tick more or less is no matter.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, on_tick: Callable[[float], None]) -> None:
        self._clock = clock
        self._on_tick = on_tick
        self._due: dict[int, set[Bound]] = {}
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        self._looked = 0
        self._after_reading: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        now = self._clock.seconds()
        self._on_tick(now)
        self._looked = int(now / TICK_S)
        self._loop.start(TICK_S, now=False)

    def stop(self) -> None:
        """Look no longer."""
        if self._loop.running:
            self._loop.stop()
        if self._after_reading is not None:
            self._after_reading.cancel()
            self._after_reading = None

    def watch(self, thing: Bound) -> None:
        """Have a thing looked at; needed when it was not, or its deadline is earlier now."""
        tick = max(int(thing.deadline / TICK_S), self._looked) + 1
        if tick < thing.tick:
            self.forget(thing)
            thing.tick = tick
            self._due.setdefault(tick, set()).add(thing)

    def forget(self, thing: Bound) -> None:
        """Do not look at a thing any more."""
        things = self._due.get(thing.tick)
        if things is not None:
            things.discard(thing)
        thing.tick = NEVER

    def look_at(self, things: Iterable[Bound]) -> None:
        """Look at things now, which is more exact than the next tick."""
        now = self._clock.seconds()
        for thing in things:
            if thing.tick != NEVER:  # else nothing is due, or it was forgotten by one before it
                self.forget(thing)
                self._look_at(thing, now)

    def _look(self) -> None:
        now = self._clock.seconds()
        self._on_tick(now)
        if int(now / TICK_S) <= self._looked + 1:
            self._look_through()
        elif self._after_reading is None:
            self._after_reading = self._clock.callLater(0, self._look_late)

    def _look_late(self) -> None:
        self._after_reading = None
        self._look_through()

    def _look_through(self) -> None:
        """Look at all that is due by now."""
        now = self._clock.seconds()
        latest = int(now / TICK_S)
        for tick in range(self._looked + 1, latest + 1):
            self._looked = tick
            for thing in self._due.pop(tick, ()):
                if thing.tick == tick:  # else it was forgotten by one before it
                    thing.tick = NEVER
                    self._look_at(thing, now)

    def _look_at(self, thing: Bound, now: float) -> None:
        if thing.deadline > now:
            if thing.deadline < inf:
                self.watch(thing)
            return
        thing.deadline = inf
        try:
            thing.overdue()
        except Exception:  # noqa: BLE001
            # One thing's failure must not end the timer of all others.
            self.log.failure("a deadline could not be kept")
