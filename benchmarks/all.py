"""Run the benchmarks one after another, each in a short form; ``make bench`` does.

The long forms, by which ``RESULTS.rst`` came about, are those of each benchmark alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.http import choice_argument

SHORT_FORMS: dict[str, tuple[str, ...]] = {
    "numbers": ("--repeat=2",),
    "http": (
        "--connections=50",
        "--heads=same",
        "--servers=ours,klein,go1",
        "--repeat=2",
        "--seconds=2",
    ),
    "lookups": ("--lookups=50_000", "--repeat=2"),
    "callback": (
        "--only=accepts",
        "--ids=10",
        "--ranges=100",
        "--sources=down",
        "--repeat=2",
        "--seconds=3",
    ),
    "hash": ("--repeat=2", "--seconds=2"),
    "isolation": ("--seconds=4", "--numbers=40_000_000"),
}


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.all")
    parser.add_argument(
        "--only",
        type=choice_argument(tuple(SHORT_FORMS)),
        default=list(SHORT_FORMS),
        metavar="NAMES",
        help=f"some of {','.join(SHORT_FORMS)} (all)",
    )
    return parser


def run(name: str) -> bool:
    """Run one benchmark; whether it ended well."""
    arguments = SHORT_FORMS[name]
    title = " ".join(["python -m", f"benchmarks.{name}", *arguments])
    print(f"\n{title}\n{'=' * len(title)}\n", flush=True)
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], check=False)
    print(f"\n{name}: {time.monotonic() - began:.0f} s, status {ended.returncode}", flush=True)
    return ended.returncode == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 1 if any of them failed."""
    options = argument_parser().parse_args(arguments)
    failed = [name for name in options.only if not run(name)]
    if failed:
        print(f"\nFAILED: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
