"""The window against a list of all times."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.counter.window import Window
from daemon.storage.mapped import Column

LENGTH = 100
START = 1_700_000_000_000_000


def window_in(folder: Path, now_us: int, capacity: int = 4) -> tuple[Column, Window]:
    column = Column(folder, capacity)
    column.open(now_us)
    return column, Window(column, LENGTH)


def test_the_window_has_its_end_and_not_its_start(tmp_path):
    _, window = window_in(tmp_path / "counter", START)
    assert window.add(START) == 1
    assert window.add(START + LENGTH - 1) == 2
    assert window.count(START + LENGTH - 1) == 2
    assert window.count(START + LENGTH) == 1
    assert window.count(START + 2 * LENGTH - 2) == 1
    assert window.count(START + 2 * LENGTH - 1) == 0


def test_requests_of_the_same_microsecond_are_all_counted(tmp_path):
    _, window = window_in(tmp_path / "counter", START)
    assert [window.add(START) for _ in range(20)] == list(range(1, 21))
    assert window.add(START + LENGTH) == 1


def test_asking_counts_nothing(tmp_path):
    _, window = window_in(tmp_path / "counter", START)
    window.add(START)
    assert [window.count(START) for _ in range(3)] == [1, 1, 1]
    assert window.add(START) == 2


def test_a_time_before_the_last_counts_as_the_last(tmp_path):
    column, window = window_in(tmp_path / "counter", START)
    window.add(START)
    assert window.add(START - LENGTH) == 2
    assert window.count(START - 5 * LENGTH) == 2
    assert column.newest == START
    assert window.count(START + LENGTH) == 0


def test_times_before_the_epoch_do_no_harm(tmp_path):
    _, window = window_in(tmp_path / "counter", -5)
    assert window.add(-5) == 1
    assert window.add(0) == 2
    _, window = window_in(tmp_path / "counter", 1)
    assert window.count(1) == 2


steps = st.lists(
    st.tuples(st.just("add"), st.integers(-5, 40))
    | st.tuples(st.just("add"), st.just(0))
    | st.tuples(st.just("count"), st.integers(0, 2 * LENGTH))
    | st.tuples(st.sampled_from(["work", "close", "crash"]), st.just(0)),
    max_size=120,
)


@given(steps, st.integers(1, 9))
@example([("add", 0)] * 20 + [("crash", 0), ("count", LENGTH - 1), ("crash", 0), ("add", 1)], 4)
@settings(deadline=None)
def test_it_counts_as_a_list_would_through_restarts_and_crashes(steps, capacity):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "counter"
        now = START
        column, window = window_in(folder, now, capacity)
        times: list[int] = []
        for what, by in steps:
            now = max(now, now + by)
            match what:
                case "add":
                    times.append(now)
                    got = window.add(min(now, now + by))
                    assert got == sum(now - LENGTH < time <= now for time in times)
                case "work":
                    assert column.take(column.work().run()) is None
                case "close" | "crash":
                    if what == "close":
                        assert column.close() is None
                    column, window = window_in(folder, now, capacity)
            assert window.count(now) == sum(now - LENGTH < time <= now for time in times)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40), st.integers(0, 3000))
@settings(deadline=None)
def test_a_clock_set_back_before_a_restart_loses_only_what_is_in_the_future(gaps, back):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "counter"
        _, window = window_in(folder, START)
        times = [START + sum(gaps[: n + 1]) for n in range(len(gaps))]
        for time in times:
            window.add(time)
        now = times[-1] - back
        for _ in range(3):
            _, window = window_in(folder, now)
            # What was passed may be there still, and is no news then.
            kept = sum(now - LENGTH < time <= now for time in times)
            assert window.count(now) == kept
        # The third start has nothing of the future left: time going on brings nothing back.
        _, window = window_in(folder, times[-1])
        assert window.count(times[-1]) == sum(times[-1] - LENGTH < time <= now for time in times)


KILLED = """
import os, signal, sys
from pathlib import Path
from daemon.counter.window import Window
from daemon.storage.mapped import Column
folder, start, how = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
column = Column(folder, 16)
column.open(start)
window = Window(column, 100)
for now in range(start, start + 250):
    print(now, window.add(now), flush=True)
os._exit(3) if how == "exit" else os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("how", "status"), [("exit", 3), ("kill", -signal.SIGKILL)])
def test_after_a_sudden_end_no_request_that_was_answered_is_missing(tmp_path, how, status):
    folder = tmp_path / "counter"
    start = START
    for _ in range(3):
        command = [sys.executable, "-c", KILLED, folder, str(start), how]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == status, ended.stderr
        now, answer = map(int, ended.stdout.splitlines()[-1].split())
        assert answer == LENGTH
        _, window = window_in(folder, now, 16)
        assert window.count(now) == LENGTH
        start = now + 1


def test_a_process_killed_at_any_moment_has_counted_what_it_answered(tmp_path):
    """The parent kills it while it counts: the last whole answer read is the least to be found."""
    folder = tmp_path / "counter"
    forever = KILLED.replace("start + 250", "start + 10**9").replace("100)", "10**9)")
    command = [sys.executable, "-c", forever, folder, str(START), "kill"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as counting:
        assert counting.stdout is not None
        answers = [counting.stdout.readline() for _ in range(1000)]
        counting.kill()
        answers += counting.stdout.readlines()
    answered = max(int(answer.split()[1]) for answer in answers if answer.endswith(b"\n"))
    column = Column(folder, 16)
    found = column.open(START + 10**9)
    assert found.troubles == []
    # One more may have been counted whose answer was on its way.
    assert answered <= found.count <= answered + 1


def test_a_full_disk_changes_no_answer(tmp_path):
    column, window = window_in(tmp_path / "counter", START)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        answers = [window.add(START + n) for n in range(3 * LENGTH)]
        assert column.take(column.work().run()) is not None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert answers == [min(n + 1, LENGTH) for n in range(3 * LENGTH)]
    while column.take(column.work().run()):
        pass
    _, window = window_in(tmp_path / "counter", START + 3 * LENGTH - 1)
    assert window.count(START + 3 * LENGTH - 1) == LENGTH


def test_memory_and_files_are_given_back_when_requests_cease(tmp_path):
    folder = tmp_path / "counter"
    column, window = window_in(folder, START)
    for n in range(LENGTH):
        window.add(START + n)
    column.take(column.work().run())
    many = len(list(folder.iterdir()))
    assert window.count(START + 2 * LENGTH) == 0
    column.take(column.work().run())
    assert len(list(folder.iterdir())) == 2 < many
