"""A column under test: small, and looked at from outside."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.storage.mapped import NOTHING, Column
from daemon.storage.salvage import Trouble

CAPACITY = 8
FAR = 1 << 50


def opened(folder: Path, capacity: int = CAPACITY) -> Column:
    column = Column(folder, capacity)
    column.open(FAR)
    return column


def step(column: Column) -> Trouble | None:
    """Do what service and thread do once a second."""
    return column.take(column.work().run())


def drained(column: Column) -> list[int]:
    """Take out all entries."""
    values: list[int] = []
    while column.count:
        before, oldest = column.count, column.oldest
        column.drop_through(oldest)
        values += [oldest] * (before - column.count)
    assert column.oldest == NOTHING
    return values


def on_disk(folder: Path) -> list[int]:
    """Give what a start finds now, in a copy so that nothing changes."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        shutil.copytree(folder, copy)
        return drained(opened(copy))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no new file get any room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def refusing(number: int) -> Callable[..., None]:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse
