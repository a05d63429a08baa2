"""Figures as data: what a benchmark measures goes into a file as JSON lines, if one is named.

``benchmarks.all`` names it in an environment variable, so that no benchmark needs a flag for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import percentile

VARIABLE = "BENCHMARK_RECORDS"
"""Not ``TSDAEMON_…``: those are settings of the daemon."""

COMPLETE = "complete"
"""The kind of the last record of a benchmark that has measured all, bounds kept or not."""

TABLE, MISSING = "table", "missing"
DIGITS = 5
CURVE = (50, 75, 90, 95, 99, 99.5, 99.9, 100)

Record = dict[str, Any]


def record(kind: str, **figures: Any) -> None:
    """Note what was found in one run.

    :param figures: what was measured and how, of JSON's types, units at the end of the names.
    """
    path = os.environ.get(VARIABLE)
    if path:
        line = json.dumps({"kind": kind} | {key: _short(figures[key]) for key in figures})
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def record_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Note a table that is published as it is."""
    record(TABLE, title=title, heads=list(heads), rows=[list(row) for row in rows])


def record_missing(what: str) -> None:
    """Note that a reference was left out, because it is not installed."""
    record(MISSING, what=what)


def read_records(path: Path) -> list[Record]:
    """Return the records of a file, none if there is no file.

    A last line without an end belongs to a benchmark that was killed; it is left out.
    """
    if not path.exists():
        return []
    whole, _, _ = path.read_text("utf-8").rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def curve_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of ascending times, milliseconds, by their names."""
    return {f"{percent:g}": _short(percentile(seconds, percent) * 1e3) for percent in CURVE}


def _short(value: Any) -> Any:
    """Return a number with the digits that mean something."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _short(each) for key, each in value.items()}
    return value
