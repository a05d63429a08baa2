"""Figures as plain reStructuredText: tables, medians, ratios, the machine."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Return ``median (min..max)`` of ``values``, each formatted with ``form``."""
    middle = format(statistics.median(values), form)
    if len(values) == 1:
        return middle
    return f"{middle} ({min(values):{form}}..{max(values):{form}})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return ours / theirs, round by round.

    The two runs of a round are neighbours in time, so a slow spell of a shared
    machine touches both and mostly leaves their ratio alone.
    """
    return [mine / other for mine, other in zip(ours, theirs, strict=True)]


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of an ascending, non-empty sequence."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank), 1) - 1]


def simple_table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return an RST simple table; the first columns, so many, left, the others right."""
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    body = [_table_row(line, widths, left) for line in lines]
    return "\n".join([rule, body[0], rule, *body[1:], rule])


def _table_row(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = [
        cell.ljust(width) if place < left else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip()


def heading(text: str) -> str:
    """Return an RST section heading."""
    return f"\n{text}\n{'-' * len(text)}\n"


def machine_facts() -> str:
    """Return one line on the machine, the versions and the date (UTC)."""
    facts = [
        f"{len(os.sched_getaffinity(0))} cores",
        cpu_model(),
        f"{platform.system()} {platform.release()}",
        f"{platform.python_implementation()} {platform.python_version()}",
        f"numpy {version('numpy')}",
        f"Twisted {version('Twisted')}",
        dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    ]
    return ", ".join(facts)


def cpu_model() -> str:
    """Return the model name of the first processor."""
    for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()
