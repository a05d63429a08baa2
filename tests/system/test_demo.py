"""``make demo``: the callback service and the object source side by side."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.objectsource.demo import free_port
from tests.system.running import TIMEOUT_S, eventually

QUICK = ["--every", "0.1", "--period", "0.1", "--min-delay", "0", "--max-delay", "0"]


@contextmanager
def demonstrating(folder: Path, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the demonstration in a process group of its own, as a terminal does.

    :param folder: gets its output, and has its temporary files in ``tmp``.
    """
    (folder / "tmp").mkdir()
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.objectsource.demo", *flags],
            cwd=folder,
            env=os.environ | {"TMPDIR": str(folder / "tmp")},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=errors,
            process_group=0,
        )
    try:
        yield process
    finally:
        if group_lives(process):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def group_lives(process: subprocess.Popen[bytes]) -> bool:
    """Whether any process of the group is left."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def stops_whole(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """See that a demonstration ends well, and that nothing of it is left."""
    assert process.wait(TIMEOUT_S) == 0
    assert not group_lives(process)
    assert list((folder / "tmp").iterdir()) == []


@pytest.mark.parametrize("to_all", [True, False], ids=["Ctrl-C", "SIGTERM"])
def test_it_prints_which_objects_are_online_until_a_signal(tmp_path: Path, *, to_all: bool):
    with demonstrating(tmp_path, *QUICK) as process:
        printed = tmp_path / "stdout"
        eventually(
            lambda: process.poll() is not None or "50 objects online: 0 2 4" in printed.read_text()
        )
        if to_all:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.terminate()
        stops_whole(tmp_path, process)
    lines = printed.read_text().splitlines()
    assert lines[0].startswith("--- The daemon is at http://127.0.0.1:")
    assert lines[-1] == f"--- 50 objects online: {' '.join(map(str, range(0, 100, 2)))}"
    log = (tmp_path / "stderr").read_text()
    assert "answered 204 in" in log
    assert "Traceback" not in log


def test_it_ends_when_one_side_does(tmp_path: Path):
    with demonstrating(tmp_path, *QUICK, "--error-rate", "2") as process:
        assert process.wait(TIMEOUT_S) == 1
        assert not group_lives(process)
    log = (tmp_path / "stderr").read_text()
    assert "wanted a number >= 0, <= 1" in log
    assert log.splitlines()[-1] == "demo: one of the two has ended; its log says why"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_port_that_is_taken_is_left_alone():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        assert free_port(number) not in {number, 0}
    assert free_port(number) == number
