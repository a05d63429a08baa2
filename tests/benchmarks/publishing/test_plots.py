from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed (make bench does that)")

from benchmarks.publishing.drawing import OTHERS
from benchmarks.publishing.plots import draw_all  # matplotlib is there
from benchmarks.publishing.published import Results
from tests.benchmarks.records import delays, good_results, requests, taken

DRAWN = {
    "http-answers.svg",
    "http-connections.svg",
    "isolation-answers.svg",
    "lookups-in-flight.svg",
    "numbers-writes.svg",
}


def drawings(folder: Path) -> dict[str, str]:
    """Return all files of a folder."""
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_what_has_records_is_drawn(tmp_path: Path) -> None:
    draw_all(good_results(), tmp_path)
    assert set(drawings(tmp_path)) == DRAWN


def test_the_same_figures_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        draw_all(good_results(), tmp_path / name)
    assert drawings(tmp_path / "one") == drawings(tmp_path / "other")


def test_other_figures_are_other_bytes(tmp_path: Path) -> None:
    draw_all(good_results(), tmp_path)
    before = drawings(tmp_path)
    results = good_results()
    results.take("http/connections", taken(requests("ours", 90e3, connections=1000)))
    draw_all(results, tmp_path)
    changed = {name for name, text in drawings(tmp_path).items() if text != before[name]}
    assert changed == {"http-connections.svg"}


def test_without_records_what_is_there_stays(tmp_path: Path) -> None:
    draw_all(good_results(), tmp_path)
    draw_all(Results(), tmp_path)
    assert set(drawings(tmp_path)) == DRAWN


def test_a_drawing_says_in_words_what_it_shows(tmp_path: Path) -> None:
    draw_all(good_results(), tmp_path)
    root = ET.fromstring((tmp_path / "numbers-writes.svg").read_text())  # noqa: S314  # our own
    title, words = (
        root.find(f"{{http://www.w3.org/2000/svg}}{name}") for name in ("title", "desc")
    )
    assert title is not None
    assert words is not None
    assert title.text == "Numbers a second against numbers in each write"
    assert "tsdaemon: 1: 6e+05, 10: 6e+06, 100: 6e+07." in str(words.text)
    assert "LineOnlyReceiver and a set: 1: 1e+05" in str(words.text)


def test_drawings_fit_on_one_page_in_its_colours(tmp_path: Path) -> None:
    draw_all(good_results(), tmp_path)
    texts = drawings(tmp_path).values()
    ids = [each for text in texts for each in re.findall(r'\bid="([^"]+)"', text)]
    assert len(ids) == len(set(ids))
    for text in texts:
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
        assert used <= set(ids)
        assert "currentColor" in text
        assert "://" not in re.sub(r'xmlns="[^"]*"', "", text)
        assert re.search(r"(fill|stroke): #0{6}|#fff", text) is None


def test_a_contestant_has_one_colour_in_all_panels(tmp_path: Path) -> None:
    results = good_results()
    felt = [
        delays(saturated, probe, 9.0)
        for probe, others in {"a": ("x", "y", "z"), "b": ("y", "z"), "c": ("x", "z")}.items()
        for saturated in others
    ]
    results.take("isolation/isolation", taken(*felt))
    draw_all(results, tmp_path)
    text = (tmp_path / "isolation-answers.svg").read_text()
    colours = [colour for colour, _ in OTHERS[:3]]
    marks = {colour: len(re.findall(rf"<use [^>]*{colour}", text)) for colour in colours}
    # A mark and the ends of its bar at each of four percentiles in each panel, and in the legend.
    assert list(marks.values()) == [3 * (4 * panels + 1) for panels in (2, 2, 3)]
