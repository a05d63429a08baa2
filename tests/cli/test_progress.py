"""The line on a terminal that says how far it is."""

from __future__ import annotations

import io
import os

import pytest

from daemon.cli.progress import Progress, rate

WIDTH = 60


class Terminal(io.StringIO):
    """A terminal that remembers all that was written."""

    def isatty(self) -> bool:
        return True


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((WIDTH, 25)))


def last_line(terminal: Terminal) -> str:
    return terminal.getvalue().rpartition("\r")[2]


def test_a_file_has_a_bar_with_speed_and_time_left() -> None:
    terminal, clock = Terminal(), Clock()
    progress = Progress(terminal, 1000, clock)
    clock.now_s += 2
    progress.show(25, 250)
    line = last_line(terminal)
    assert len(line) == WIDTH - 1
    assert line.startswith("[####")
    assert line.endswith("]  25% 12/s, 6 s left")
    assert line.count("#") * 4 == pytest.approx(line.index("]") - 1, abs=4)


def test_a_stream_without_end_has_a_count() -> None:
    terminal, clock = Terminal(), Clock()
    progress = Progress(terminal, None, clock)
    clock.now_s += 1
    progress.show(3_000_000, 30_000_000)
    assert last_line(terminal).rstrip() == "3000000 lines, 3.0 million/s"


def test_it_is_drawn_ten_times_a_second_at_most() -> None:
    terminal, clock = Terminal(), Clock()
    progress = Progress(terminal, 1000, clock)
    for _ in range(100):
        clock.now_s += 0.01
        progress.show(1, 10)
    assert 9 <= terminal.getvalue().count("\r") <= 11


def test_it_leaves_an_empty_line() -> None:
    terminal = Terminal()
    progress = Progress(terminal, 1000, Clock())
    progress.clear()
    assert terminal.getvalue() == ""
    progress.show(0, 0)
    progress.clear()
    assert last_line(terminal) == "\x1b[K"


def test_what_is_no_terminal_is_left_alone() -> None:
    out = io.StringIO()
    progress = Progress(out, 1000, Clock())
    progress.show(1, 10)
    progress.clear()
    assert out.getvalue() == ""


def test_a_file_that_grows_is_never_more_than_whole() -> None:
    terminal, clock = Terminal(), Clock()
    progress = Progress(terminal, 1000, clock)
    clock.now_s += 1
    progress.show(200, 2000)
    assert "] 100% 200/s, 0 s left" in last_line(terminal)


def test_rates_are_short() -> None:
    assert rate(300, 1) == "300/s"
    assert rate(20_000_000, 2) == "10.0 million/s"
    assert rate(0, 0) == "0/s"
