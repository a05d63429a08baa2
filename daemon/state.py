"""The folder for files that outlive the process: private, and one daemon's at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class StateFolderInUseError(Exception):
    """Another daemon holds the state folder."""


class StateFolder:
    """A folder of mode 0700 with a lock; made and locked when the first service asks for it.

    :param path: where it lies; parents are made as needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: int | None = None

    @property
    def path(self) -> Path:
        """Where it lies; nothing may be done there before :meth:`open`."""
        return self._path

    def open(self) -> Path:
        """Make the folder if need be, lock it, and give its path.

        The lock goes with the process, however it ends, so nothing stale can keep a daemon from
        starting.

        :raises StateFolderInUseError: another daemon holds the lock.
        :raises OSError: the folder cannot be made or used.
        """
        if self._lock is None:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.chmod(0o700)
            self._lock = self._locked(self._path / "lock")
        return self._path

    def close(self) -> None:
        """Give the lock back."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _locked(self, path: Path) -> int:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise StateFolderInUseError(
                f"the state folder {self._path} is in use by another daemon"
            ) from error
        return descriptor
