"""Fuzzes the targets, one after another, each in a process of its own: ``make fuzz``.

Inputs come from the seeds, the corpus and what is found on the way; which ones lead on is told by
the branches of ``daemon`` that they reach. An input that a target cannot take is kept, and named.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz.targets import TARGETS, Target

SLOWEST_S: Final = 30
"""An input that takes longer is a finding."""

MEMORY_MB: Final = 2048
"""So is one that takes more memory."""

_GRACE_S: Final = 120
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units: ([0-9]+)")
_COVERED: Final = re.compile(r"cov: ([0-9]+) ft: ([0-9]+)")


class Round(NamedTuple):
    """What came of fuzzing one target for a time.

    :ivar inputs: how many were tried.
    :ivar edges: branches that were reached, since the beginning.
    :ivar features: the same, told apart by how often.
    :ivar findings: inputs that the target could not take.
    """

    inputs: int
    seconds: float
    edges: int
    features: int
    findings: list[Path]


class Work:
    """A folder with what the fuzzer needs and finds.

    :param folder: is there, and may hold what earlier runs have found.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def finds(self, target: Target) -> Path:
        """Give the folder of the inputs that led on."""
        return _made(self.folder / "finds" / target.name)

    def fuzz(self, target: Target, seconds: int) -> Round:
        """Fuzz a target."""
        seeds = _made(self.folder / "seeds" / target.name)
        _lay(seeds, [*target.seeds, *target.kept])
        findings = _made(self.folder / "findings" / target.name)
        known = set(findings.iterdir())
        words = self.folder / f"{target.name}.words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words))
        began = time.monotonic()
        said = _libfuzzer(
            target,
            [
                f"-max_total_time={seconds}",
                f"-dict={words}",
                f"-artifact_prefix={findings}/",
                "-print_final_stats=1",
            ],
            [self.finds(target), seeds],
            seconds + _GRACE_S,
        )
        executed, covered = _EXECUTED.search(said), _COVERED.findall(said)
        found = sorted(set(findings.iterdir()) - known)
        if executed is None or found:
            sys.stderr.write(said[-4000:])
        edges, features = covered[-1] if covered else (0, 0)
        return Round(
            int(executed[1]) if executed else 0,
            time.monotonic() - began,
            int(edges),
            int(features),
            found,
        )

    def renew(self, target: Target) -> None:
        """Put the inputs into the corpus that together reach all that any of them does."""
        seeds = _made(self.folder / "seeds" / target.name)
        fresh = _made(self.folder / "fresh" / target.name)
        said = _libfuzzer(target, ["-merge=1"], [fresh, seeds, self.finds(target)], 600)
        if not any(fresh.iterdir()):
            sys.stderr.write(said[-4000:])
            return
        known = {hashlib.sha1(seed).hexdigest() for seed in target.seeds}  # noqa: S324  # a name
        for old in _made(target.corpus).iterdir():
            old.unlink()
        for path in fresh.iterdir():
            if path.name not in known:
                (target.corpus / path.name).write_bytes(path.read_bytes())


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _lay(folder: Path, inputs: Iterable[bytes]) -> None:
    for each in inputs:
        (folder / hashlib.sha1(each).hexdigest()).write_bytes(each)  # noqa: S324  # a name


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _libfuzzer(
    target: Target, options: Sequence[str], folders: Sequence[Path], timeout_s: float
) -> str:
    """Run it to its end; gives what it said."""
    command = [
        *(sys.executable, "-m", "tests.fuzz.child", target.name),
        *(f"-max_len={target.largest}", f"-timeout={SLOWEST_S}", f"-rss_limit_mb={MEMORY_MB}"),
        *(*options, *map(str, folders)),
    ]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout_s,
        check=False,
    )
    return done.stdout.decode(errors="replace")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="for each target (20)")
    parser.add_argument(
        "--inputs", type=int, default=0, help="go round until there were so many, of all together"
    )
    parser.add_argument(
        "--only",
        type=lambda text: [TARGETS[name] for name in text.split(",")],
        default=list(TARGETS.values()),
        help=f"some targets, with commas between them, of: {', '.join(TARGETS)}",
    )
    parser.add_argument("--keep", type=Path, help="a folder for what is found, to go on with it")
    parser.add_argument("--renew", action="store_true", help="renew the corpus with what was found")
    return parser.parse_args()


def _go_round(work: Work, options: argparse.Namespace) -> bool:
    """Fuzz all targets in turn; gives whether something was found."""
    total, findings = 0, []
    while True:
        for target in options.only:
            done = work.fuzz(target, options.seconds)
            total += done.inputs
            findings += done.findings
            speed = done.inputs / done.seconds
            print(
                f"{target.name:16} {done.inputs:>9,} inputs, {speed:>7,.0f}/s,"
                f" {done.edges:>5,} edges, {done.features:>5,} features,"
                f" {len(done.findings)} findings",
                flush=True,
            )
        if total >= options.inputs:
            break
    print(f"{total:,} inputs in all, {len(findings)} findings")
    for finding in findings:
        print(f"    {finding}")
    return bool(findings)


def main() -> int:
    """Fuzz; gives the exit status."""
    options = _arguments()
    if find_spec("atheris") is None:
        print("atheris has no wheel for this Python or machine: nothing was fuzzed")
        return 0
    folder = options.keep or Path(tempfile.mkdtemp(prefix="tsdaemon-fuzz-"))
    print(f"what is found is kept in {folder}")
    work = Work(_made(folder))
    found = _go_round(work, options)
    if options.renew:
        for target in options.only:
            work.renew(target)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
