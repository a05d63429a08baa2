"""What the book, the rules for alerts and the manual say of the program is so."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from daemon.cli.main import main
from tests.docs.pages import CHECKOUT

DOCS = CHECKOUT / "docs"
RULES = CHECKOUT / "etc" / "prometheus" / "tsdaemon.rules.yml"
OF_PROMETHEUS = {"_bucket", "_sum", "_count"}


@pytest.fixture(scope="module")
def tables() -> Iterator[ModuleType]:
    """What the book's tables are made with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS / "extensions")
        yield importlib.import_module("program_tables")


def pages() -> list[Path]:
    return sorted(DOCS.glob("*.rst"))


def test_every_page_is_in_the_book() -> None:
    index = (DOCS / "index.rst").read_text()
    listed = re.findall(r"^   ([a-z-]+)$", index, re.MULTILINE)
    assert sorted([*listed, "index"]) == sorted(page.stem for page in pages())


def test_every_page_begins_with_what_it_is_for() -> None:
    for page in pages():
        if not page.read_text().startswith(".. include::"):
            title, underline, _, first = page.read_text().split("\n")[:4]
            assert title
            assert set(underline) == {"="}
            assert first.lstrip("`")[:1].isalpha(), page


@pytest.mark.parametrize("name", ["README.rst", *(f"docs/{page.name}" for page in pages())])
def test_files_that_a_page_names_are_there(name: str) -> None:
    text = (CHECKOUT / name).read_text()
    named = re.findall(r"``((?:docs|etc|daemon|tests|benchmarks)/[\w./-]+)``", text)
    missing = [path for path in named if not (CHECKOUT / path.rstrip("/")).exists()]
    assert missing == []


def test_every_image_is_well_formed_and_says_what_it_shows() -> None:
    for image in (DOCS / "images").glob("*.svg"):
        root = ET.fromstring(image.read_text())  # noqa: S314  # our own
        parts = {child.tag.rpartition("}")[2] for child in root}
        assert {"title", "desc"} <= parts
        assert "://" not in re.sub(r'xmlns="[^"]*"', "", image.read_text())


def test_the_manual_has_every_command_and_flag(capsys: pytest.CaptureFixture[str]) -> None:
    manual = (DOCS / "command-line.rst").read_text()
    for words in (
        ["status"],
        ["timestamp"],
        ["numbers", "send"],
        ["hash", "submit"],
        ["hash", "wait"],
    ):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        for flag in set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}:
            assert flag in manual
        assert f"``{' '.join(words)}``" in manual


def test_every_metric_in_the_rules_and_in_the_book_exists(tables: ModuleType) -> None:
    kinds = {told.name: told.kind for told in tables.metrics()}
    texts = [RULES.read_text(), *(page.read_text() for page in pages())]
    named = set(re.findall(r"(?<!\^)tsdaemon_[a-z]+_[a-z0-9_]+[a-z0-9]", "\n".join(texts)))
    named -= {"tsdaemon_echo", "tsdaemon_echo_plugin"}
    for name in sorted(named):
        stem, underscore, suffix = name.rpartition("_")
        is_part = kinds.get(stem) == "histogram" and underscore + suffix in OF_PROMETHEUS
        assert name in kinds or is_part, name


def test_every_alert_is_in_the_book() -> None:
    rules = re.findall(r"- alert: (\w+)", RULES.read_text())
    told = re.findall(
        r"^(Tsdaemon\w+) +(page|ticket) ", (DOCS / "metrics.rst").read_text(), re.MULTILINE
    )
    assert rules == [name for name, _ in told]
    assert re.findall(r"severity: (page|ticket)}", RULES.read_text()) == [kind for _, kind in told]


def test_every_setting_is_in_the_book(
    tables: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "\n".join(tables.settings_text())
    assert main(["check"]) == 0
    keys = re.findall(r"^#?([a-z_]+) = ?", capsys.readouterr().out, re.MULTILINE)
    assert len(keys) > 50
    assert [key for key in keys if f"``{key}``" not in text] == []


def test_a_table_of_speeds_is_drawn_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for program in ("docutils", "sphinx"):
        pytest.importorskip(program, reason=f"{program} is not installed (make docs does that)")
    monkeypatch.syspath_prepend(DOCS / "extensions")
    drawing = importlib.import_module("benchmark_bars")
    document = importlib.import_module("docutils.core").publish_doctree(
        "=======  ======================  ====\n"
        "Server   numbers/s               MiB\n"
        "=======  ======================  ====\n"
        "ours     1,000 (900 .. 1,100)    5\n"
        "<other>  12.5                    7\n"
        "=======  ======================  ====\n"
    )
    (table,) = document.findall(lambda node: node.tagname == "table")
    speed, (ours, other) = drawing.bars(table)
    assert speed == "numbers/s"
    assert (ours.label, ours.median, ours.low, ours.high) == ("ours", 1000, 900, 1100)
    assert (other.shown, other.median, other.high) == ("12.5", 12.5, 12.5)
    root = ET.fromstring("".join(drawing.svg(speed, [ours, other])))  # noqa: S314  # our own
    assert root.attrib["aria-label"] == "numbers/s. ours: 1,000, <other>: 12.5"
    widths = [float(bar.attrib["width"]) for bar in root.iter("rect")]
    assert widths[0] == pytest.approx(widths[1] * 80, rel=0.02)
