"""How fast a server answers one job: the course of a run, and the turns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from benchmarks.http_load import Load, Run, Tally, run_wrk
from benchmarks.http_servers import TITLES, Contenders, Job, require_right, stop

COUNTER_WINDOW_SECONDS = 60.0

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class Throughput:
    """One job under one load, in a fresh server."""

    contenders: Contenders
    job: Job
    load: Load
    warm_up_seconds: int

    def run(self, name: str, folder: Path) -> Run:
        """Measure one server and check its replies, a counter's number too."""
        warm_up = replace(self.load, seconds=self.warm_up_seconds)
        with self.contenders.process(name, self.job, folder) as server:
            tally = Tally(COUNTER_WINDOW_SECONDS)
            count = require_right(server, self.job)
            if self.job.counts:
                tally.require(server, count)
            tally.add(run_wrk(server, self.job, warm_up).requests, self.load.under_way)
            run = run_wrk(server, self.job, self.load)
            tally.add(run.requests, self.load.under_way)
            count = require_right(server, self.job)
            if self.job.counts:
                tally.require(server, count)
            stop(server)
        return run


def run_once(name: str, measure: Callable[[str, Path], Outcome]) -> Outcome:
    """Measure a server in a fresh working folder."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        return measure(name, Path(folder))


def run_in_turns(
    names: Sequence[str],
    measure: Callable[[str, Path], Outcome],
    repeat: int,
    line: Callable[[Outcome], str],
) -> dict[str, list[Outcome]]:
    """Measure the servers in turns, ``repeat`` rounds, and print each run."""
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    for turn in range(1, repeat + 1):
        for name in names:
            outcome = run_once(name, measure)
            print(f"- round {turn}, {TITLES[name]}: {line(outcome)}", flush=True)
            outcomes[name].append(outcome)
    return outcomes
