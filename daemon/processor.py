"""What the processor is slow at, told to NumPy, which asks once: before its import."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Final

CPUINFO: Final = Path("/proc/cpuinfo")

DISABLED: Final = "NPY_DISABLE_CPU_FEATURES"
ENABLED: Final = "NPY_ENABLE_CPU_FEATURES"
"""NumPy's own variables, of which only one may be set."""

AVX_512: Final = "X86_V4"
"""NumPy's name for it; what builds on it goes with it."""

_FIRST_BYTES: Final = 8192
"""The first processor; the others are like it."""

_ZEN_3_AND_4: Final = "25"


def choose_instructions(environment: MutableMapping[str, str], cpuinfo: Path = CPUINFO) -> None:
    """Have NumPy leave AVX-512 alone on a Zen 4, unless someone has chosen already.

    Its sort stores with ``vpcompressd``, which takes this processor over a hundred cycles: a batch
    of numbers is sorted four to five times as fast without.
    """
    if DISABLED not in environment and ENABLED not in environment and _is_zen_4(cpuinfo):
        environment[DISABLED] = AVX_512


def _is_zen_4(cpuinfo: Path) -> bool:
    try:
        with cpuinfo.open("rb") as file:
            text = file.read(_FIRST_BYTES).decode("ascii", "replace")
    except OSError:
        return False
    facts: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    return (
        facts.get("vendor_id") == "AuthenticAMD"
        and facts.get("cpu family") == _ZEN_3_AND_4
        and "avx512f" in facts.get("flags", "").split()  # which Zen 3 has not
    )
