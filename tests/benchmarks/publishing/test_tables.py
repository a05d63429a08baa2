from __future__ import annotations

import pytest

from benchmarks.publishing.sections import BLOCKS
from benchmarks.publishing.tables import Against, Column, table
from tests.benchmarks.records import delays, good_results, requests, taken

COLUMNS = (
    Column("requests/s", "rate"),
    Column("p99 ms", "99%", ".1f"),
    Against("tsdaemon / this", "server", "ours", upside_down=True),
)


def cells(text: str) -> list[list[str]]:
    """Return the cells of a table's rows."""
    return [line.split("  ") for line in text.splitlines() if not line.startswith("=")]


def test_a_row_has_the_median_and_the_spread_of_its_rounds() -> None:
    runs = [requests("ours", rate) for rate in (60_000, 40_000, 50_000)]
    text = table(runs, {"server": "Server"}, COLUMNS[:2])
    assert "tsdaemon  50,000 (40,000..60,000)  2.0 (2.0..2.0)" in text.splitlines()


def test_ratios_are_taken_round_by_round() -> None:
    rounds = [(40_000.0, 20_000.0), (80_000.0, 160_000.0), (30_000.0, 30_000.0)]
    runs = [
        requests(server, rate)
        for each in rounds
        for server, rate in zip(("ours", "go1"), each, strict=True)
    ]
    ours, go = table(runs, {"server": "Server"}, COLUMNS).splitlines()[3:5]
    assert go.endswith("1.00 (0.50..2.00)")
    assert ours.rstrip().endswith("2.0 (2.0..2.0)")


def test_there_is_no_ratio_where_rounds_have_no_partner() -> None:
    runs = [requests("ours", 2), requests("ours", 4), requests("go1", 1)]
    assert table(runs, {"server": "Server"}, COLUMNS).splitlines()[4].rstrip().endswith("2.0")


def test_a_figure_that_was_not_taken_is_a_dash() -> None:
    run = requests("ours", 2) | {"rate": None}
    assert "tsdaemon           -" in table([run], {"server": "Server"}, COLUMNS[:1])


def test_without_records_there_is_no_table() -> None:
    assert table([], {"server": "Server"}, COLUMNS) == ""


@pytest.mark.parametrize("name", BLOCKS)
def test_each_section_shows_what_there_is_and_nothing_else(name: str) -> None:
    results = good_results()
    shown = [text for _, text in BLOCKS[name](results) if text]
    assert bool(shown) == bool(results.of_section(name))


def test_isolation_shows_each_service_beside_each_that_was_saturated() -> None:
    results = good_results()
    found = [delays(other, "counter GET", 7.25) for other in ("hash", "timestamp")]
    results.take("isolation/isolation", taken(*found, delays("hash", "hash GET", 3)))
    _, text = next(BLOCKS["isolation"](results))
    rows = [line.split() for line in text.splitlines()]
    assert ["hash", "1,000", "10", "7.2", "3.0"] in rows
    assert ["timestamp", "1,000", "10", "7.2"] in rows
