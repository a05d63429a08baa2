"""Tables from records: a row for each way of measuring, the median of its runs in a cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.publishing.record import Record
from benchmarks.report import ratios, simple_table, spread

TITLES: Mapping[str, str] = {
    "ours": "tsdaemon",
    "reference": "LineOnlyReceiver and a set",
    "java": "Java, a thread a client, a BitSet",
    "klein": "Klein on twisted.web",
    "go1": "Go, GOMAXPROCS=1",
    "pool": "daemon.http.client",
    "treq": "treq",
}
CURVE = "curve_ms"


class Column(NamedTuple):
    """A column of figures.

    :ivar field: of a record; ``99%`` for a percentile of its curve.
    :ivar scale: what it is multiplied with.
    """

    head: str
    field: str
    form: str = ",.0f"
    scale: float = 1.0


class Against(NamedTuple):
    """A column of ratios, round by round.

    :ivar other: the value of the key ``who`` with which the ratio is made.
    :ivar upside_down: whether it is the first of the group that is divided by each row.
    """

    head: str
    who: str
    other: str
    field: str = "rate"
    upside_down: bool = False


def figure(record: Record, field: str) -> float | None:
    """Return a figure of a record; None where it was not taken."""
    if field.endswith("%"):
        curve: dict[str, float] = record[CURVE]
        return curve.get(field[:-1])
    value = record[field]
    return None if value is None else float(value)


def grouped(records: Sequence[Record], keys: Sequence[str]) -> dict[tuple[Any, ...], list[Record]]:
    """Return records by the values of some keys, in the order of their first appearance."""
    found: dict[tuple[Any, ...], list[Record]] = {}
    for each in records:
        found.setdefault(tuple(each[key] for key in keys), []).append(each)
    return found


def figures(records: Sequence[Record], field: str) -> list[float]:
    """Return one figure of some records."""
    return [value for each in records if (value := figure(each, field)) is not None]


def name_of(value: Any) -> str:
    """Return a key's value as it is read."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}"
    return TITLES.get(value, str(value))


def table(
    records: Sequence[Record],
    keys: Mapping[str, str],
    columns: Sequence[Column | Against],
    shown: Callable[[Any], str] = name_of,
) -> str:
    """Return a table, empty without records.

    :param keys: what tells rows apart: a record's field, and the head of its column.
    """
    if not records:
        return ""
    groups = grouped(records, list(keys))
    rows = [
        [
            *map(shown, values),
            *(_cell(column, dict(zip(keys, values, strict=True)), groups) for column in columns),
        ]
        for values in groups
    ]
    heads = [*keys.values(), *(column.head for column in columns)]
    return simple_table(heads, rows, left=len(keys))


def _cell(
    column: Column | Against,
    row: Mapping[str, Any],
    groups: Mapping[tuple[Any, ...], Sequence[Record]],
) -> str:
    own = groups[tuple(row.values())]
    if isinstance(column, Column):
        found = [value * column.scale for value in figures(own, column.field)]
        return spread(found, column.form) if found else "-"
    other = groups.get(tuple({**row, column.who: column.other}.values()), ())
    return ratio_text(own, other, column)


def ratio_text(own: Sequence[Record], other: Sequence[Record], column: Against) -> str:
    """Return the ratio of each round, as a cell shows it."""
    pairs = (figures(other, column.field), figures(own, column.field))
    mine, theirs = pairs if column.upside_down else pairs[::-1]
    if own is other or not mine or len(mine) != len(theirs) or not all(theirs):
        return ""
    return spread(ratios(mine, theirs), ".2f")
