"""The last result of a soak for what is published: from the run, or from what it printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.load import BenchmarkError
from benchmarks.publishing import published
from benchmarks.publishing.facts import facts, now
from benchmarks.publishing.plan import SOAK
from benchmarks.publishing.published import Results, Taken
from benchmarks.publishing.record import Record

HEADS: Final = ("Minutes", "resident MiB", "descriptors", "lag p99 ms", "inbox depth")
STEP: Final = f"{SOAK}/{SOAK}"

_TITLE: Final = re.compile(r"^All services busy for ([\d,]+) s$", re.MULTILINE)
_ROW: Final = re.compile(r"^ *([\d.]+) +([\d.]+) +(\d+) +<= ([\d.e+]+|inf) +(\d+)$", re.MULTILINE)
_ROUNDS: Final = re.compile(r"^Rounds: .*$", re.MULTILINE)
_FAILED: Final = re.compile(r"^FAILED: (.*)$", re.MULTILINE)
_DATE: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d) UTC")
_VERSIONS: Final = {
    "CPython": re.compile(r"CPython ([\w.]+)"),
    "numpy": re.compile(r"numpy ([\w.]+)"),
    "Twisted": re.compile(r"Twisted ([\w.]+)"),
    "kernel": re.compile(r"(Linux [^,]+)"),
    "cores": re.compile(r"(\d+) cores"),
    "processor": re.compile(r"\d+ cores, ([^,]+)"),
}


def keep(seconds: int, rows: Sequence[Sequence[str]], rounds: str, failures: Sequence[str]) -> None:
    """Put a result in the place of the last one.

    :param rows: under :data:`HEADS`.
    :param rounds: how much was done, in words.
    """
    results = published.load(published.FILE)
    records = soak_records(seconds, rows, rounds, failures)
    results.take(STEP, Taken(_command(seconds), now(), float(seconds), facts(), records))
    published.save(published.FILE, results)
    print(f"\nKept in {published.FILE.name}; python -m benchmarks.publish shows it.")


def soak_records(
    seconds: int, rows: Sequence[Sequence[str]], rounds: str, failures: Sequence[str]
) -> list[Record]:
    """Return a result as records."""
    result = {"kind": "soak", "seconds": seconds, "rounds": rounds, "failures": list(failures)}
    samples = [{"kind": "sample", "cells": list(row)} for row in rows]
    return [result, *samples]


def take_text(results: Results, path: Path) -> None:
    """Put what a soak has printed in the place of the last result.

    :raises BenchmarkError: it is not the whole of what one prints.
    """
    text = path.read_text("utf-8")
    title, date, rounds = _TITLE.search(text), _DATE.search(text), _ROUNDS.search(text)
    failures = _FAILED.findall(text)
    rows = [list(row) for row in _ROW.findall(text)]
    if title is None or date is None or not (failures or (rounds and rows)):
        raise BenchmarkError(f"{path}: not what a soak prints to its end")
    seconds = int(title[1].replace(",", ""))
    shown = [[*row[:3], f"<= {row[3]}", row[4]] for row in rows]
    records = soak_records(seconds, shown, rounds[0] if rounds else "", failures)
    found = {name: match[1] for name, form in _VERSIONS.items() if (match := form.search(text))}
    at = f"{date[1]}T{date[2]}:00Z"
    results.take(STEP, Taken(_command(seconds), at, float(seconds), found, records))


def _command(seconds: int) -> str:
    return f"python -m benchmarks.soak --seconds {seconds}"
