"""Which objects are to be looked up, when, and what that settles: a rule, without I/O.

Callbacks name objects. An object that several name is looked up once for all of them, unless one
came after the answer. A mention is settled when its object is offline, unknown or refused, when it
is online and stored, or when the lifespan of an object seen at the callback's receipt would be
over; a callback is settled when all of its mentions are.

Times are microseconds since the epoch.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from heapq import heappop, heappush
from typing import Final, NamedTuple

from msgspec import Struct

from daemon.callback.verdict import Says, Verdict

FIRST_WAIT_US: Final = 100_000
"""The most that the second try of a lookup waits; each later one twice as much."""

LONGEST_WAIT_US: Final = 5_000_000
"""The most that any try waits, unless the source asks for more."""

STRIKES: Final = 64
"""After so many failures without a success the source counts as down."""

PROBES: Final = 4
"""So many lookups at once find out whether a source that is down is back."""

PROBE_WAIT_US: Final = 250_000
"""The pause of a probe that failed: nobody floods a source that is down."""

KEPT: Final = 64
"""So many callbacks at least may name an object before those are let go that are settled."""

DROPPED_AT_ONCE: Final = 20_000
"""So many objects at most are given up in one turn; accepting goes first."""

_SMOOTHING: Final = 0.05
"""The weight of the latest lookup in the mean of their times."""

_SLACK: Final = 1000
"""So many callbacks that are settled may stand in a list that is gone through later."""

Random = Callable[[], float]
"""Gives a number in [0, 1)."""


class Claim(NamedTuple):
    """An object that is online, to be stored.

    :ivar id: the object.
    :ivar last_seen_us: when the latest callback that named it was received.
    :ivar callbacks: the numbers of the callbacks that are waiting for this.
    """

    id: int
    last_seen_us: int
    callbacks: list[int]


class _Place(Enum):
    """Where an object is that has to be looked up."""

    READY = "its turn comes"
    LATE = "its turn comes when nobody else has one"
    LATER = "it failed, and is tried again"
    UNDER_WAY = "it is being looked up"
    GONE = "it need not be looked up any more"


class _Wanted(Struct, gc=False, eq=False):
    """An object that has to be looked up, or is being.

    There may be a hundred thousand: nothing in it is of interest to the garbage collector, whose
    rounds would keep callbacks waiting.
    """

    id: int
    latest_us: int
    callbacks: array[int]
    room: int = KEPT
    failures: int = 0
    place: _Place = _Place.READY
    begun_us: int = 0


class Lookups:
    """The callbacks that are being worked on, and the objects that they name.

    :param lifespan_us: how long an object is kept after it was seen.
    :param concurrency: how many lookups may be under way at once.
    :param random: spreads the tries.
    :ivar mentions: objects in callbacks that are not settled.
    :ivar under_way: lookups that were begun and not ended.
    :ivar retries: how often a lookup had to be put off.
    :ivar expired: callbacks that were settled because their time was over.
    """

    def __init__(self, lifespan_us: int, concurrency: int, random: Random) -> None:
        self._lifespan_us = lifespan_us
        self._concurrency = concurrency
        self._random = random
        self._wanted: dict[int, _Wanted] = {}
        self._ready: deque[_Wanted] = deque()
        self._late: deque[_Wanted] = deque()
        self._later: list[tuple[int, int, _Wanted]] = []
        self._left: dict[int, int] = {}
        self._by_receipt: deque[tuple[int, int]] = deque()
        self._settled: list[int] = []
        self._strikes = 0
        self._probe_at_us = 0
        self._order = 0
        self._usual_us = 0.0
        self.mentions = 0
        self.under_way = 0
        self.retries = 0
        self.expired = 0

    @property
    def callbacks(self) -> int:
        """How many callbacks are being worked on."""
        return len(self._left)

    @property
    def size(self) -> int:
        """How many objects and mentions of them are in memory, whichever are more."""
        return max(self.mentions, len(self._wanted))

    @property
    def source_is_down(self) -> bool:
        """Whether so much has failed that only probes are sent."""
        return self._strikes >= STRIKES

    def add(self, number: int, received_us: int, ids: Sequence[int]) -> None:
        """Take in a callback.

        :param number: names it.
        :param ids: the objects that it names, each once.
        """
        if not ids:
            self._settled.append(number)
            return
        self._left[number] = len(ids)
        self.mentions += len(ids)
        self._by_receipt.append((received_us, number))
        wanted = self._wanted
        for object_id in ids:
            one = wanted.get(object_id)
            if one is None:
                one = wanted[object_id] = _Wanted(object_id, received_us, array("q", (number,)))
                self._ready.append(one)
                continue
            one.callbacks.append(number)
            one.latest_us = max(one.latest_us, received_us)
            if one.place is _Place.LATE:
                self._ready_again(one)
            if len(one.callbacks) > one.room:
                self._thin_out(one)

    def is_over(self, received_us: int, now_us: int) -> bool:
        """Whether the objects of a callback need not be stored any more."""
        return received_us + self._lifespan_us < now_us

    def pass_over(self, number: int) -> None:
        """Settle a callback whose time was over before it was added."""
        self.expired += 1
        self._settled.append(number)

    def begin(self, now_us: int) -> int | None:
        """Give an object to look up now; None when there is none, or enough is under way."""
        if self.under_way >= self._concurrency:
            return None
        if self._strikes >= STRIKES and (self.under_way >= PROBES or now_us < self._probe_at_us):
            return None
        self._let_due(now_us)
        enough_us = now_us + self._enough_us
        while self._ready:
            one = self._ready.popleft()
            if one.latest_us + self._lifespan_us >= enough_us:
                return self._begun(one, now_us)
            # With more to look up than can be, answers would all come too late if each object
            # were asked for when its time is nearly over.
            one.place = _Place.LATE
            self._late.append(one)
        while self._late:
            one = self._late.popleft()
            if one.place is _Place.LATE:
                if one.latest_us + self._lifespan_us >= now_us:
                    return self._begun(one, now_us)
                self._drop(one)
        return None

    def next_us(self, now_us: int) -> int | None:
        """Give the time when :meth:`begin` should be asked again; None: after the next event."""
        if self.under_way >= (PROBES if self.source_is_down else self._concurrency):
            return None
        if self._ready or self._late:
            at = now_us
        elif self._later:
            at = self._later[0][0]
        else:
            return None
        return max(at, self._probe_at_us) if self.source_is_down else at

    def end(self, object_id: int, verdict: Verdict, now_us: int) -> Claim | None:
        """Take the outcome of a lookup that :meth:`begin` gave.

        :returns: what has to be stored before its callbacks are settled, if anything has.
        """
        self.under_way -= 1
        one = self._wanted[object_id]
        if verdict.says is Says.NOTHING:
            self._put_off(one, verdict.wait_us, now_us)
            return None
        self._strikes = 0
        self._usual_us += _SMOOTHING * (now_us - one.begun_us - self._usual_us)
        del self._wanted[object_id]
        if verdict.says is Says.ONLINE and one.latest_us + self._lifespan_us >= now_us:
            return Claim(object_id, one.latest_us, one.callbacks.tolist())
        self.settle(one.callbacks)
        return None

    def settle(self, callbacks: Iterable[int]) -> None:
        """Take one mention off each of these callbacks; those without any left are settled."""
        left = self._left
        for number in callbacks:
            count = left.get(number)
            if count is None:  # its time was over
                continue
            self.mentions -= 1
            if count > 1:
                left[number] = count - 1
            else:
                del left[number]
                self._settled.append(number)

    def waits(self, number: int) -> bool:
        """Whether a callback is not settled."""
        return number in self._left

    def expire(self, now_us: int) -> None:
        """Settle callbacks whose objects need not be stored any more, whatever the source says.

        Objects that nobody needs any more are given up, some of them each time.
        """
        by_receipt, left = self._by_receipt, self._left
        if len(by_receipt) > 2 * len(left) + _SLACK:
            by_receipt = self._by_receipt = deque(each for each in by_receipt if each[1] in left)
        over_us = now_us - self._lifespan_us
        while by_receipt and by_receipt[0][0] < over_us:
            _, number = by_receipt.popleft()
            mentions = left.pop(number, 0)
            if mentions:
                self.expired += 1
                self.mentions -= mentions
                self._settled.append(number)
        self._let_due(now_us)
        for queue, place in ((self._ready, _Place.READY), (self._late, _Place.LATE)):
            for _ in range(min(DROPPED_AT_ONCE, len(queue))):
                if queue[0].place is place and queue[0].latest_us >= over_us:
                    break
                one = queue.popleft()
                if one.place is place:
                    self._drop(one)

    def take_settled(self) -> list[int]:
        """Give the callbacks that were settled since the last call."""
        settled, self._settled = self._settled, []
        return settled

    @property
    def _enough_us(self) -> int:
        """So much of its life an object should have left when its lookup begins."""
        return min(int(2 * self._usual_us), self._lifespan_us // 2)

    def _begun(self, one: _Wanted, now_us: int) -> int:
        one.place = _Place.UNDER_WAY
        one.begun_us = now_us
        self.under_way += 1
        return one.id

    def _let_due(self, now_us: int) -> None:
        """Let those have their turn whose wait is over."""
        later = self._later
        while later and later[0][0] <= now_us:
            self._ready_again(heappop(later)[2])

    def _ready_again(self, one: _Wanted) -> None:
        one.place = _Place.READY
        self._ready.append(one)

    def _put_off(self, one: _Wanted, wait_us: int, now_us: int) -> None:
        """Try again later, if there is a later: full jitter, doubled with each failure."""
        self._strikes += 1
        if self._strikes >= STRIKES:
            self._probe_at_us = now_us + int(PROBE_WAIT_US * (0.5 + self._random()))
        over_us = one.latest_us + self._lifespan_us
        if now_us + wait_us > over_us or now_us == over_us:
            self._drop(one)
            return
        longest = min(LONGEST_WAIT_US, FIRST_WAIT_US << min(one.failures, 10))
        at_us = min(now_us + max(wait_us, int(longest * self._random())), over_us)
        one.failures += 1
        self.retries += 1
        self._order += 1
        one.place = _Place.LATER
        heappush(self._later, (at_us, self._order, one))

    def _thin_out(self, one: _Wanted) -> None:
        """Forget callbacks that are settled: while a source is down they are more and more."""
        left = self._left
        one.callbacks = array("q", [number for number in one.callbacks if number in left])
        one.room = max(KEPT, 2 * len(one.callbacks))

    def _drop(self, one: _Wanted) -> None:
        """Give an object up; its callbacks need it no more."""
        one.place = _Place.GONE
        del self._wanted[one.id]
        self.settle(one.callbacks)
