"""A disk that is full, cannot be written, or fails, under load; and that is well again later."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.faults.shaky import LONG, NEED_NO_SYNC, POLL_S, Shaky
from tests.system.http_clients import TEXT
from tests.system.running import eventually, run_tsdaemon

KEPT_IN_MEMORY = ("counter", "hash", "callback")
"""Services that go on as before when the disk takes nothing."""


def test_a_full_disk_costs_no_answer_and_all_is_well_when_there_is_room_again(shaky: Shaky):
    """Timestamps and numbers are refused; what the others answer they keep in memory meanwhile.

    When that happens again, and the daemon is killed, only callbacks may be missing.
    """
    whole, faults, load = shaky, shaky.faults, shaky.load
    whole.live()
    with load.running():
        with faults.failing(write=errno.ENOSPC):
            eventually(lambda: load.failed_writes)
            eventually(
                lambda: {"timestamp", "callback", "numbers"} <= whole.troubles().keys(),
                pause_s=POLL_S,
            )
            load.advance(("timestamp", *KEPT_IN_MEMORY))
            assert refusal(whole) == (507, "1")
            assert whole.ask("admin", "GET", "/readyz").status == 200
        load.advance()
        whole.wait_for_troubles()
    load.require_log()
    load.require_kept()
    whole.require_all_callbacks()
    whole.daemon.kill()
    whole.live()
    load.require_kept()
    with load.running(), faults.failing(write=errno.EROFS, open=errno.EROFS, sync=errno.EROFS):
        whole.wait_for_troubles("timestamp", "counter", "hash", "callback", "numbers")
        load.advance(("timestamp", *KEPT_IN_MEMORY))
        assert refusal(whole) == (503, "1")
        whole.daemon.kill()
    load.require_log()
    assert "Traceback" not in whole.daemon.stderr
    whole.live()
    load.require_kept_but_callbacks()
    assert whole.daemon.stop() == 0


def refusal(whole: Shaky) -> tuple[int, str]:
    """Give the status of a timestamp that is not stored, and when to come again."""
    put = whole.ask("timestamp", "PUT", "/timestamp", b"12", content_type=TEXT)
    return put.status, put.fields["retry-after"]


def test_a_sync_that_fails_once_is_no_success_and_the_next_one_does_not_hide_it(shaky: Shaky):
    """The system may have dropped what it could not store, and says so only once."""
    whole, faults, load = shaky, shaky.faults, shaky.load
    whole.live()
    with load.running():
        faults.concern(whole.log)
        with faults.failing(sync=errno.EIO, times=1):
            eventually(lambda: "numbers" in whole.troubles(), pause_s=POLL_S)
        for path in (whole.state / "timestamp", whole.state / "inbox.sqlite"):
            faults.concern(path)
            before = faults.failed
            with faults.failing(sync=errno.EIO, times=3):
                eventually(lambda: faults.failed == before + 3)  # noqa: B023
        faults.concern(whole.state)
        with faults.failing(sync=errno.EIO):
            eventually(lambda: {"counter", "hash"} <= whole.troubles().keys(), pause_s=POLL_S)
            load.advance(NEED_NO_SYNC)
        load.advance()
        whole.wait_for_troubles("numbers")
        assert "is not whole" in whole.troubles()["numbers"]
    assert load.failed_writes
    load.require_log()
    load.require_kept("numbers")
    whole.require_all_callbacks()
    whole.daemon.kill()
    whole.live()
    load.require_kept()
    assert whole.daemon.stop() == 0


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A file system that cannot be written, with an empty folder for state."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tsdaemon-test", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a file system: {mounted.stderr.strip()}")
    (folder / "state").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("folder", ["state", "missing"] if LONG else ["missing"])
def test_a_state_folder_that_cannot_be_written_stops_the_start_with_one_line(
    tmp_path: Path, read_only: Path, folder: str
):
    flags = ["--set", f"state={read_only / folder}", "--without", "numbers,admin"]
    for name in ("timestamp", "counter", "hash", "callback"):
        flags += ["--set", f"{name}.listen=tcp:0:interface=127.0.0.1"]
    finished = run_tsdaemon(tmp_path, *flags)
    assert finished.status == 1
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr
    (why,) = [line for line in finished.stderr.splitlines() if "#critical]" in line]
    assert "Read-only file system" in why
    assert str(read_only / folder) in why


@pytest.mark.skipif(not LONG, reason="one start is enough")
def test_a_log_of_numbers_that_cannot_be_written_stops_the_start_with_one_line(
    tmp_path: Path, read_only: Path
):
    flags = ["--only", "numbers", "--set", "numbers.listen=tcp:0:interface=127.0.0.1"]
    finished = run_tsdaemon(tmp_path, *flags, "--set", f"numbers.log={read_only / 'numbers.log'}")
    assert finished.status == 1
    (why,) = [line for line in finished.stderr.splitlines() if "#critical]" in line]
    assert "Read-only file system" in why
