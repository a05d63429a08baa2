"""Numbers over time as lines, for SVG: the value of a path's ``d``."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from typing import Final

from daemon.admin.history import LENGTH

HEIGHT: Final = 40
"""Units from the bottom of a plot to its top; from left to right there is one for each sample."""

STRIP_HEIGHT: Final = 10
"""Units from the bottom of a strip to its top."""


def line(values: Collection[float | None], top: float) -> str:
    """Draw numbers as a line, the newest at the right edge.

    :param values: not below 0; None leaves a gap.
    :param top: the number that reaches the top; with 0, all lie at the bottom.
    """
    path: list[str] = []
    place = LENGTH - len(values)
    before: int | None = None
    for height, run in groupby(_height(value, top) for value in values):
        count = sum(1 for _ in run)
        if height is not None:
            # Without a neighbour it is a dot: a line of no length, with round ends.
            path.append(f"M{place} {height}h0" if before is None else f"l1 {height - before}")
            if count > 1:
                path.append(f"h{count - 1}")
        place += count
        before = height
    return "".join(path)


def strip(values: Collection[float | None], level: int) -> str:
    """Draw a line along the bottom of a strip for as long as numbers were of one value."""
    path: list[str] = []
    place = LENGTH - len(values)
    for value, run in groupby(values):
        count = sum(1 for _ in run)
        if value == level:
            path.append(f"M{place} {STRIP_HEIGHT}h{count}")
        place += count
    return "".join(path)


def _height(value: float | None, top: float) -> int | None:
    if value is None:
        return None
    return HEIGHT - round(HEIGHT * min(value / top, 1.0)) if top > 0 else HEIGHT
