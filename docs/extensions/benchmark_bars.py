"""Draws a table of benchmarks as bars, below it: medians, with a line from minimum to maximum.

Any table of the page ``results`` is drawn that has a contestant in each row and a speed ("…/s") in
the second column, written as in ``33.9 (25.6..35.3)``. So a plot cannot differ from its table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any, Final, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx

PAGE: Final = "results"
WIDTH: Final = 720
LABEL: Final = 270
RIGHT: Final = 90
ROW: Final = 26

_SPEED: Final = re.compile(r"([\d.,]+)(?: \(([\d,]+(?:\.\d+)?) ?\.\. ?([\d.,]+)\))?")


class Bar(NamedTuple):
    """One contestant.

    :ivar shown: the median, as the table has it.
    """

    label: str
    shown: str
    median: float
    low: float
    high: float


def bars(table: nodes.table) -> tuple[str, list[Bar]]:
    """Give what is measured in a table, and how well each did; no bars if it has no speeds."""
    rows = [
        [" ".join(entry.astext().split()) for entry in row.findall(nodes.entry)]
        for row in table.findall(nodes.row)
    ]
    heads, *rows = rows
    match heads:
        case ["Server" | "Client", str(speed), *_] if speed.endswith("/s"):
            found = [(row[0], _SPEED.fullmatch(row[1])) for row in rows]
            return speed, [_bar(label, match) for label, match in found if match]
    return "", []


def _bar(label: str, match: re.Match[str]) -> Bar:
    median = _number(match[1])
    low, high = (_number(match[place]) if match[place] else median for place in (2, 3))
    return Bar(label, match[1], median, low, high)


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def svg(title: str, contestants: list[Bar]) -> Iterator[str]:
    """Draw them."""
    scale = (WIDTH - LABEL - RIGHT) / max(bar.high for bar in contestants)
    height = ROW * len(contestants) + 6
    words = ", ".join(f"{bar.label}: {bar.shown}" for bar in contestants)
    yield f'<svg class="bars" viewBox="0 0 {WIDTH} {height}" role="img"'
    yield f' aria-label="{escape(f"{title}. {words}")}">'
    for number, bar in enumerate(contestants):
        y = ROW * number + 4
        middle = y + ROW / 2 - 3
        kind = "ours" if number == 0 else "theirs"
        low, high = LABEL + bar.low * scale, LABEL + bar.high * scale
        yield f'<text x="{LABEL - 8}" y="{middle + 5}" text-anchor="end">{escape(bar.label)}</text>'
        yield f'<rect class="{kind}" x="{LABEL}" y="{y}" height="{ROW - 8}"'
        yield f' width="{max(bar.median * scale, 1):.1f}"/>'
        yield f'<path d="M{low:.1f} {middle}H{high:.1f}"/>'
        yield f'<text x="{high + 6:.1f}" y="{middle + 5}">{escape(bar.shown)}</text>'
    yield "</svg>"


def draw(app: Sphinx, document: nodes.document) -> None:
    """Put the bars below the tables of the page."""
    if app.env.docname != PAGE:
        return
    for table in list(document.findall(nodes.table)):
        title, contestants = bars(table)
        if contestants:
            drawn = nodes.raw("", "".join(svg(title, contestants)), format="html")
            table.parent.insert(table.parent.index(table) + 1, drawn)


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.connect("doctree-read", draw)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
