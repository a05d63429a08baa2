"""Curves as SVG: the same bytes for the same figures, readable on light and on dark paper.

What is text or an axis has the colour of the page's text; on its own a file follows the reader's
preference for light or dark.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from io import StringIO
from itertools import cycle
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK: Final = "#010203"
"""Stands for the colour of text until the file is written."""

SIZE_INCHES: Final = (7.2, 3.6)
PANEL_INCHES: Final = (3.6, 2.5)
STYLES: Final[Mapping[str, tuple[str, str]]] = {
    "ours": ("#3584c9", "o"),
    "pool": ("#3584c9", "o"),
    "go1": ("#e0862d", "s"),
    "go": ("#e0862d", "s"),
    "klein": ("#9673c9", "^"),
    "treq": ("#9673c9", "^"),
    "reference": ("#9673c9", "^"),
    "java": ("#e0862d", "s"),
}
OTHERS: Final = (
    ("#3584c9", "o"),
    ("#e0862d", "s"),
    ("#9673c9", "^"),
    ("#3fa45b", "D"),
    ("#d4585f", "v"),
    ("#8b949e", "P"),
)
_INKED: Final = (
    "text.color",
    "axes.edgecolor",
    "axes.labelcolor",
    "xtick.color",
    "ytick.color",
    "grid.color",
)
_RULES: Final[Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tsdaemon",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.2,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    **dict.fromkeys(_INKED, INK),
}
_STYLE: Final = (
    "<style>svg{color:#24292f}@media (prefers-color-scheme:dark){svg{color:#d0d7de}}</style>"
)


@dataclass(frozen=True)
class Curve:
    """What is drawn of one contestant.

    :ivar points: where it was measured, and what each round gave.
    """

    name: str
    label: str
    points: Mapping[float, Sequence[float]]


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    :ivar level: a line that should not be crossed, and what it means.
    :ivar places: names of places on the lower axis, instead of numbers.
    """

    x: str
    y: str
    curves: Sequence[Curve]
    title: str = ""
    log_x: bool = True
    log_y: bool = False
    level: tuple[float, str] | None = None
    places: Sequence[str] = field(default=())


def draw(name: str, title: str, panels: Sequence[Panel], columns: int = 1) -> str:
    """Return a drawing of panels as the text of an SVG file.

    :param name: of the file; goes before its ids, so that a page can hold several.
    """
    rows = -(-len(panels) // columns)
    size = SIZE_INCHES if len(panels) == 1 else (PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows)
    styles = _styles(panels)
    with mpl.rc_context(_RULES):
        figure = Figure(figsize=size, layout="constrained")
        places = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes, panel in zip(places, panels, strict=False):
            _draw(axes, panel, styles, with_legend=len(panels) == 1)
        for axes in places[len(panels) :]:
            axes.set_axis_off()
        if len(panels) > 1:
            _common_legend(figure, places[: len(panels)])
        written = StringIO()
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", transparent=True, metadata=metadata)
    return _cleaned(name, title, panels, written.getvalue())


def _styles(panels: Sequence[Panel]) -> dict[str, tuple[str, str]]:
    """Return the colour and the mark of each contestant, the same in all panels."""
    names = dict.fromkeys(curve.name for panel in panels for curve in panel.curves)
    spare = cycle(OTHERS)
    return {name: STYLES.get(name) or next(spare) for name in names}


def _draw(
    axes: Any, panel: Panel, styles: Mapping[str, tuple[str, str]], *, with_legend: bool
) -> None:
    for curve in panel.curves:
        colour, marker = styles[curve.name]
        xs = sorted(curve.points)
        middles = [statistics.median(curve.points[x]) for x in xs]
        lower = [middle - min(curve.points[x]) for x, middle in zip(xs, middles, strict=True)]
        upper = [max(curve.points[x]) - middle for x, middle in zip(xs, middles, strict=True)]
        axes.errorbar(
            xs,
            middles,
            yerr=[lower, upper],
            label=curve.label,
            color=colour,
            marker=marker,
            capsize=2.5,
            elinewidth=1,
        )
    if panel.log_x:
        axes.set_xscale("log")
        shown = sorted({x for curve in panel.curves for x in curve.points})
        axes.set_xticks(shown, [_short(x) for x in shown])
        axes.minorticks_off()
    elif panel.places:
        axes.set_xticks(range(len(panel.places)), panel.places)
    else:
        axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    if panel.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    if panel.level is not None:
        height, meaning = panel.level
        axes.axhline(height, color=INK, linestyle="--", linewidth=0.9)
        axes.annotate(meaning, (0.01, height), xycoords=("axes fraction", "data"), va="top")
    axes.set_xlabel(panel.x)
    axes.set_ylabel(panel.y)
    axes.set_title(panel.title, fontsize=10)
    if with_legend and len(panel.curves) > 1:
        axes.legend()


def _common_legend(figure: Figure, places: Any) -> None:
    """Name each contestant once, above all panels."""
    known: dict[str, Any] = {}
    for axes in places:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    if len(known) > 1:
        figure.legend(known.values(), known.keys(), loc="outside upper center", ncols=6)


def _short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _cleaned(name: str, title: str, panels: Sequence[Panel], text: str) -> str:
    """Return the file without what a page has no use for, and with what it says in words."""
    text = text[text.index("<svg ") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<defs>\s*</defs>|\s*<!--.*?-->", "", text, flags=re.DOTALL)
    text = text.replace("xlink:href", "href").replace(
        ' xmlns:xlink="http://www.w3.org/1999/xlink"', ""
    )
    text = re.sub(r"\bid=\"", f'id="{name}-', text)
    text = re.sub(r"href=\"#", f'href="#{name}-', text)
    text = text.replace("url(#", f"url(#{name}-").replace(INK, "currentColor")
    head, rest = text.split(">", 1)
    head = head.replace("<svg", f'<svg role="img" aria-labelledby="{name}-title"', 1)
    words = f'<title id="{name}-title">{escape(title)}</title><desc>{escape(_words(panels))}</desc>'
    lines = f'{head} style="stroke-linejoin:round;stroke-linecap:butt">\n{words}\n{_STYLE}{rest}'
    return "\n".join(line.rstrip() for line in lines.splitlines()) + "\n"


def _words(panels: Sequence[Panel]) -> str:
    """Return the medians of all curves."""
    told = []
    for panel in panels:
        for curve in panel.curves:
            medians = {x: statistics.median(curve.points[x]) for x in sorted(curve.points)}
            places = panel.places
            points = ", ".join(
                f"{places[int(x)] if places else _short(x)}: {value:.4g}"
                for x, value in medians.items()
            )
            what = f"{panel.title} " if panel.title else ""
            told.append(f"{what}{curve.label}: {points}.")
    return f"{panels[0].y} by {panels[0].x}. {' '.join(told)}"
