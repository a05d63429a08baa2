"""Work that blocks, beside the reactor."""

from __future__ import annotations

import subprocess
import sys
import threading
from functools import partial
from typing import Any

import pytest
import pytest_twisted

from daemon.threads import in_thread_of_its_own

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
