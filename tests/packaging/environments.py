"""Copies of the checkout, what is built of them, and fresh environments to install it in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PINS = CHECKOUT / "requirements" / "run.txt"

TIMEOUT_S = 300.0
"""How long one program may take before a test gives up: pip may have much to fetch."""

_NOT_OURS = re.compile(r"COV.*|TSDAEMON_.*|PYTHONPATH|PYTHONHOME|STATE_DIRECTORY|VIRTUAL_ENV")
"""What in the environment would reach into a fresh one: coverage, settings, other code."""


def clean_environment() -> dict[str, str]:
    """Give the environment variables that a program in a fresh environment may see."""
    return {name: value for name, value in os.environ.items() if not _NOT_OURS.fullmatch(name)}


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        command,
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def must_run(*command: str | Path, folder: Path) -> None:
    """Run a program; unless it succeeds, the test fails with what the program said."""
    finished = run(*command, folder=folder)
    if finished.returncode:
        words = " ".join(map(str, command))
        pytest.fail(
            f"{words}: exit status {finished.returncode}\n{finished.stdout}{finished.stderr}",
            pytrace=False,
        )


def copy_checkout(target: Path) -> Path:
    """Copy the checkout as a clone of it would look, but for what a run leaves behind.

    :returns: the target.
    """
    left_out = shutil.ignore_patterns(
        ".git", ".venv", ".*_cache", ".hypothesis", ".coverage*", "__pycache__", "dist"
    )
    shutil.copytree(CHECKOUT, target, ignore=left_out)
    return target


def build(project: Path, target: Path) -> Path:
    """Build the sdist of a project, and from it the wheel.

    :param target: the folder for both.
    :returns: the wheel.
    """
    must_run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", target, project, folder=project
    )
    (wheel,) = target.glob("*.whl")
    return wheel


class Environment:
    """A virtual environment that holds only what is installed into it.

    :param folder: where to make it.
    """

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self._bin = folder / "bin"
        self.empty_folder = folder / "empty"
        """A working folder, so that nothing is found by accident in the one of the tests."""
        self.empty_folder.mkdir()

    @property
    def twistd_path(self) -> Path:
        """The environment's twistd."""
        return self._bin / "twistd"

    def install(self, *what: str | Path) -> None:
        """Install with pip, its options included, nothing beyond the project's own pins."""
        self._pip("install", "--no-compile", "--constraint", PINS, *what)

    @contextmanager
    def with_installed(self, wheel: Path) -> Iterator[None]:
        """Install a wheel alone, and uninstall it at the end."""
        self.install("--no-deps", "--no-index", wheel)
        yield
        self._pip("uninstall", "--yes", wheel.name.partition("-")[0])

    def twistd(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``twistd``, which is expected to end by itself."""
        return self.run("twistd", *arguments)

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program that is installed there, and is expected to end by itself."""
        return run(self._bin / program, *arguments, folder=self.empty_folder)

    def _pip(self, *arguments: str | Path) -> None:
        must_run(
            *(sys.executable, "-m", "pip", "--python", self._bin / "python"),
            *("--quiet", "--disable-pip-version-check"),
            *arguments,
            folder=self.empty_folder,
        )
