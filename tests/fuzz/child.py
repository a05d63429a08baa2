"""Fuzzes one target in a process of its own: ``python -m tests.fuzz.child TARGET OPTION…``.

The options and folders are libFuzzer's.
"""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from typing import Final

import atheris

INSTRUMENTED: Final = ["daemon"]


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    _, target, *options = sys.argv
    with atheris.instrument_imports(include=INSTRUMENTED):
        run = import_module(f"tests.fuzz.{target}").run
    # Merging, libFuzzer starts itself anew, by a shell and what it takes for its name.
    itself = f"{shlex.quote(sys.executable)} -m tests.fuzz.child {target}"
    atheris.Setup([itself, *options], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
