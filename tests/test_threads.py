"""Work that blocks, beside the reactor."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from daemon.health import Health
from daemon.threads import LOOK_S, LOOKS, OneThread, in_thread_of_its_own

ENDS = """
import threading
from twisted.internet import reactor
from daemon.http.client import client_for

asked = threading.Event()

def hangs(name):
    asked.set()
    threading.Event().wait()

def ask():
    client = client_for(
        "http://source", reactor, connections=3, timeout_s=1e6, body_bytes=1, resolve=hangs
    )
    for _ in range(3):
        client.get(b"/").addErrback(lambda failure: print(failure.getErrorMessage()))
    reactor.callInThread(lambda: (asked.wait(), reactor.callFromThread(end, client)))

def end(client):
    client.close().addCallback(lambda _: reactor.stop())

reactor.callWhenRunning(ask)
reactor.run()
print("over")
"""


@pytest.fixture
def reactor() -> Any:
    """The real reactor."""
    from twisted.internet import reactor as installed

    return installed


@pytest_twisted.ensureDeferred
async def test_a_result_comes_back(reactor):
    assert await in_thread_of_its_own(reactor, partial(divmod, 7), 2) == (3, 1)
    assert await in_thread_of_its_own(reactor, int, "ff", base=16) == 255


@pytest_twisted.ensureDeferred
async def test_an_error_comes_back(reactor):
    with pytest.raises(ZeroDivisionError):
        await in_thread_of_its_own(reactor, divmod, 1, 0)


@pytest_twisted.ensureDeferred
async def test_two_pieces_of_work_do_not_wait_for_each_other(reactor):
    met = threading.Barrier(2, timeout=60)
    first = in_thread_of_its_own(reactor, met.wait)
    second = in_thread_of_its_own(reactor, met.wait)
    assert {await first, await second} == {0, 1}


@pytest_twisted.ensureDeferred
async def test_it_runs_in_a_thread_that_no_process_waits_for(reactor):
    thread = await in_thread_of_its_own(reactor, threading.current_thread)
    assert thread is not threading.current_thread()
    assert thread.daemon


def test_a_process_that_ends_waits_for_no_name_server():
    ended = subprocess.run(
        [sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.stdout.splitlines() == ["the client is closed"] * 3 + ["over"]
    assert (ended.stderr, ended.returncode) == ("", 0)


@pytest_twisted.ensureDeferred
async def test_a_system_that_gives_no_thread_is_an_error(reactor, monkeypatch):
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    outcome = in_thread_of_its_own(reactor, int)
    monkeypatch.undo()
    with pytest.raises(RuntimeError, match="can't start"):
        await outcome


class Turns(Clock):
    """A reactor whose time the test makes pass, and which takes what threads give it when told."""

    def __init__(self) -> None:
        super().__init__()
        self._given: queue.Queue[Callable[[], object]] = queue.Queue()

    def callFromThread(self, function: Callable[..., object], *args: object) -> None:
        self._given.put(partial(function, *args))

    def take(self) -> None:
        """Take what a thread gives next."""
        self._given.get(timeout=60)()


class Disk:
    """Does one thing after another in a thread, each when the test lets it."""

    def __init__(self) -> None:
        self.reactor = Turns()
        self.health = Health("tea")
        self.thread = OneThread(self.reactor, "kettle", self.health)
        self.thread.start()
        self._may_end = threading.Semaphore(0)

    def begin(self) -> Deferred[bool]:
        return self.thread(self._may_end.acquire)

    def end(self) -> None:
        self._may_end.release()
        self.reactor.take()

    def let_all_end(self) -> None:
        self._may_end.release(100)

    def pass_looks(self, count: int) -> None:
        self.reactor.pump([LOOK_S] * count)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.let_all_end()
    disk.thread.stop()
    assert disk.reactor.getDelayedCalls() == []


def test_what_does_not_end_is_told_once_it_has_taken_too_long_until_it_ends(disk):
    for _ in range(2):
        outcome = disk.begin()
        disk.pass_looks(LOOKS - 1)
        assert disk.health.why is None
        disk.pass_looks(1)
        assert disk.health.why == "the disk has not answered for 5 s (kettle)"
        disk.pass_looks(100)
        assert disk.health.degraded
        told: list[tuple[bool, bool]] = []
        outcome.addCallback(lambda result: told.append((result, disk.health.degraded)))  # noqa: B023
        disk.end()
        assert told == [(True, False)]


def test_a_queue_is_no_disk_that_hangs_as_long_as_it_moves(disk):
    outcomes = [disk.begin() for _ in range(5)]
    for _ in outcomes:
        disk.pass_looks(LOOKS - 1)
        assert disk.health.why is None
        disk.end()
    assert all(outcome.called for outcome in outcomes)


def test_what_comes_next_may_hang_as_well(disk):
    for _ in range(3):
        disk.begin()
    for _ in range(3):
        disk.pass_looks(LOOKS + 1)
        assert disk.health.degraded
        disk.end()
        assert not disk.health.degraded


def test_time_in_which_the_process_stood_still_is_not_the_disk_s(disk):
    disk.begin()
    disk.reactor.advance(1_000)
    disk.pass_looks(LOOKS - 2)
    assert disk.health.why is None
    disk.end()


def test_who_no_longer_wants_the_result_does_not_make_the_disk_well(disk):
    given_up: list[object] = []
    outcome = disk.begin()
    outcome.addErrback(lambda failure: given_up.append(failure.trap(CancelledError)))
    outcome.cancel()
    assert given_up == [CancelledError]
    disk.pass_looks(LOOKS)
    assert disk.health.degraded
    disk.end()
    assert not disk.health.degraded


def test_nobody_looks_at_a_thread_that_has_nothing_to_do(disk):
    disk.begin()
    disk.end()
    disk.pass_looks(1)
    assert disk.reactor.getDelayedCalls() == []


def test_what_is_raised_is_an_end_too(disk):
    outcome = disk.thread(divmod, 1, 0)
    disk.reactor.take()
    failures: list[Any] = []
    outcome.addErrback(failures.append)
    assert failures[0].check(ZeroDivisionError)
    disk.pass_looks(LOOKS + 1)
    assert disk.health.why is None
