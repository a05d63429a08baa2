"""Make ``RESULTS.rst`` and the plots of the book from what was measured, without measuring.

Run it from the project's folder: ``python -m benchmarks.publish``. What is said of the figures, and
survives a new run, is in the folder ``remarks``, a file for each section.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.load import BenchmarkError
from benchmarks.publishing import published
from benchmarks.publishing.contract import contract_table
from benchmarks.publishing.plan import SECTIONS, SOAK, SOAK_TITLE
from benchmarks.publishing.published import Results, Taken
from benchmarks.publishing.sections import BLOCKS
from benchmarks.soak_record import take_text

CHECKOUT: Final = Path(__file__).resolve().parents[1]
TITLES: Final = {name: section.title for name, section in SECTIONS.items()} | {SOAK: SOAK_TITLE}
NEVER: Final = (
    "a network: all load comes over loopback, from another core of the same machine",
    "TLS, IPv6, and more cores than two",
    "a PostgreSQL on another machine, and disks other than the one that is there",
    "the callback service beside another program that does the same: none is known",
)
METHOD: Final = """\
Machines are shared and noisy: what counts is the ratio of servers that took turns in one run.
Cells are medians, with minimum and maximum of the rounds in brackets; ratios are taken round by
round. How each figure is taken is in ``README.rst``; the data are in ``results.json``. All but the
remarks is written by ``make bench``."""


_TITLE: Final = re.compile(r"<title[^>]*>([^<]*)</title>")
_ALWAYS: Final = ("tsdaemon", "CPython", "Twisted")
"""What each section names, though it is the same for all."""


def publish(results: Results, folder: Path | None = None) -> None:
    """Write the page and the plots into a checkout; None: this one."""
    root = folder or CHECKOUT
    remarks = root / "benchmarks" / "remarks"
    if find_spec("matplotlib") is None:
        print("\nmatplotlib is not installed: the plots stay as they are. make bench installs it.")
    else:
        from benchmarks.publishing.plots import draw_all

        draw_all(results, root / "docs" / "images" / "bench")
    page = "\n".join(_page(results, remarks, root / "docs" / "images" / "bench"))
    (root / "benchmarks" / "RESULTS.rst").write_text(f"{page.rstrip()}\n", "utf-8")


def _page(results: Results, remarks: Path, images: Path) -> Iterator[str]:
    yield from _heading("Results", "=")
    yield f"{METHOD}\n"
    yield from _state(results)
    yield from _heading("What must be reached", "-")
    yield f"{contract_table(results)}\n"
    yield "Medians decide. Of several loads the slowest counts.\n"
    yield from _remarks(remarks, "contract")
    yield from _heading("Not measured", "-")
    yield from (f"* {each}" for each in _not_measured(results))
    yield ""
    for name, title in TITLES.items():
        steps = results.of_section(name)
        said = list(_remarks(remarks, name))
        if steps or said:
            yield from _heading(title, "-")
            yield from _section(results, name, steps, images)
            yield from said


def _section(results: Results, name: str, steps: dict[str, Taken], images: Path) -> Iterator[str]:
    if steps:
        yield f"{_when(steps, _last(results).facts)}\n"
    for head, text in BLOCKS[name](results):
        if text:
            yield from _heading(head, "~")
            yield f"{text}\n"
    for image in sorted(images.glob(f"{name}-*.svg")):
        title = _title_of(image)
        yield f".. figure:: ../docs/images/bench/{image.name}\n   :alt: {title}\n\n   {title}\n"
    if steps:
        yield from _heading(f"How it was run: {name}", "~")
        yield "::\n"
        yield from (f"    {taken.command}" for taken in steps.values())
        yield ""


def _state(results: Results) -> Iterator[str]:
    """Say when, and on what, most was taken."""
    if not results.steps:
        yield "Nothing has been measured yet.\n"
        return
    last = _last(results)
    facts = ", ".join(f"{name} {value}" for name, value in last.facts.items())
    seconds = sum(taken.seconds for name, taken in results.steps.items() if _is_bench(name))
    yield f"Last measured at {_time(last.at)}: {facts}.\n"
    yield f"All of ``make bench`` took {seconds / 60:.0f} minutes of measuring.\n"


def _last(results: Results) -> Taken:
    return max(results.steps.values(), key=lambda taken: taken.at)


def _is_bench(key: str) -> bool:
    return not key.startswith(f"{SOAK}/")


def _when(steps: dict[str, Taken], known: dict[str, str]) -> str:
    """Say when a section was taken, with what; apart for steps that differ in their versions.

    :param known: what the head of the page says; it is told again where it was otherwise.
    """
    groups: dict[str, list[str]] = {}
    for taken in steps.values():
        facts = ", ".join(
            f"{name} {value}"
            for name, value in taken.facts.items()
            if name in _ALWAYS or known.get(name) != value
        )
        groups.setdefault(facts, []).append(taken.at)
    told = [
        f"Taken from {_time(min(times))} to {_time(max(times))}: {facts}."
        if len(times) > 1
        else f"Taken at {_time(times[0])}: {facts}."
        for facts, times in groups.items()
    ]
    return "\n\n".join(told)


def _time(at: str) -> str:
    return f"{at[:10]} {at[11:16]} UTC"


def _not_measured(results: Results) -> Iterator[str]:
    yield from NEVER
    for what in results.missing():
        yield f"{what}: not installed where this was run"
    for key, program in sorted(results.skipped.items()):
        kept = ", what is shown is of an earlier run" if key in results.steps else ""
        yield f"``{key}``: it needs {program}, which is not installed{kept}"
    for key, why in sorted(results.failures.items()):
        kept = ", what is shown may be of an earlier run" if key in results.steps else ""
        yield f"``{key}`` failed in the last run{kept}: ``{why.replace('`', '')}``"
    for name, title in TITLES.items():
        if not results.of_section(name):
            yield f"*{title}*: no run has been published yet"


def _remarks(remarks: Path, name: str) -> Iterator[str]:
    path = remarks / f"{name}.rst"
    if path.exists():
        yield f"{path.read_text('utf-8').strip()}\n"


def _title_of(image: Path) -> str:
    found = _TITLE.search(image.read_text("utf-8"))
    return unescape(found[1]) if found else image.stem


def _heading(text: str, mark: str) -> Iterator[str]:
    yield f"{text}\n{mark * len(text)}\n"


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish")
    parser.add_argument(
        "--soak-text",
        type=Path,
        metavar="FILE",
        help="take in what python -m benchmarks.soak has printed, its errors too",
    )
    return parser


def main(
    arguments: Sequence[str] | None = None, path: Path = published.FILE, folder: Path | None = None
) -> int:
    """Run the command line and return the exit status."""
    options = argument_parser().parse_args(arguments)
    try:
        results = published.load(path)
        if options.soak_text is not None:
            take_text(results, options.soak_text)
            published.save(path, results)
        publish(results, folder)
    except (BenchmarkError, OSError) as failure:
        print(f"\nFAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
