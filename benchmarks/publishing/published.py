"""What the published run has measured, kept as data in one JSON file beside this one.

Of each step of each section the last result is kept, with when it was taken and on what. So a run
can be renewed in part, and be resumed after it was killed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.load import BenchmarkError
from benchmarks.publishing.plan import SECTIONS
from benchmarks.publishing.record import COMPLETE, MISSING, Record

FORMAT: Final = 1
FILE: Final = Path(__file__).resolve().parents[1] / "results.json"


@dataclass(frozen=True)
class Taken:
    """What one step has measured.

    :ivar at: when it ended, UTC, as ``2026-11-26T17:05:00Z``.
    :ivar seconds: how long it took.
    :ivar facts: the machine and the versions.
    """

    command: str
    at: str
    seconds: float
    facts: dict[str, str]
    records: list[Record]

    def of_kind(self, kind: str) -> list[Record]:
        """Return its records of one kind."""
        return [each for each in self.records if each["kind"] == kind]


@dataclass
class Results:
    """All of it.

    :ivar began: when the last run began; likewise ``ended``, empty while it goes on, or was killed.
    :ivar names: the sections which that run was to renew.
    :ivar steps: by ``section/step``.
    :ivar failures: why a step has failed, by its name, if that was after what is kept of it.
    :ivar skipped: which program was missing for a step, likewise.
    """

    began: str = ""
    ended: str = ""
    names: list[str] = field(default_factory=list)
    steps: dict[str, Taken] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def take(self, key: str, taken: Taken) -> None:
        """Keep a step's result in place of the last one."""
        taken.records[:] = [each for each in taken.records if each["kind"] != COMPLETE]
        self.steps[key] = taken
        self.failures.pop(key, None)
        self.skipped.pop(key, None)

    def fail(self, key: str, why: str) -> None:
        """Note that a step has failed; what an earlier run has found is kept."""
        self.failures[key] = why
        self.skipped.pop(key, None)

    def skip(self, key: str, program: str) -> None:
        """Note that a step could not be run."""
        self.skipped[key] = program
        self.failures.pop(key, None)

    def is_done(self, key: str) -> bool:
        """Whether the last run has got over a step, well or without its program."""
        return key in self.skipped or (key in self.steps and self.steps[key].at >= self.began)

    def of_section(self, section: str) -> dict[str, Taken]:
        """Return the results of a section by the names of its steps, in the order of the plan."""
        planned = [step.name for step in SECTIONS[section].steps] if section in SECTIONS else []
        found = {
            key.partition("/")[2]: taken
            for key, taken in self.steps.items()
            if key.partition("/")[0] == section
        }
        return {name: found[name] for name in [*planned, *found] if name in found}

    def records(self, section: str, kind: str) -> list[Record]:
        """Return all records of one kind in a section."""
        return [each for taken in self.of_section(section).values() for each in taken.of_kind(kind)]

    def missing(self) -> list[str]:
        """Return the references that were left out, each once."""
        found = [
            str(each["what"]) for taken in self.steps.values() for each in taken.of_kind(MISSING)
        ]
        return list(dict.fromkeys(found))


def load(path: Path) -> Results:
    """Return what a file holds; nothing if there is no file.

    :raises BenchmarkError: it is not one of ours.
    """
    if not path.exists():
        return Results()
    try:
        tree: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if tree.pop("format") != FORMAT:
            raise BenchmarkError(f"{path}: written by another version of the benchmarks")
        steps = {key: Taken(**each) for key, each in tree.pop("steps").items()}
        return Results(**tree, steps=steps)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BenchmarkError(f"{path}: not the results of benchmarks: {error}") from error


def save(path: Path, results: Results) -> None:
    """Write a file, whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text("".join(_lines(results)), "utf-8")
    new.replace(path)


def _lines(results: Results) -> Iterator[str]:
    """Yield JSON with a line for each record, so that a diff shows which have changed."""
    tree = {"format": FORMAT} | asdict(results)
    steps = tree.pop("steps")
    for key, value in tree.items():
        yield f'{"{" if key == "format" else ","}\n"{key}": {json.dumps(value, sort_keys=True)}'
    yield ',\n"steps": {'
    for number, key in enumerate(sorted(steps)):
        taken = steps[key]
        records = ",\n".join(json.dumps(each) for each in taken.pop("records"))
        head = json.dumps(taken, sort_keys=True)[:-1]
        yield f'{"," if number else ""}\n"{key}": {head}, "records": [\n{records}\n]}}'
    yield "\n}}\n"
