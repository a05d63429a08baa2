from __future__ import annotations

from benchmarks.idle import WHOLE
from benchmarks.publishing.contract import Bound, bounds, contract_table
from benchmarks.publishing.published import Results
from tests.benchmarks.records import accepts, delays, good_results, requests, taken, throughput


def verdicts(results: Results) -> dict[str, str]:
    """Return what became of each bound."""
    return {each.what: each.verdict for each in bounds(results)}


def bound(results: Results, start: str) -> Bound:
    """Return one of them."""
    return next(each for each in bounds(results) if each.what.startswith(start))


def test_figures_that_are_good_enough_are_reached() -> None:
    assert set(verdicts(good_results()).values()) == {"reached"}


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    found = verdicts(Results())
    assert len(found) == 15
    assert set(found.values()) == {"not measured"}


def test_each_bound_is_missed_by_a_little_less() -> None:
    results = good_results()
    numbers = [
        throughput(server, rate)
        for server, rate in (("ours", 199_999), ("reference", 20_001), ("java", 66_667))
    ]
    results.take("numbers/throughput", taken(*numbers))
    http = [
        requests(server, rate, job=job)
        for job in ("counter", "timestamp", "POST /hash")
        for server, rate in (("ours", 799), ("go1", 1000))
    ]
    results.take("http/fifty", taken(*http))
    results.take("hash/throughput", taken(*http))
    posts = [accepts(source, 9_999, 50.0) for source in ("down", "immediate")]
    results.take("callback/accepts", taken(*posts))
    lookup = {"kind": "run", "client": "pool", "in_flight": 250, "rate": 24_999}
    results.take("lookups/many", taken(lookup))
    felt = [delays("numbers", "hash POST", 50.0), delays("hash", "number to log", 100.0, 100.0)]
    results.take("isolation/isolation", taken(*felt))
    rest = {"kind": "idle", "server": WHOLE, "resident_mb": 100.0, "core_percent": 1.0}
    results.take("idle/idle", taken(rest))
    assert set(verdicts(results).values()) == {"**missed**"}


def test_the_median_of_the_rounds_decides() -> None:
    results = good_results()
    rounds = [(100, 100), (10, 100), (90, 100)]
    runs = [
        requests(server, rate)
        for each in rounds
        for server, rate in zip(("ours", "go1"), each, strict=True)
    ]
    results.take("http/fifty", taken(*runs))
    found = bound(results, "counter GET")
    assert (found.measured, found.verdict) == ("0.90 (0.10..1.00)", "reached")


def test_the_slowest_load_counts() -> None:
    results = good_results()
    posts = [accepts("down", 15_000, 60.0), accepts("down", 9_000, 10.0, id_range=1_000_000)]
    results.take("callback/accepts", taken(*posts))
    assert bound(results, "durable accepts/s, source down").measured == "9,000"
    assert bound(results, "their p99, ms, source down").measured == "60.0"


def test_the_worst_pair_counts_and_the_quiet_daemon_does_not() -> None:
    results = good_results()
    felt = [
        delays("nothing", "hash POST", 70.0),
        delays("numbers", "hash POST", 30.0),
        delays("callback", "counter GET", 40.0),
    ]
    results.take("isolation/isolation", taken(*felt))
    found = bound(results, "p99 beside")
    assert (found.measured, found.verdict) == ("40.0: counter GET beside callback", "reached")


def test_the_table_points_to_the_section() -> None:
    lines = contract_table(good_results()).splitlines()
    row = next(line for line in lines if line.startswith("hash POST"))
    assert row.split()[-2:] == ["`Hash", "service`_"]
    assert "1.00" in row
