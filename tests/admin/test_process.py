"""What the process takes, as the system tells."""

from __future__ import annotations

import time
from pathlib import Path

from daemon.admin.process import cpu_seconds, resident_bytes


def test_memory_that_is_used_is_seen():
    before = resident_bytes()
    held = bytearray(b"x" * 50_000_000)
    assert resident_bytes() - before > 40_000_000
    del held


def test_where_the_system_does_not_tell_it_is_0(tmp_path: Path):
    assert resident_bytes(tmp_path / "statm") == 0


def test_time_that_is_worked_is_seen():
    before, until = cpu_seconds(), time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert cpu_seconds() - before >= 0.04
