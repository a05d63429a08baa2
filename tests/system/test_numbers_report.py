"""The reports on stdout."""

from __future__ import annotations

import fcntl
import os
import select
from collections.abc import Iterator

import pytest

from tests.system.clients import fresh_numbers
from tests.system.conftest import Starter
from tests.system.running import TIMEOUT_S, Report, RunningDaemon, eventually

OFTEN = ("--set", "numbers.report_interval=0.2")
VERY_OFTEN = ("--set", "numbers.report_interval=0.1")

PAGE = 4096
"""Bytes; the smallest pipe there is."""


def test_reports_tell_what_came_since_the_last_one_and_nothing_else_is_on_stdout(start: Starter):
    daemon = start(*OFTEN)
    client = daemon.connect()
    numbers = fresh_numbers(300)
    for at in range(0, 300, 100):
        seen = len(daemon.reports())
        client.send_numbers(numbers[: at + 100])
        eventually(lambda: len(daemon.reports()) > seen + 1)  # noqa: B023  # called here only
    assert daemon.stop() == 0

    reports = [*daemon.reports(), daemon.last_report()]
    assert sum(report.unique for report in reports) == 300 == len(daemon.lines())
    assert sum(report.duplicates for report in reports) == 100 + 200
    total = 0
    for report in reports:
        total += report.unique
        assert report.total == total


def test_a_report_is_the_line_of_the_challenge(start: Starter):
    daemon = start(*OFTEN)
    eventually(lambda: "\n" in daemon.stdout)
    first = daemon.stdout.split("\n")[0]
    assert first == "Received 0 unique numbers, 0 duplicates. Unique total: 0"


def test_reports_come_when_idle_too_one_line_at_a_time(start: Starter):
    daemon = start(*OFTEN)
    eventually(lambda: len(daemon.reports()) >= 4)
    assert set(daemon.reports()) == {Report(0, 0, 0)}


def test_the_rest_since_the_last_report_is_logged_at_the_end_and_not_printed(start: Starter):
    daemon = start()
    numbers = fresh_numbers(10)
    client = daemon.connect()
    client.send_numbers(numbers + numbers[:4]).send(b"terminate\n")
    assert daemon.wait() == 0
    assert daemon.stdout == ""
    assert daemon.last_report() == Report(10, 4, 10)


class Pipe:
    """A pipe of one page."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PAGE)
        self.reading = open(reading, "rb", buffering=0)  # noqa: SIM115, PTH123  # closed below
        self.writing = open(writing, "wb", buffering=0)  # noqa: SIM115, PTH123

    def fill(self) -> None:
        """Leave no room."""
        self.writing.write(b"." * PAGE)

    def drain(self) -> None:
        """Take out what :meth:`fill` put in."""
        assert self.reading.read(PAGE) == b"." * PAGE

    def wait_for_output(self) -> None:
        """Wait until there is something to read."""
        assert select.select([self.reading], [], [], TIMEOUT_S)[0]

    def close(self) -> None:
        """Close both ends."""
        self.reading.close()
        self.writing.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe for the daemon to report to."""
    pipe = Pipe()
    yield pipe
    pipe.close()


def goes_on(daemon: RunningDaemon) -> None:
    """See that a daemon takes numbers while a few reports are due, and ends well."""
    client = daemon.connect()
    for number in fresh_numbers(30):
        client.send_numbers([number])
        daemon.wait_for([number])
    client.send(b"terminate\n")
    assert daemon.wait() == 0
    assert len(daemon.lines()) == 30


def test_the_daemon_goes_on_when_nobody_reads_stdout_any_more(start: Starter, pipe: Pipe):
    daemon = start(*VERY_OFTEN, stdout=pipe.writing.fileno())
    pipe.wait_for_output()
    pipe.close()
    eventually(lambda: "Broken pipe" in daemon.stderr)
    goes_on(daemon)


def test_the_daemon_goes_on_when_the_reader_of_stdout_does_not_read(start: Starter, pipe: Pipe):
    pipe.fill()
    daemon = start(*VERY_OFTEN, stdout=pipe.writing.fileno())
    eventually(lambda: "nobody took the report" in daemon.stderr)
    goes_on(daemon)


def test_reports_are_whole_lines_again_when_stdout_is_read_again(start: Starter, pipe: Pipe):
    pipe.fill()
    daemon = start(*VERY_OFTEN, stdout=pipe.writing.fileno())
    eventually(lambda: "nobody took the report" in daemon.stderr)
    pipe.drain()
    pipe.wait_for_output()
    assert daemon.stop() == 0
    pipe.writing.close()
    printed = pipe.reading.read().decode()
    assert printed.endswith("\n")
    assert {Report.parse(line) for line in printed.splitlines()} == {Report(0, 0, 0)}


def test_no_number_is_missing_from_the_reports_because_one_could_not_be_printed(
    start: Starter, pipe: Pipe
):
    pipe.fill()
    daemon = start(*VERY_OFTEN, stdout=pipe.writing.fileno())
    numbers = fresh_numbers(3)
    daemon.connect().send_numbers(numbers)
    daemon.wait_for(numbers)
    refused = daemon.stderr.count("nobody took the report")
    eventually(lambda: daemon.stderr.count("nobody took the report") > refused + 2)
    pipe.drain()
    assert daemon.stop() == 0
    pipe.writing.close()
    printed = [Report.parse(line) for line in pipe.reading.read().decode().splitlines()]
    assert sum(report.unique for report in [*printed, daemon.last_report()]) == 3
