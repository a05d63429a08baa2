"""What the timestamp service keeps over stops and crashes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.system.conftest import Starter
from tests.system.http_clients import Place, serve, tcp
from tests.system.running import eventually
from tests.system.timestamp_history import Recorder
from tests.timestamp.linearizability import violation


@pytest.fixture
def folder(start: Starter) -> Path:
    """The working folder of daemons that come one after another."""
    return start.folder()


@pytest.fixture
def place(start: Starter) -> Place:
    """Where they listen."""
    return tcp(start.port())


def test_a_timestamp_and_its_tag_outlive_stops_and_crashes(
    start: Starter, folder: Path, place: Place
):
    daemon = serve(start, "timestamp", place=place, folder=folder)
    etag = daemon.put("0").etag
    assert daemon.stop() == 0
    daemon = serve(start, "timestamp", place=place, folder=folder)
    assert daemon.get(if_none_match=etag).status == 304
    kept = daemon.get()
    assert (kept.status, kept.body, kept.etag) == (200, b"0", etag)
    etag = daemon.put("1.50", if_match=etag).etag
    daemon.kill()
    daemon = serve(start, "timestamp", place=place, folder=folder)
    kept = daemon.get()
    assert (kept.status, kept.body, kept.etag) == (200, b"1.50", etag)
    assert "degraded" not in daemon.stderr
    state = folder / "tsdaemon-state"
    assert state.stat().st_mode & 0o777 == 0o700
    assert (state / "timestamp").stat().st_mode & 0o777 == 0o600


def test_a_file_put_back_from_a_copy_leads_to_no_tag_that_was_used_since(
    start: Starter, folder: Path, place: Place
):
    path = folder / "tsdaemon-state" / "timestamp"
    daemon = serve(start, "timestamp", place=place, folder=folder)
    tags = [daemon.put("1").etag]
    copy = path.read_bytes()
    tags += [daemon.put("2").etag for _ in range(3)]
    daemon.kill()
    path.write_bytes(copy)
    daemon = serve(start, "timestamp", place=place, folder=folder)
    assert daemon.get().etag == tags[0]
    tags += [daemon.put("3").etag for _ in range(3)]
    assert len(set(tags)) == len(tags)


def test_in_memory_nothing_is_kept_no_file_made_and_no_tag_used_twice(
    start: Starter, folder: Path, place: Place
):
    tags = []
    for _ in range(2):
        daemon = serve(start, "timestamp", place=place, folder=folder, durability="memory")
        assert daemon.get().status == 404
        tags += [daemon.put("1").etag for _ in range(3)]
        assert daemon.get().etag == tags[-1]
        assert daemon.stop() == 0
    assert len(set(tags)) == len(tags)
    assert list(folder.iterdir()) == []


def test_what_concurrent_clients_see_is_linearizable_over_crashes(
    start: Starter, folder: Path, place: Place
):
    recorders = [Recorder(place, seed) for seed in range(6)]
    stopped = threading.Event()
    with ThreadPoolExecutor(len(recorders)) as pool, ExitStack() as stack:
        stack.callback(stopped.set)
        histories = [pool.submit(recorder.run, stopped) for recorder in recorders]

        def recorded(wanted: int) -> bool:
            done = sum(len(recorder.history) for recorder in recorders)
            return done >= wanted or any(history.done() for history in histories)

        for wanted in (400, 800):
            daemon = serve(start, "timestamp", place=place, folder=folder)
            eventually(partial(recorded, wanted))
            daemon.kill()
        serve(start, "timestamp", place=place, folder=folder)
        eventually(partial(recorded, 1_000))
        stopped.set()
        history = [operation for each in histories for operation in each.result()]
    assert violation(history) is None
