"""What an object's state is, how long an answer takes, and what goes wrong with it.

Everything comes from numbers that are drawn from a seed: the same requests in the same order get
the same answers, and the callbacks are the same whatever is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Final, Literal

INT64: Final = range(-(2**63), 2**63)
"""What an id may be."""

Online = Literal["even", "odd", "all", "none", "random"]
"""Which objects are online; by ``random``, each answer says what it likes."""

GARBAGE: Final = (
    b"",
    b"\xff\xfe\x00",
    b"<html><body>busy</body></html>",
    b'{"id":%d,"online":tru',
    b'{"id":%d}',
    b'{"id":%d,"online":"yes"}',
    b'{"id":"%d","online":true}',
    b'[{"id":%d,"online":true}]',
    b'{"id":%d.5,"online":true}',
)
"""Bodies of answers that are none, though most name the object."""

_ID: Final = re.compile(r"-?[0-9]{1,40}")
_RANGE: Final = re.compile(r"(-?[0-9]{1,40})\.\.(-?[0-9]{1,40})")


class NotAnIdError(ValueError):
    """What was asked for is no id."""


def parse_id(text: str) -> int:
    """Read an object's id.

    :raises NotAnIdError: it is no int64 in decimal digits.
    """
    if not _ID.fullmatch(text) or int(text) not in INT64:
        raise NotAnIdError("an object's id is a whole number of 64 bits")
    return int(text)


def parse_range(text: str) -> range:
    """Read a range of ids such as ``0..99``, both ends included.

    :raises ValueError: it is none, or empty.
    """
    match = _RANGE.fullmatch(text)
    if match is not None:
        first, last = map(int, match.groups())
        if first <= last and first in INT64 and last in INT64:
            return range(first, last + 1)
    raise ValueError(f"got {text!r}, wanted FIRST..LAST, whole numbers of 64 bits, as in 0..99")


class Fault(Enum):
    """What can go wrong with an answer.

    :cvar ERROR: status 500.
    :cvar RESET: the connection is reset in the middle of the answer.
    :cvar CUT: the connection is closed in the middle of the answer.
    :cvar HANG: nothing is ever answered.
    :cvar GARBAGE: status 200, and a body that says nothing of use (:data:`GARBAGE`).
    :cvar NOISE: bytes that are no HTTP.
    :cvar WRONG_ID: status 200, and the state of another object.
    :cvar FLOOD: status 200, and a body of 100 MB.
    """

    ERROR = "error"
    RESET = "reset"
    CUT = "cut"
    HANG = "hang"
    GARBAGE = "garbage"
    NOISE = "noise"
    WRONG_ID = "wrong_id"
    FLOOD = "flood"


@dataclass(frozen=True)
class Answer:
    """What becomes of one request.

    :ivar body: the body of the answer, or of what comes of it.
    :ivar delay_s: how long it takes, in seconds.
    :ivar online: what it says, if it says that.
    :ivar fault: what goes wrong.
    """

    body: bytes
    delay_s: float
    online: bool
    fault: Fault | None


@dataclass(frozen=True)
class Ways:
    """How the objects are.

    :ivar online: which of them are online.
    :ivar min_delay_s: the shortest time that an answer takes.
    :ivar max_delay_s: no answer takes longer.
    :ivar rates: how often, from 0 to 1, each fault happens; together 1 at most.
    :ivar ids: what callbacks name.
    :ivar max_per_callback: how many ids a callback has at most, the same one twice included.
    """

    online: Online = "even"
    min_delay_s: float = 0.3
    max_delay_s: float = 4.3
    rates: Mapping[Fault, float] = field(default_factory=dict)
    ids: range = range(100)
    max_per_callback: int = 199


class Behaviour:
    """Draws answers and callbacks.

    :param ways: how the objects are.
    :param seed: any number; None for one that nobody knows.
    """

    def __init__(self, ways: Ways, seed: int | None = None) -> None:
        self._ways = ways
        self._answers = Random(seed)  # noqa: S311  # trials, no secrets
        self._callbacks = Random(seed)  # noqa: S311

    def answer(self, object_id: int) -> Answer:
        """Draw the answer to a request for an object."""
        ways = self._ways
        delay_s = self._between(ways.min_delay_s, ways.max_delay_s)
        fault = self._fault()
        # The nearest other id is of the other kind: to be fooled by it is to be wrong.
        named = object_id ^ 1 if fault is Fault.WRONG_ID else object_id
        online = self._is_online(named)
        if fault is Fault.GARBAGE:
            garbage = self._answers.choice(GARBAGE)
            body = garbage % object_id if b"%d" in garbage else garbage
        else:
            body = b'{"id":%d,"online":%s}' % (named, b"true" if online else b"false")
        return Answer(body, delay_s, online, fault)

    def callback(self) -> list[int]:
        """Draw the ids of a callback: none to many, some of them twice."""
        ids, source = self._ways.ids, self._callbacks
        count = source.randint(0, self._ways.max_per_callback)
        return [source.randint(ids[0], ids[-1]) for _ in range(count)]

    def _between(self, least: float, most: float) -> float:
        return least + (most - least) * self._answers.random()

    def _fault(self) -> Fault | None:
        drawn = self._answers.random()
        for fault, rate in self._ways.rates.items():
            if drawn < rate:
                return fault
            drawn -= rate
        return None

    def _is_online(self, object_id: int) -> bool:
        match self._ways.online:
            case "even":
                return object_id % 2 == 0
            case "odd":
                return object_id % 2 == 1
            case "all":
                return True
            case "none":
                return False
            case "random":
                return self._answers.random() < 1 / 2
