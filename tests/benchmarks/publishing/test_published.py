from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.load import BenchmarkError
from benchmarks.publishing.published import Results, load, save
from tests.benchmarks.records import EARLIER, LATER, good_results, requests, taken


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results = good_results()
    results.began, results.names = LATER, ["hash"]
    results.fail("hash/burst", "it died")
    results.skip("http/fifty", "wrk")
    save(path, results)
    assert load(path) == results
    assert [each.name for each in tmp_path.iterdir()] == ["results.json"]


def test_each_record_has_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    save(path, good_results())
    lines = path.read_text().splitlines()
    assert sum(line.startswith('{"kind": ') for line in lines) == sum(
        len(each.records) for each in good_results().steps.values()
    )


def test_results_without_steps_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    save(path, Results())
    assert load(path) == load(tmp_path / "none") == Results()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', "{" * 5])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(BenchmarkError, match=r"results\.json"):
        load(path)


def test_results_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    save(path, good_results())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(BenchmarkError, match="another version"):
        load(path)


def test_a_step_that_fails_keeps_its_last_result() -> None:
    results = Results()
    results.take("http/fifty", taken(requests("ours", 5.0)))
    results.fail("http/fifty", "it died")
    assert results.records("http", "run")[0]["rate"] == 5.0
    results.take("http/fifty", taken(requests("ours", 6.0)))
    assert results.records("http", "run")[0]["rate"] == 6.0
    assert results.failures == {}


def test_what_the_run_has_got_over_is_done() -> None:
    results = Results(began=LATER)
    results.take("http/old", taken(at=EARLIER))
    results.take("http/new", taken(at=LATER))
    results.skip("http/without", "wrk")
    results.fail("http/failed", "it died")
    keys = ["old", "new", "without", "failed", "never"]
    assert [key for key in keys if results.is_done(f"http/{key}")] == ["new", "without"]
    # A bound that was broken is a result.
    results.fail("http/new", "a bound was broken")
    assert results.is_done("http/new")
