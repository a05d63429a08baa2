"""Tells whether a history of one register is linearizable.

A history is linearizable when its operations can be put in one order, each at some moment between
its call and its answer, in which each gives what a register would give that does one thing after
another. An operation without an answer may have happened at any time after its call, or never.

Each accepted write has an entity tag of its own, so a tag is current once, for one stretch of the
order. That gives two things to look at. First, each tag's zone (Gibbons and Korach, "Testing Shared
Memories", 1997), which finds most faults at once and can say what they are. Then a search for the
order, as by Wing and Gong ("Testing and Verifying Concurrent Objects", 1993), which is exact. It
remembers where it has been, takes observations as soon as they fit, never leaves a tag that someone
has yet to see, and of writes that are alike tries one. A right history of thousands of operations
takes less than a second; a wrong one that the zones do not give away may take a minute.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

ANY: Final = "*"
"""Stands in a condition for every tag."""

UNSEEN: Final = "?"
"""Stands for the tag of a write that nobody has ever heard of."""

NOTHING: Final = None
"""Stands for the tag when nothing is stored."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """A read that was answered. One that was not has no consequences: leave it out.

    :ivar invoked: when it was called, by a clock that all operations share.
    :ivar returned: when it was answered.
    :ivar etag: what was current; None when nothing was stored (404).
    :ivar text: the value; None when the answer did not say (304).
    """

    invoked: float
    returned: float
    etag: str | None
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class Write:
    """A write, with or without conditions, of which at most one of the two outcomes is known.

    :ivar invoked: when it was called, by a clock that all operations share.
    :ivar returned: when it was accepted or refused; infinity when there was no answer, or one that
        leaves open whether it happened (5xx).
    :ivar text: the value.
    :ivar etag: the tag it was given, when it was accepted.
    :ivar refused: its conditions did not hold (412).
    :ivar if_match: the tags of If-Match, or :data:`ANY`.
    :ivar if_none_match: the tags of If-None-Match, or :data:`ANY`.
    """

    invoked: float
    returned: float = math.inf
    text: str
    etag: str | None = None
    refused: bool = False
    if_match: frozenset[str] | None = None
    if_none_match: frozenset[str] | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody knows what became of it."""
        return self.etag is None and not self.refused

    def holds(self, current: str | None) -> bool:
        """Tell whether its conditions hold while a tag is current."""
        if self.if_match is not None and (
            current is NOTHING or self.if_match.isdisjoint((ANY, current))
        ):
            return False
        return (
            self.if_none_match is None
            or current is NOTHING
            or self.if_none_match.isdisjoint((ANY, current))
        )


Operation = Read | Write


def violation(history: Iterable[Operation], initial: str | None = NOTHING) -> str | None:
    """Tell what is wrong with a history.

    :param history: its operations, in any order.
    :param initial: the tag that was current before all of them.
    :returns: None when it is linearizable, else why not.
    """
    operations = sorted(history, key=lambda operation: operation.invoked)
    return (
        _misnamed(operations, initial)
        or _overlapping(_zones(operations, initial))
        or _Search(operations, initial).stuck_at()
    )


def _misnamed(operations: Sequence[Operation], initial: str | None) -> str | None:
    """Find a tag that was given twice, or has two values."""
    given = {initial}
    texts: dict[str, str] = {}
    for operation in operations:
        if operation.etag is None:
            continue
        if isinstance(operation, Write):
            if operation.etag in given:
                return f"{operation.etag} was given twice"
            given.add(operation.etag)
        if operation.text is not None:
            text = texts.setdefault(operation.etag, operation.text)
            if text != operation.text:
                return f"{operation.etag} was {text} and {operation.text}"
    return None


class _Zone(NamedTuple):
    """What is known of the time when a tag was current.

    :ivar first_return: by then it had become current.
    :ivar last_call: until then it had not ceased to be.
    """

    first_return: float
    last_call: float
    etag: str | None


def _zones(operations: Sequence[Operation], initial: str | None) -> list[_Zone]:
    zones = {initial: _Zone(-math.inf, -math.inf, initial)}
    for operation in operations:
        if isinstance(operation, Write) and operation.etag is None:
            continue
        etag = operation.etag
        zone = zones.get(etag, _Zone(math.inf, -math.inf, etag))
        zones[etag] = _Zone(
            min(zone.first_return, operation.returned),
            max(zone.last_call, operation.invoked),
            etag,
        )
    return list(zones.values())


def _overlapping(zones: list[_Zone]) -> str | None:
    """Find two tags that cannot both have been current for one stretch."""
    certain = sorted(
        (zone for zone in zones if zone.first_return < zone.last_call), key=lambda zone: zone[:2]
    )
    for one, other in pairwise(certain):
        if other.first_return < one.last_call:
            return (
                f"{one.etag} was current from {one.first_return} to {one.last_call},"
                f" {other.etag} from {other.first_return} to {other.last_call}"
            )
    brief = (zone for zone in zones if zone.first_return >= zone.last_call)
    waiting = iter(sorted(brief, key=lambda zone: zone.last_call))
    candidate = next(waiting, None)
    for zone in certain:
        while candidate is not None and candidate.last_call < zone.last_call:
            if zone.first_return < candidate.last_call and candidate.first_return < zone.last_call:
                return (
                    f"{zone.etag} was current from {zone.first_return} to {zone.last_call},"
                    f" {candidate.etag} at some time in between"
                )
            candidate = next(waiting, None)
    return None


class _Place(NamedTuple):
    """Where the search is.

    :ivar taken: a bit for each operation that is in the order, and each unexplained tag in use.
    :ivar current: the tag that is current after them.
    """

    taken: int
    current: str | None


class _Search:
    """Looks for an order of operations, given by their calls."""

    def __init__(self, operations: Sequence[Operation], initial: str | None) -> None:
        self._initial = initial
        self._open = [o for o in operations if isinstance(o, Write) and o.is_open]
        self._known = [o for o in operations if not (isinstance(o, Write) and o.is_open)]
        self._everything = (1 << len(self._known)) - 1
        self._unexplained = _unexplained(operations, initial)
        self._mentioned = _mentioned(operations)
        self._needs: dict[str | None, int] = defaultdict(int)
        self._lapses: dict[str | None, int] = defaultdict(int)
        self._deadlines: dict[str | None, float] = defaultdict(lambda: math.inf)
        for index, operation in enumerate(self._known):
            for etag in _tags_needed(operation):
                self._needs[etag] |= 1 << index
                self._deadlines[etag] = min(self._deadlines[etag], operation.returned)
        for number, write in enumerate(self._open, len(self._known)):
            for etag in _tags_needed(write):
                self._lapses[etag] |= 1 << number

    def stuck_at(self) -> str | None:
        """Give the operation that no order explains; None when there is an order."""
        places = [_Place(0, self._initial)]
        seen: dict[_Place, list[int]] = defaultdict(list)
        farthest = 0
        while places:
            place = self._observed(places.pop())
            taken = place.taken & self._everything
            if taken == self._everything:
                return None
            spent = place.taken ^ taken
            spent_before = seen[_Place(taken, place.current)]
            # What is spent there and left over here is optional, so nothing better lies ahead.
            if not any(before & spent == before for before in spent_before):
                spent_before.append(spent)
                farthest = max(farthest, taken, key=int.bit_count)
                places += sorted(self._next(place), key=self._urgency, reverse=True)
        stuck = min(
            (o for i, o in enumerate(self._known) if not farthest >> i & 1),
            key=lambda operation: operation.returned,
        )
        return f"no order explains {stuck}"

    def _urgency(self, place: _Place) -> tuple[bool, float]:
        """Try first the tag that has to be seen first, and unseen ones last."""
        return place.current == UNSEEN, self._deadlines[place.current]

    def _enabled(self, taken: int) -> tuple[list[int], float]:
        """Give the known operations that may come next, and the latest call that may."""
        limit = math.inf
        enabled = []
        index = (~taken & (taken + 1)).bit_length() - 1
        while index < len(self._known) and self._known[index].invoked <= limit:
            if not taken >> index & 1:
                limit = min(limit, self._known[index].returned)
                enabled.append(index)
            index += 1
        return enabled, limit

    def _observed(self, place: _Place) -> _Place:
        """Take all that changes nothing and fits: later it would fit no better."""
        taken, current = place
        while True:
            fitting = [
                index
                for index in self._enabled(taken & self._everything)[0]
                if _observes(self._known[index], current)
            ]
            if not fitting:
                return _Place(taken, current)
            for index in fitting:
                taken |= 1 << index

    def _next(self, place: _Place) -> Iterator[_Place]:
        """Give the places to which a write may lead."""
        taken, current = place
        enabled, limit = self._enabled(taken & self._everything)
        missing = self._needs[current] & ~taken
        lapsed = taken | self._lapses[current]
        for index in self._first_unmentioned(enabled):
            operation = self._known[index]
            bit = 1 << index
            if operation.etag is None or isinstance(operation, Read):
                continue
            if operation.holds(current) and not missing & ~bit:
                is_mentioned = operation.etag in self._mentioned
                yield _Place(lapsed | bit, operation.etag if is_mentioned else UNSEEN)
        if missing:
            return
        for bit, write in self._open_writes(taken, limit):
            if write.holds(current):
                yield from self._outcomes(lapsed | bit, write)
                if self._is_spare(taken, write) and self._helps(place, enabled, limit):
                    yield _Place(lapsed | bit, UNSEEN)

    def _first_unmentioned(self, enabled: list[int]) -> Iterator[int]:
        """Leave out all but the most urgent of the writes that differ in nothing else."""
        alike = []
        for index in enabled:
            operation = self._known[index]
            if operation.etag in self._mentioned or not _is_unconditional(operation):
                yield index
            else:
                alike.append(index)
        if alike:
            yield min(alike, key=lambda index: self._known[index].returned)

    def _open_writes(self, taken: int, limit: float) -> Iterator[tuple[int, Write]]:
        """Give the writes of unknown outcome that may come next, one of each kind."""
        wanted = {text for _, _, text in self._unused(taken)}
        kinds = set()
        for number, write in enumerate(self._open, len(self._known)):
            text = write.text if write.text in wanted else None
            kind = text, write.if_match, write.if_none_match
            if not taken >> number & 1 and write.invoked <= limit and kind not in kinds:
                kinds.add(kind)
                yield 1 << number, write

    def _outcomes(self, taken: int, write: Write) -> Iterator[_Place]:
        """Give the places to which an open write leads if it made a tag that someone knows."""
        for bit, etag, text in self._unused(taken):
            if text in {None, write.text}:
                yield _Place(taken | bit, etag)

    def _unused(self, taken: int) -> Iterator[tuple[int, str, str | None]]:
        """Give the tags that no write has made yet, with their bits and values."""
        first = len(self._known) + len(self._open)
        for number, (etag, text) in enumerate(self._unexplained.items(), first):
            if not taken >> number & 1:
                yield 1 << number, etag, text

    def _is_spare(self, taken: int, write: Write) -> bool:
        """Tell whether a write is not needed to make a tag that someone has yet to see."""
        texts = [text for _, etag, text in self._unused(taken) if self._needs[etag]]
        if write.text not in texts:
            return True
        makers = enumerate(self._open, len(self._known))
        left = sum(o.text == write.text for number, o in makers if not taken >> number & 1)
        return texts.count(write.text) < left

    def _helps(self, place: _Place, enabled: list[int], limit: float) -> bool:
        """Tell whether a tag unseen by all makes anything possible that was not.

        If it does not, what follows it might as well follow without it.
        """
        writes = [o for o in (self._known[i] for i in enabled) if isinstance(o, Write)]
        opens = (write for _, write in self._open_writes(place.taken, limit))
        writes += [write for write in opens if any(self._outcomes(place.taken, write))]
        return any(
            write.holds(place.current) if write.refused else not write.holds(place.current)
            for write in writes
            if write.holds(UNSEEN) is not write.refused
        )


def _observes(operation: Operation, current: str | None) -> bool:
    """Tell whether an operation changes nothing and fits to the current tag."""
    if isinstance(operation, Read):
        return operation.etag == current
    return operation.refused and not operation.holds(current)


def _is_unconditional(operation: Operation) -> bool:
    """Tell whether an operation is a write that happens whatever is current."""
    return (
        isinstance(operation, Write)
        and not operation.refused
        and operation.if_match is operation.if_none_match is None
    )


def _tags_needed(operation: Operation) -> Iterator[str | None]:
    """Give the tag that must be current for an operation to do what it did, or might do."""
    if isinstance(operation, Read):
        yield operation.etag
    elif not operation.refused:
        if operation.if_match is not None and len(operation.if_match) == 1:
            yield from operation.if_match - {ANY}
        elif operation.if_none_match is not None and ANY in operation.if_none_match:
            yield NOTHING


def _mentioned(operations: Sequence[Operation]) -> frozenset[str | None]:
    """Give the tags that make a difference to anything but the write that made them."""
    tags: set[str | None] = set()
    for operation in operations:
        if isinstance(operation, Read):
            tags.add(operation.etag)
        else:
            tags.update(operation.if_match or (), operation.if_none_match or ())
    return frozenset(tags)


def _unexplained(operations: Sequence[Operation], initial: str | None) -> dict[str, str | None]:
    """Give the tags that are known and that no known write made, with their values if known."""
    tags: dict[str, str | None] = {}
    for operation in operations:
        if isinstance(operation, Write):
            for condition in (operation.if_match, operation.if_none_match):
                for etag in (condition or frozenset()) - {ANY}:
                    tags.setdefault(etag, None)
        elif operation.etag is not None:
            tags[operation.etag] = operation.text or tags.get(operation.etag)
    for operation in operations:
        if isinstance(operation, Write) and operation.etag is not None:
            tags.pop(operation.etag, None)
    if initial is not None:
        tags.pop(initial, None)
    return tags
