"""What the time is, for decisions. Scheduling is the reactor's."""

from __future__ import annotations

import time
from collections.abc import Callable

Now = Callable[[], int]
"""Gives the time in whole microseconds since the epoch; it never runs backwards."""


def _since_boot_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def anchored_clock(
    since_boot_ns: Callable[[], int] = _since_boot_ns,
    wall_ns: Callable[[], int] = time.time_ns,
) -> Now:
    """Give a clock that starts with the wall's time and then goes its own way.

    The wall clock may be set at any moment. Time that is counted must not jump with it, so only
    its first reading is used. Time spent in suspend counts.

    :param since_boot_ns: a clock that nobody sets, in nanoseconds.
    :param wall_ns: the time of day, in nanoseconds since the epoch.
    """
    anchor_ns = wall_ns() - since_boot_ns()

    def now() -> int:
        return (since_boot_ns() + anchor_ns) // 1000

    return now
