"""What fails for a daemon that ``preload.c`` was loaded into; decided while it runs."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

SOURCE: Final = Path(__file__).parent / "preload.c"
_SIZE_BYTES: Final = 4096
_FIELDS: Final = (
    "sync_ms",
    "sync_held",
    "sync_errno",
    "write_errno",
    "open_errno",
    "left",
    "clock_ns",
    "waiting",
    "syncs",
    "failed",
    "clock_reads",
)
_FIELD: Final = struct.Struct("=q")
_PATH_AT: Final = len(_FIELDS) * _FIELD.size
_FOR_EVER: Final = -1


def compiler() -> str | None:
    """Give the path of a C compiler; None when there is none."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build(cc: str, folder: Path) -> Path:
    """Compile the library that makes things fail."""
    library = folder / "preload.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([cc, *flags, "-o", library, SOURCE, "-ldl"], check=True)
    return library


class Faults:
    """The faults of one daemon and of those that come after it.

    :param library: what :func:`build` gave.
    :param file: is made; what the daemon maps.
    """

    def __init__(self, library: Path, file: Path) -> None:
        file.write_bytes(bytes(_SIZE_BYTES))
        self.environment = {"LD_PRELOAD": str(library), "FAULTS_FILE": str(file)}
        descriptor = os.open(file, os.O_RDWR)
        try:
            self._memory = mmap.mmap(descriptor, _SIZE_BYTES)
        finally:
            os.close(descriptor)

    def concern(self, path: Path | str) -> None:
        """Let faults of the disk be those of files whose absolute path begins so."""
        given = os.fsencode(path).ljust(_SIZE_BYTES - _PATH_AT, b"\0")
        self._memory[_PATH_AT:] = given

    @contextmanager
    def slow_disk(self, sync_ms: int) -> Iterator[None]:
        """Let each sync take longer."""
        with self._set(sync_ms=sync_ms):
            yield

    @contextmanager
    def held_disk(self) -> Iterator[None]:
        """Let no sync end."""
        with self._set(sync_held=1):
            yield

    @contextmanager
    def failing(self, *, times: int = _FOR_EVER, **kinds: int) -> Iterator[None]:
        """Let calls fail.

        :param times: so many calls; else all.
        :param kinds: ``sync``, ``write`` or ``open``, and the number of the error of each.
        """
        self._put("left", times)
        with self._set(**{f"{kind}_errno": error for kind, error in kinds.items()}):
            yield

    def set_clock(self, ahead_s: float) -> None:
        """Set the time of day, so many seconds from the truth."""
        self._put("clock_ns", round(ahead_s * 1e9))

    @property
    def waiting(self) -> int:
        """How many syncs take longer just now."""
        return self._get("waiting")

    @property
    def syncs(self) -> int:
        """How many syncs there have been of what is concerned."""
        return self._get("syncs")

    @property
    def failed(self) -> int:
        """How many calls have failed."""
        return self._get("failed")

    @property
    def clock_reads(self) -> int:
        """How often the time of day was read."""
        return self._get("clock_reads")

    @contextmanager
    def _set(self, **fields: Any) -> Iterator[None]:
        for name, value in fields.items():
            self._put(name, value)
        try:
            yield
        finally:
            for name in fields:
                self._put(name, 0)

    def _put(self, name: str, value: int) -> None:
        _FIELD.pack_into(self._memory, _FIELDS.index(name) * _FIELD.size, value)

    def _get(self, name: str) -> int:
        value: int
        (value,) = _FIELD.unpack_from(self._memory, _FIELDS.index(name) * _FIELD.size)
        return value
