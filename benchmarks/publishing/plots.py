"""The plots of the book, from the records; each has its reference beside it where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.publishing.contract import ACCEPTS_P99_MS
from benchmarks.publishing.drawing import Curve, Panel, draw
from benchmarks.publishing.published import Results
from benchmarks.publishing.record import CURVE, Record
from benchmarks.publishing.tables import figures, grouped, name_of

PERCENTS: Final = [f"{percent:g}" for percent in CURVE if 50 <= percent < 100]
PLACES: Final = [f"p{percent}" for percent in PERCENTS]
MEGA: Final = 1e6


class Plot(NamedTuple):
    """One file.

    :ivar name: of the file; the section's name comes first.
    """

    name: str
    title: str
    panels: Sequence[Panel]
    columns: int = 1


def draw_all(results: Results, folder: Path) -> None:
    """Draw what there are records for."""
    folder.mkdir(parents=True, exist_ok=True)
    for plot in plots(results):
        if plot.panels and all(panel.curves for panel in plot.panels):
            text = draw(plot.name, plot.title, plot.panels, plot.columns)
            (folder / f"{plot.name}.svg").write_text(text, "utf-8")


def plots(results: Results) -> Iterator[Plot]:
    """Yield all of them; those without records have no curves."""
    yield _writes(results)
    yield _connections(results)
    yield _answers(results)
    yield _idle(results)
    yield _window(results)
    yield _pending(results)
    yield _inbox(results)
    yield _in_flight(results)
    yield _isolation(results)


def _writes(results: Results) -> Plot:
    runs = results.records("numbers", "writes")
    curves = _curves(runs, "server", lambda each: float(each["size"]), "rate")
    panel = Panel("numbers in each write", "numbers/s", curves, log_y=True)
    return Plot("numbers-writes", "Numbers a second against numbers in each write", [panel])


def _connections(results: Results) -> Plot:
    runs = _counter(results)
    curves = _curves(runs, "server", lambda each: float(each["connections"]), "rate")
    panel = Panel("keep-alive connections", "requests/s", curves)
    return Plot("http-connections", "Counter: requests a second against connections", [panel])


def _answers(results: Results) -> Plot:
    """Draw percentiles under full load; each service has a panel."""
    runs = [
        each
        for section in ("http", "hash")
        for each in results.records(section, "run")
        if (each["connections"], each["heads"]) == (50, "same")
    ]
    panels = [
        Panel(
            "", "ms", _percentiles(each, "server"), str(job), log_x=False, log_y=True, places=PLACES
        )
        for (job,), each in grouped(runs, ["job"]).items()
    ]
    return Plot("http-answers", "Times of answers, 50 connections under full load", panels, 2)


def _idle(results: Results) -> Plot:
    runs = [
        each | {"megabytes": each["bytes_each"] * each["connections"] / MEGA}
        for each in results.records("http", "idle")
    ]
    curves = _curves(runs, "server", lambda each: float(each["connections"]), "megabytes")
    panel = Panel("idle connections", "more resident MB", curves, log_y=True)
    return Plot("http-idle", "Memory against idle connections", [panel])


def _window(results: Results) -> Plot:
    phases = results.records("http", "window")
    full = [each for each in phases if each["phase"] == "full"]
    curves = [
        Curve(field, label, _points(full, lambda each: float(each["held"]), field))
        for field, label in (("50%", "median"), ("99%", "p99"), ("100%", "longest"))
        if full
    ]
    panel = Panel("requests in the window", "ms an answer", curves, log_y=True)
    return Plot("http-window", "Counter: time of an answer against the window's requests", [panel])


def _pending(results: Results) -> Plot:
    runs = [
        each | {"megabytes": each["bytes_each"] * each["jobs"] / MEGA}
        for each in results.records("hash", "burst")
    ]
    points = _points(runs, lambda each: float(each["jobs"]), "megabytes")
    curves = [Curve("ours", "tsdaemon", points)] if points else []
    panel = Panel("jobs pending", "more resident MB", curves, log_x=False)
    return Plot("hash-pending", "Memory against jobs that are pending", [panel])


def _inbox(results: Results) -> Plot:
    runs = results.records("callback", "backlog")
    curves = [
        Curve(label, label, _points(each, lambda one: float(one["callbacks"]), "peak_mib"))
        for (over,), each in grouped(runs, ["over"]).items()
        for label in ("expired" if over else "to be looked up",)
    ]
    panel = Panel("callbacks in the inbox at the start", "peak resident MiB", curves)
    return Plot("callback-backlog", "Memory against callbacks in the inbox", [panel])


def _in_flight(results: Results) -> Plot:
    runs = results.records("lookups", "run")
    curves = _curves(runs, "client", lambda each: float(each["in_flight"]), "rate")
    panel = Panel("lookups in flight", "lookups/s", curves)
    return Plot("lookups-in-flight", "Lookups a second against lookups in flight", [panel])


def _isolation(results: Results) -> Plot:
    """Draw what each service took, a curve for each that was saturated."""
    panels = []
    for (probe,), each in grouped(results.records("isolation", "delays"), ["probe"]).items():
        bound = float(each[0]["bound_ms"])
        level = (bound, "p99 must stay below") if bound == ACCEPTS_P99_MS else (bound, "")
        curves = _percentiles(each, "saturated")
        panels.append(
            Panel("", "ms", curves, str(probe), log_x=False, log_y=True, level=level, places=PLACES)
        )
    return Plot("isolation-answers", "Times of answers beside a saturated service", panels, 2)


def _counter(results: Results) -> list[Record]:
    return [
        each
        for each in results.records("http", "run")
        if (each["job"], each["heads"]) == ("counter", "same")
    ]


def _curves(
    runs: Sequence[Record], key: str, place: Callable[[Record], float], field: str
) -> list[Curve]:
    return [
        Curve(str(name), _label(name), _points(each, place, field))
        for (name,), each in grouped(runs, [key]).items()
    ]


def _points(
    runs: Sequence[Record], place: Callable[[Record], float], field: str
) -> Mapping[float, Sequence[float]]:
    found: dict[float, list[float]] = {}
    for each in runs:
        found.setdefault(place(each), []).extend(figures([each], field))
    return found


def _percentiles(runs: Sequence[Record], key: str) -> list[Curve]:
    return [
        Curve(
            str(name),
            _label(name),
            {
                float(at): figures(each, f"{percent}%")
                for at, percent in enumerate(PERCENTS)
                if figures(each, f"{percent}%")
            },
        )
        for (name,), each in grouped(runs, [key]).items()
    ]


def _label(name: object) -> str:
    return name_of("go1" if name == "go" else name)
