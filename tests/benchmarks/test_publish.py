from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.publish import main, publish
from benchmarks.publishing.published import Results, load, save
from tests.benchmarks.records import EARLIER, good_results, requests, taken

SOAK_TEXT = """\
2 cores, AMD EPYC, Linux 6.18, CPython 3.11.7, numpy 2.4.6, Twisted 26.10.0, 2026-11-26 16:37 UTC

All services busy for 3,600 s
-----------------------------

One client for each service.

=======  ============  ===========  ==========  ===========
Minutes  resident MiB  descriptors  lag p99 ms  inbox depth
=======  ============  ===========  ==========  ===========
3.0              90.1           25       <= 10            2
60.0             91.5           25     <= 0.25           12
=======  ============  ===========  ==========  ===========

Rounds: counts 360,000, jobs 359,999. Of one core: 21 %.
"""


@pytest.fixture(name="checkout")
def _checkout(tmp_path: Path) -> Path:
    (tmp_path / "benchmarks" / "remarks").mkdir(parents=True)
    return tmp_path


def page(checkout: Path, results: Results) -> str:
    """Return what is published."""
    publish(results, checkout)
    return (checkout / "benchmarks" / "RESULTS.rst").read_text()


def section(text: str, title: str) -> str:
    """Return what stands under a heading, up to the next of its kind."""
    _, _, rest = text.partition(f"\n{title}\n{'-' * len(title)}\n")
    lines = rest.splitlines()
    ends = [at for at, line in enumerate(lines) if line and set(line) == {"-"}]
    return "\n".join(lines[: ends[0] - 1] if ends else lines)


def test_remarks_outlive_a_new_run(checkout: Path) -> None:
    (checkout / "benchmarks" / "remarks" / "hash.rst").write_text("It hashes with SHA-512.\n")
    results = good_results()
    assert "It hashes with SHA-512." in section(page(checkout, results), "Hash service")
    results.take("hash/throughput", taken(requests("ours", 7.0, job="POST /hash")))
    text = section(page(checkout, results), "Hash service")
    assert "It hashes with SHA-512." in text
    assert "  7  " in text


def test_a_part_that_is_renewed_leaves_the_others_as_they_were(checkout: Path) -> None:
    results = good_results()
    before = page(checkout, results)
    results.take("hash/throughput", taken(requests("ours", 7.0, job="POST /hash")))
    after = page(checkout, results)
    assert section(before, "Number server") == section(after, "Number server")
    assert section(before, "HTTP services") == section(after, "HTTP services")
    assert section(before, "Hash service") != section(after, "Hash service")


def test_a_section_says_when_and_with_what_it_was_taken(checkout: Path) -> None:
    results = good_results()
    old = taken(requests("ours", 7.0, job="POST /hash"), at=EARLIER, CPython="3.10")
    results.take("hash/throughput", old)
    text = page(checkout, results)
    hashes = section(text, "Hash service")
    assert "Taken at 2026-11-25 10:00 UTC: tsdaemon 0.1.0, CPython 3.10." in hashes
    assert "    python -m benchmarks.some --flag" in hashes
    assert "Taken at 2026-11-26 10:00 UTC: tsdaemon 0.1.0, CPython 3.11." in section(
        text, "At rest"
    )
    assert "Last measured at 2026-11-26 10:00 UTC: cores 2, processor a test's" in text


def test_what_was_not_measured_is_told(checkout: Path) -> None:
    results = good_results()
    del results.steps["idle/idle"]
    results.take("lookups/many", taken({"kind": "missing", "what": "Go, for the client"}))
    results.skip("http/fifty", "wrk")
    results.fail("hash/throughput", "it `died`")
    text = section(page(checkout, results), "Not measured")
    assert "* Go, for the client: not installed where this was run" in text
    assert (
        "* ``http/fifty``: it needs wrk, which is not installed, what is shown is of an earlier run"
        in text
    )
    assert (
        "* ``hash/throughput`` failed in the last run, what is shown may be of an earlier run: "
        "``it died``" in text
    )
    assert "* *At rest*: no run has been published yet" in text


def test_a_page_can_be_made_before_anything_was_measured(checkout: Path) -> None:
    assert "Nothing has been measured yet." in page(checkout, Results())


def test_the_page_is_good_restructuredtext(checkout: Path) -> None:
    core = pytest.importorskip(
        "docutils.core", reason="docutils is not installed (make docs does that)"
    )
    text = page(checkout, good_results())
    settings = {"halt_level": 2, "report_level": 2, "file_insertion_enabled": False}
    core.publish_doctree(text, settings_overrides=settings)


def test_names_of_functions_mean_themselves(checkout: Path) -> None:
    core = pytest.importorskip(
        "docutils.core", reason="docutils is not installed (make docs does that)"
    )
    cells = ["print_", "*args", "`x`", "|y|", "a_b", "back\\slash"]
    rows = [[cell, ""] for cell in cells]
    results = Results()
    table = {"kind": "table", "title": "Functions", "heads": ["", "µs"], "rows": rows}
    results.take("profiles/profiles", taken(table))
    settings = {"halt_level": 2, "report_level": 2, "file_insertion_enabled": False}
    tree = core.publish_doctree(page(checkout, results), settings_overrides=settings)
    shown = {node.astext() for node in tree.findall(lambda node: node.tagname == "entry")}
    assert set(cells) <= shown


def test_what_a_soak_has_printed_is_taken_in(checkout: Path, tmp_path: Path) -> None:
    file, results = tmp_path / "results.json", good_results()
    save(file, results)
    said = tmp_path / "said"
    said.write_text(SOAK_TEXT)
    assert main(["--soak-text", str(said)], file, checkout) == 0
    text = section((checkout / "benchmarks" / "RESULTS.rst").read_text(), soak_title())
    assert "Taken at 2026-11-26 16:37 UTC" in text
    assert ["60.0", "91.5", "25", "<=", "0.25", "12"] in [
        line.split() for line in text.splitlines()
    ]
    assert "Rounds: counts 360,000, jobs 359,999. Of one core: 21 %." in text
    assert "Result of 3,600 s: every promise was kept." in text
    assert load(file).steps["soak/soak"].facts["CPython"] == "3.11.7"

    said.write_text(SOAK_TEXT + "\nFAILED: there are 12 more descriptors\n")
    assert main(["--soak-text", str(said)], file, checkout) == 0
    text = (checkout / "benchmarks" / "RESULTS.rst").read_text()
    assert "Result of 3,600 s: there are 12 more descriptors." in text


def test_a_soak_that_has_not_ended_is_refused(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, said = tmp_path / "results.json", tmp_path / "said"
    said.write_text(SOAK_TEXT.partition("=====")[0])
    assert main(["--soak-text", str(said)], file, checkout) == 1
    assert "not what a soak prints to its end" in capsys.readouterr().err
    assert not file.exists()


def soak_title() -> str:
    """Return the heading of the soak."""
    return "All services busy for an hour"
