"""The file ``numbers.log``, and daemons that get in each other's way."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.system.clients import fresh_numbers
from tests.system.conftest import Starter
from tests.system.running import Finished, ReservedPort, RunningDaemon, run_tsdaemon


def refused(folder: Path, port: ReservedPort, *flags: str | Path) -> Finished:
    """Start a daemon that must not start, and give its one line that says why."""
    listen = f"numbers.listen=tcp:{port.number}:interface=127.0.0.1"
    finished = run_tsdaemon(folder, "--set", listen, *flags)
    assert finished.status == 1
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr
    assert "ready:" not in finished.stderr
    assert finished.stderr.count("critical") == 1
    assert "critical] numbers: " in finished.last_error
    return finished


def serves(daemon: RunningDaemon) -> None:
    """See that a daemon takes numbers."""
    numbers = fresh_numbers(3)
    daemon.connect().send_numbers(numbers)
    daemon.wait_for(numbers)


def test_the_log_is_emptied_at_start(start: Starter):
    folder = start.folder()
    (folder / "numbers.log").write_text("123\nleft over, and torn")
    daemon = start(folder=folder)
    assert daemon.log.read_bytes() == b""
    serves(daemon)
    assert len(daemon.log.read_text().splitlines()) == 3


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_logs_mode_follows_the_umask(start: Starter, umask: int, mode: int):
    before = os.umask(umask)
    try:
        daemon = start()
    finally:
        os.umask(before)
    assert stat.S_IMODE(daemon.log.stat().st_mode) == mode


def test_the_log_lies_where_the_setting_says(start: Starter, tmp_path: Path):
    daemon = start("--set", f"numbers.log={tmp_path}/elsewhere.txt")
    assert not daemon.log.exists()
    daemon.log = tmp_path / "elsewhere.txt"
    serves(daemon)


def test_nothing_but_the_log_is_written_to_the_working_folder(start: Starter):
    folder = start.folder()
    daemon = start(folder=folder)
    serves(daemon)
    assert daemon.stop() == 0
    assert [path.name for path in folder.iterdir()] == ["numbers.log"]


@pytest.mark.parametrize("path", ["missing/numbers.log", ".", "/dev/null"])
def test_a_log_that_cannot_be_is_one_line_and_the_daemon_does_not_start(start: Starter, path: str):
    finished = refused(start.folder(), start.port(), "--set", f"numbers.log={path}")
    assert path in finished.last_error


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every file")
def test_a_log_that_may_not_be_written_is_one_line_and_the_daemon_does_not_start(start: Starter):
    folder = start.folder()
    (folder / "numbers.log").touch(mode=0o400)
    assert "numbers.log" in refused(folder, start.port()).last_error


def test_a_second_daemon_on_the_port_does_not_start_and_harms_nothing(start: Starter):
    port, folder = start.port(), start.folder()
    daemon = start(port=port, folder=folder)
    serves(daemon)
    lines = daemon.lines()
    finished = refused(folder, port)
    assert str(port.number) in finished.last_error
    assert daemon.lines() == lines
    serves(daemon)


def test_a_second_daemon_on_the_log_does_not_start_and_harms_nothing(start: Starter):
    folder = start.folder()
    daemon = start(folder=folder)
    serves(daemon)
    lines = daemon.lines()
    finished = refused(folder, start.port())
    assert "numbers.log is in use by another daemon" in finished.last_error
    assert daemon.lines() == lines
    serves(daemon)


def test_after_a_crash_a_new_daemon_empties_the_log_and_works(start: Starter):
    port, folder = start.port(), start.folder()
    daemon = start(port=port, folder=folder)
    serves(daemon)
    daemon.kill()
    assert len(daemon.lines()) == 3
    daemon.hang_up()
    again = start(port=port, folder=folder)
    assert again.lines() == []
    serves(again)
    assert again.stop() == 0
    assert again.last_report().total == 3
