"""What must be reached, and whether the published run has reached it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

from benchmarks.idle import WHOLE
from benchmarks.publishing.plan import SECTIONS
from benchmarks.publishing.published import Results
from benchmarks.publishing.record import Record
from benchmarks.publishing.tables import figures
from benchmarks.report import ratios, simple_table, spread

REACHED, MISSED, NOT_MEASURED = "reached", "**missed**", "not measured"
HEADS: Final = ("What", "must reach", "measured", "result", "see")
BAR_OF_THE_CHALLENGE: Final = 200_000
TIMES_THE_PLAIN: Final = 10
TIMES_JAVA: Final = 3
PART_OF_GO: Final = 0.8
ACCEPTS: Final = 10_000
ACCEPTS_P99_MS: Final = 50
LOOKUPS: Final = 25_000
IDLE_MB: Final = 100
IDLE_PERCENT: Final = 1


class Bound(NamedTuple):
    """One figure that must be reached.

    :ivar measured: in words; empty if it was not.
    :ivar kept: whether it was reached.
    :ivar section: where its tables and the remarks on it are.
    """

    what: str
    wanted: str
    measured: str
    kept: bool
    section: str

    @property
    def verdict(self) -> str:
        """The result in a word."""
        if not self.measured:
            return NOT_MEASURED
        return REACHED if self.kept else MISSED


def bounds(results: Results) -> list[Bound]:
    """Return all of them."""
    return [
        *_numbers(results),
        *_http(results),
        *_accepts(results),
        _lookups(results),
        *_isolation(results),
        *_idle(results),
    ]


def contract_table(results: Results) -> str:
    """Return them as a table."""
    rows = [
        [
            each.what,
            each.wanted,
            each.measured or "-",
            each.verdict,
            _link(results, each.section),
        ]
        for each in bounds(results)
    ]
    return simple_table(HEADS, rows, left=len(HEADS))


def _link(results: Results, section: str) -> str:
    """Return a link to a section, if the page has it."""
    title = SECTIONS[section].title
    return f"`{title}`_" if results.of_section(section) else title


def _where(records: Sequence[Record], **wanted: object) -> list[Record]:
    return [
        each for each in records if all(each.get(key) == value for key, value in wanted.items())
    ]


def _ratio(mine: Sequence[Record], theirs: Sequence[Record]) -> list[float]:
    ours, others = figures(mine, "rate"), figures(theirs, "rate")
    return ratios(ours, others) if len(ours) == len(others) else []


def _at_least(what: str, wanted: float, found: Sequence[float], form: str, section: str) -> Bound:
    shown = spread(found, form) if found else ""
    kept = bool(found) and statistics.median(found) >= wanted
    return Bound(
        what, f"{wanted:{form}}" if wanted >= 1000 else f"{wanted:g}", shown, kept, section
    )


def _numbers(results: Results) -> list[Bound]:
    runs = _where(results.records("numbers", "throughput"), duplicates=0.0)
    ours = _where(runs, server="ours")
    rate = figures(ours, "rate")
    plain, java = _where(runs, server="reference"), _where(runs, server="java")
    return [
        _at_least("numbers/s into the log", BAR_OF_THE_CHALLENGE, rate, ",.0f", "numbers"),
        _at_least(
            "numbers/s, times a plain Twisted server's",
            TIMES_THE_PLAIN,
            _ratio(ours, plain),
            ".1f",
            "numbers",
        ),
        _at_least(
            "numbers/s, times those of Java with threads",
            TIMES_JAVA,
            _ratio(ours, java),
            ".1f",
            "numbers",
        ),
    ]


def _http(results: Results) -> list[Bound]:
    found = []
    for section, job, what in (
        ("http", "counter", "counter GET, part of Go's rate"),
        ("http", "timestamp", "timestamp GET, part of Go's rate"),
        ("hash", "POST /hash", "hash POST, part of Go's rate"),
    ):
        runs = _where(results.records(section, "run"), job=job, connections=50, heads="same")
        shares = _ratio(_where(runs, server="ours"), _where(runs, server="go1"))
        found.append(_at_least(what, PART_OF_GO, shares, ".2f", section))
    return found


def _accepts(results: Results) -> list[Bound]:
    """The slowest of the loads counts, and the one with the highest p99."""
    found = []
    for source, what in (("down", "source down"), ("immediate", "looking up beside it")):
        runs = _where(results.records("callback", "accepts"), ids=10, source=source)
        loads = [
            _where(runs, id_range=id_range) for id_range in {each["id_range"] for each in runs}
        ]
        rates = min((figures(each, "rate") for each in loads), key=statistics.median, default=[])
        late = max((figures(each, "99%") for each in loads), key=statistics.median, default=[])
        found.append(_at_least(f"durable accepts/s, {what}", ACCEPTS, rates, ",.0f", "callback"))
        found.append(_under(f"their p99, ms, {what}", ACCEPTS_P99_MS, late, ".1f", "callback"))
    return found


def _under(what: str, wanted: float, found: Sequence[float], form: str, section: str) -> Bound:
    shown = spread(found, form) if found else ""
    kept = bool(found) and statistics.median(found) < wanted
    return Bound(what, f"< {wanted:g}", shown, kept, section)


def _lookups(results: Results) -> Bound:
    runs = _where(results.records("lookups", "run"), client="pool", in_flight=250)
    return _at_least(
        "lookups/s, one core, immediate source", LOOKUPS, figures(runs, "rate"), ",.0f", "lookups"
    )


def _isolation(results: Results) -> list[Bound]:
    """The worst of all pairs; a number's way to the log has a bound of its own."""
    found = []
    delays = [
        each for each in results.records("isolation", "delays") if each["saturated"] != "nothing"
    ]
    for bound in dict.fromkeys([50.0, 100.0]):
        each = [one for one in delays if one["bound_ms"] == bound]
        worst = max(each, key=lambda one: float(one["curve_ms"]["99"]), default=None)
        what = "p99 beside a saturated service, ms" if bound == 50 else "p99 of a number to the log"
        shown = ""
        if worst is not None:
            shown = f"{worst['curve_ms']['99']:.1f}: {worst['probe']} beside {worst['saturated']}"
        kept = bool(each) and all(one["within"] for one in each)
        found.append(Bound(what, f"< {bound:g}", shown, kept, "isolation"))
    return found


def _idle(results: Results) -> list[Bound]:
    runs = _where(results.records("idle", "idle"), server=WHOLE)
    return [
        _under("idle, resident MB", IDLE_MB, figures(runs, "resident_mb"), ".1f", "idle"),
        _under("idle, % of a core", IDLE_PERCENT, figures(runs, "core_percent"), ".2f", "idle"),
    ]
