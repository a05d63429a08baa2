"""Folders for files that live as long as one input, in memory where there is such a place."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # a folder of a random name is made in it


@contextmanager
def new_folder() -> Iterator[Path]:
    """Give a new and empty folder, and remove it afterwards."""
    above = _IN_MEMORY if _IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="tsdaemon-fuzz-", dir=above) as folder:
        yield Path(folder)
