"""A disk that is full, and has room again later."""

from __future__ import annotations

import re
import resource
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.small_disk import small_disk_in
from tests.system.clients import fresh_numbers
from tests.system.conftest import Starter
from tests.system.running import RunningDaemon, eventually

ROOM = 100_000
"""Bytes that the log may take, about."""

LINE_OF_THE_LOG = re.compile(r"0|[1-9][0-9]{0,8}")


class ScarceDisk(ABC):
    """Lets the log grow to a size, and further later."""

    @abstractmethod
    def start(self, start: Starter, *flags: str) -> RunningDaemon:
        """Start a daemon whose log lies there."""

    @abstractmethod
    def shrink(self, daemon: RunningDaemon) -> None:
        """Leave :data:`ROOM`, about."""

    @abstractmethod
    def grow(self, daemon: RunningDaemon) -> None:
        """Make room."""


class SmallFileSystem(ScarceDisk):
    """A file system of 1 MB, most of which is taken."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"

    def start(self, start: Starter, *flags: str) -> RunningDaemon:
        daemon = start("--set", f"numbers.log={self._folder}/numbers.log", *flags)
        daemon.log = self._folder / "numbers.log"
        return daemon

    def shrink(self, daemon: RunningDaemon) -> None:  # noqa: ARG002
        self._ballast.write_bytes(bytes((1 << 20) - ROOM))

    def grow(self, daemon: RunningDaemon) -> None:  # noqa: ARG002
        self._ballast.unlink()


class FileSizeLimit(ScarceDisk):
    """A limit of the process's (EFBIG in place of ENOSPC)."""

    def start(self, start: Starter, *flags: str) -> RunningDaemon:
        return start(*flags)

    def shrink(self, daemon: RunningDaemon) -> None:
        _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (ROOM + 3, hard))

    def grow(self, daemon: RunningDaemon) -> None:
        _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (hard, hard))


@pytest.fixture(params=["small file system", "file size limit"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ScarceDisk]:
    """A disk to fill."""
    if request.param == "file size limit":
        yield FileSizeLimit()
        return
    with small_disk_in(tmp_path, "1m") as folder:
        yield SmallFileSystem(folder)


def log_is_whole(daemon: RunningDaemon) -> bool:
    """Whether the log has distinct whole lines only."""
    text = daemon.log.read_text()
    lines = text.split("\n")
    return (
        lines.pop() == ""
        and all(LINE_OF_THE_LOG.fullmatch(line) for line in lines)
        and len(set(lines)) == len(lines)
    )


def fill(daemon: RunningDaemon) -> list[int]:
    """Send more numbers than the disk has room for; the sender is disconnected."""
    sender = daemon.connect()
    numbers = fresh_numbers(60_000)
    for at in range(0, len(numbers), 1_000):
        sender.send_while_possible(b"".join(b"%09d\n" % n for n in numbers[at : at + 1_000]))
    assert sender.until_end() == b""
    eventually(lambda: log_is_whole(daemon))
    return numbers


def test_a_full_disk_ends_the_sender_and_no_number_is_counted_that_is_not_in_the_log(
    disk: ScarceDisk, start: Starter
):
    daemon = disk.start(start, "--set", "numbers.report_interval=0.1")
    early = fresh_numbers(5_000)
    daemon.connect().send_numbers(early)
    daemon.wait_for(early)
    disk.shrink(daemon)
    numbers = fill(daemon)
    assert "numbers is degraded" in daemon.stderr
    assert "Traceback" not in daemon.stderr
    assert set(map(str, early)) <= set(daemon.lines()) < set(map(str, early + numbers))
    eventually(lambda: daemon.reports()[-1:] and daemon.reports()[-1].total == len(daemon.lines()))
    assert daemon.stop() == 0
    assert log_is_whole(daemon)
    assert daemon.last_report().total == len(daemon.lines())


def test_when_there_is_room_again_numbers_get_in_and_the_log_says_so(
    disk: ScarceDisk, start: Starter
):
    daemon = disk.start(start)
    idle = daemon.connect()
    early, late, latest = fresh_numbers(1), fresh_numbers(1), fresh_numbers(1)
    idle.send_numbers(early)
    daemon.wait_for(early)
    disk.shrink(daemon)
    numbers = fill(daemon)
    disk.grow(daemon)
    idle.send_numbers(late)
    daemon.wait_for(late)
    daemon.connect().send_numbers(latest)
    daemon.wait_for(latest)
    eventually(lambda: "numbers is over this" in daemon.stderr)
    daemon.connect().send_numbers(numbers)
    daemon.wait_for(numbers)
    assert log_is_whole(daemon)
    assert daemon.stop() == 0
    assert daemon.last_report().total == len(daemon.lines()) == len(numbers) + 3


def test_a_full_disk_does_not_keep_terminate_from_ending_the_daemon(
    disk: ScarceDisk, start: Starter
):
    daemon = disk.start(start)
    disk.shrink(daemon)
    fill(daemon)
    daemon.connect().send(b"terminate\n")
    assert daemon.wait() == 0
    assert log_is_whole(daemon)
    assert daemon.last_report().total == len(daemon.lines())
