"""Run the benchmarks one after another, and publish what they find; ``make bench`` does.

Each step is a process of its own. What it has found is saved as soon as it has ended: a run that is
killed goes on with ``--resume``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Final

from benchmarks.http import choice_argument
from benchmarks.load import BenchmarkError, process_tree
from benchmarks.publish import publish
from benchmarks.publishing import published
from benchmarks.publishing.facts import facts, now
from benchmarks.publishing.plan import SECTIONS, Step
from benchmarks.publishing.published import Results, Taken
from benchmarks.publishing.record import COMPLETE, VARIABLE, read_records

STEP_SECONDS: Final = 1200.0
"""None takes so long; one that hangs must not keep the others from their turn."""

END_SECONDS: Final = 20.0
_WHY: Final = "FAILED: "


class Stopped(Exception):  # noqa: N818  # no error: it was asked for
    """The run is to end; the step under way is not counted."""


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.all")
    add = parser.add_argument
    add(
        "--only",
        type=choice_argument(tuple(SECTIONS)),
        metavar="NAMES",
        help=f"renew some of {','.join(SECTIONS)} (all)",
    )
    add("--resume", action="store_true", help="go on with the last run, which was killed")
    add("--short", action="store_true", help="a quick look, which publishes nothing")
    add("--list", action="store_true", help="show what would be run")
    return parser


def carry_out(words: Sequence[str], records: Path, folder: Path) -> tuple[int, str]:
    """Run one benchmark; return its status and the last line of what it said of a failure.

    :param folder: for its temporary files.
    """
    command = [sys.executable, "-m", f"benchmarks.{words[0]}", *words[1:]]
    environment = os.environ | {VARIABLE: str(records), "TMPDIR": str(folder)}
    errors = folder / "errors"
    with errors.open("wb") as stderr:
        process = subprocess.Popen(command, env=environment, stderr=stderr, start_new_session=True)
        try:
            status = process.wait(STEP_SECONDS)
        except BaseException as error:
            end(process)
            if isinstance(error, subprocess.TimeoutExpired):
                return 1, f"not ready after {STEP_SECONDS:g} s"
            raise
    text = errors.read_text("utf-8", "replace")
    sys.stderr.write(text)
    sys.stderr.flush()
    lines = [line for line in text.splitlines() if line.strip()]
    said = [line.removeprefix(_WHY) for line in lines if line.startswith(_WHY)]
    return status, (said or lines or [f"status {status}"])[-1].strip()


def end(process: subprocess.Popen[bytes]) -> None:
    """Let a benchmark clean up, then kill what is left of it."""
    tree = process_tree(process.pid)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        for pid in tree:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()


def renew(key: str, step: Step, results: Results) -> None:
    """Run a step and keep what it has found."""
    missing = [program for program in step.needs if shutil.which(program) is None]
    if missing:
        print(f"\n{key}: {missing[0]} is not installed", flush=True)
        results.skip(key, missing[0])
        return
    print(f"\n{step.command}\n{'=' * len(step.command)}\n", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        status, why = carry_out(step.words, folder / "records", folder)
        records = read_records(folder / "records")
    took = time.monotonic() - began
    print(f"\n{key}: {took:.0f} s, status {status}", flush=True)
    # A broken bound is a result; one that did not get to its end is none.
    if status == 0 or (records and records[-1]["kind"] == COMPLETE):
        results.take(key, Taken(step.command, now(), round(took, 1), facts(), records))
    if status:
        results.fail(key, why)


def run_all(
    names: Sequence[str], results: Results, save: Callable[[Results], None], *, resume: bool
) -> list[str]:
    """Run the steps of some sections; return the names of those that have failed."""
    if not resume:
        results.began, results.ended, results.names = now(), "", list(names)
        save(results)
    keys = [
        (f"{name}/{step.name}", step)
        for name in names
        for step in SECTIONS[name].steps
        if find_spec(f"benchmarks.{step.words[0]}") is not None
    ]
    for key, step in keys:
        if resume and results.is_done(key):
            print(f"{key}: done at {results.steps[key].at}" if key in results.steps else key)
        else:
            renew(key, step, results)
            save(results)
    results.ended = now()
    save(results)
    return [key for key, _ in keys if key in results.failures]


def look(names: Sequence[str]) -> list[str]:
    """Run the short forms of some sections; return the names of those that have failed."""
    failed = []
    for name in names:
        if find_spec(f"benchmarks.{name}") is None:
            continue
        words = (name, *SECTIONS[name].short)
        step = Step(name, words)
        print(f"\n{step.command}\n{'=' * len(step.command)}\n", flush=True)
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            status, _ = carry_out(words, Path(os.devnull), Path(folder))
        if status:
            failed.append(name)
    return failed


def stop(number: int, _frame: FrameType | None) -> None:
    """End the run at a signal."""
    raise Stopped(signal.Signals(number).name)


def main(
    arguments: Sequence[str] | None = None, path: Path = published.FILE, folder: Path | None = None
) -> int:
    """Run the command line and return the exit status: 1 if any of them failed.

    :param path: of the results.
    :param folder: of the checkout that is published into; None: this one.
    """
    options = argument_parser().parse_args(arguments)
    names = options.only or list(SECTIONS)
    if options.list:
        for name in names:
            print("\n".join(step.command for step in SECTIONS[name].steps))
        return 0
    # Of one's own, so that benchmarks get the default even where a shell has made it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    failed: list[str] = []
    try:
        if options.short:
            failed = look(names)
        else:
            results = published.load(path)
            if options.resume and not options.only:
                names = results.names or names
            try:
                failed = run_all(
                    names, results, lambda each: published.save(path, each), resume=options.resume
                )
            finally:
                publish(results, folder)
    except BenchmarkError as failure:
        print(f"\n{_WHY}{failure}", file=sys.stderr)
        return 1
    except Stopped as stopped:
        print(f"\nStopped by {stopped}; go on with --resume.", file=sys.stderr)
        return 1
    if failed:
        print(f"\n{_WHY}{', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
