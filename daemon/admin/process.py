"""What the process takes of the machine."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Final

STATM: Final = Path("/proc/self/statm")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(statm: Path = STATM) -> int:
    """Give the memory that the process holds; 0 where the system does not tell.

    :param statm: where Linux tells (``proc(5)``).
    """
    try:
        return int(statm.read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


def cpu_seconds() -> float:
    """Give the processor's time that all threads have used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
