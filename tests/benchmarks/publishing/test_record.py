from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.publishing.record import (
    VARIABLE,
    curve_ms,
    read_records,
    record,
    record_missing,
    record_table,
)


def test_figures_are_noted_in_the_file_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records"
    monkeypatch.setenv(VARIABLE, str(path))
    record("run", server="ours", rate=12_345.678, kept=True, curve_ms={"50": 0.123456789})
    record_table("Steps", ["What", "µs"], [["read", "1.5"]])
    record_missing("Go")
    assert read_records(path) == [
        {
            "kind": "run",
            "server": "ours",
            "rate": 12_346,
            "kept": True,
            "curve_ms": {"50": 0.12346},
        },
        {"kind": "table", "title": "Steps", "heads": ["What", "µs"], "rows": [["read", "1.5"]]},
        {"kind": "missing", "what": "Go"},
    ]


def test_nothing_is_noted_where_no_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    record("run", rate=1.0)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_benchmark_had_begun_to_write_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_text('{"kind": "run", "rate": 1}\n{"kind": "ru')
    assert read_records(path) == [{"kind": "run", "rate": 1}]
    assert read_records(tmp_path / "none") == []


def test_a_curve_has_the_nearest_rank_of_each_percentile() -> None:
    found = curve_ms([number / 1000 for number in range(1, 1001)])
    assert found == {
        "50": 500,
        "75": 750,
        "90": 900,
        "95": 950,
        "99": 990,
        "99.5": 995,
        "99.9": 999,
        "100": 1000,
    }
