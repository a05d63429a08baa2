"""Which instructions NumPy is to leave alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.processor import AVX_512, DISABLED, ENABLED, choose_instructions

ZEN_4 = {"vendor_id": "AuthenticAMD", "cpu family": "25", "flags": "fpu avx2 avx512f avx512bw"}
OTHERS = {
    "Zen 3": ZEN_4 | {"flags": "fpu avx2"},
    "Zen 5": ZEN_4 | {"cpu family": "26"},
    "Intel": ZEN_4 | {"vendor_id": "GenuineIntel", "cpu family": "6"},
    "an Intel of that family": ZEN_4 | {"vendor_id": "GenuineIntel"},
    "no facts": {},
}


def described(tmp_path: Path, facts: dict[str, str]) -> Path:
    """Write what the system says of two processors, the second an older one."""
    path = tmp_path / "cpuinfo"
    first = "".join(f"{name}\t: {value}\n" for name, value in facts.items())
    path.write_text(f"processor\t: 0\n{first}\nprocessor\t: 1\ncpu family\t: 6\nflags\t\t: fpu\n")
    return path


def chosen(cpuinfo: Path, **before: str) -> dict[str, str]:
    environment = dict(before)
    choose_instructions(environment, cpuinfo)
    return environment


def test_a_zen_4_sorts_without_avx_512(tmp_path: Path):
    assert chosen(described(tmp_path, ZEN_4)) == {DISABLED: AVX_512}


@pytest.mark.parametrize("name", list(OTHERS))
def test_other_processors_use_what_they_have(tmp_path: Path, name: str):
    assert chosen(described(tmp_path, OTHERS[name])) == {}


@pytest.mark.parametrize("name", [DISABLED, ENABLED])
def test_what_somebody_has_chosen_stays(tmp_path: Path, name: str):
    assert chosen(described(tmp_path, ZEN_4), **{name: "AVX2"}) == {name: "AVX2"}


def test_a_system_that_tells_nothing_is_left_alone(tmp_path: Path):
    assert chosen(tmp_path / "missing") == {}


def test_it_is_chosen_before_numpy_is_imported():
    program = (
        "import sys, daemon; assert 'numpy' not in sys.modules;"
        " import daemon.numbers.ledger; print('numpy' in sys.modules)"
    )
    environment = {name: text for name, text in os.environ.items() if name != DISABLED}
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("True\n", "")
