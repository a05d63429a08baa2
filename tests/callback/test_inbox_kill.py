"""An inbox whose process is killed, again and again, at any moment."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults

from daemon.callback.inbox import Inbox
from daemon.threads import OneThread
from tests.callback.inbox_child import ids_of
from tests.callback.inboxes import PLENTY, Bench

ROUNDS = 8


def lines_until_killed(path: Path, count: int) -> list[list[str]]:
    """Give what a process said until it was killed, some time after so many lines."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.callback.inbox_child", str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    with child, child.stdout:
        lines = [child.stdout.readline() for _ in range(count)]
        child.kill()
        lines += child.stdout.readlines()
    return [line.split() for line in lines if line.endswith("\n")]


def test_no_callback_that_was_answered_is_missing(tmp_path):
    path = tmp_path / "inbox.sqlite"
    chance = random.Random(5)  # noqa: S311  # moments, not secrets
    unsettled: dict[int, int] = {}
    settling: set[int] = set()
    for _ in range(ROUNDS):
        lines = lines_until_killed(path, chance.randint(1, 1_500))
        assert [line for line in lines if line[0] == "trouble"] == []
        for kind, number, *rest in lines:
            if kind == "accepted":
                assert int(number) not in unsettled
                unsettled[int(number)] = int(rest[0])
            else:
                settling.add(int(number))
        bench = Bench(path)
        assert bench.troubles == []
        found = bench.done(bench.inbox.load(0, PLENTY, PLENTY))
        assert bench.inbox.depth == len(found)
        assert all(tuple(each.ids) == ids_of(each.received_us) for each in found)
        stored = {each.number: each.received_us for each in found}
        expected = {key: value for key, value in unsettled.items() if key not in settling}
        assert expected.items() <= stored.items()
        # What was killed before its answer may be there: it is worked on, and does no harm.
        unsettled, settling = stored, set()
        bench.close()
    assert len(unsettled) > 100


@pytest_twisted.ensureDeferred
async def test_with_a_real_thread_all_is_as_with_one_that_works_at_once(tmp_path):
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    thread = OneThread(reactor, "inbox")
    said: list[str | None] = []
    inbox = Inbox(tmp_path / "inbox.sqlite", reactor, thread, on_trouble=said.append)
    inbox.open()
    thread.start()

    async def client(number: int) -> None:
        for _ in range(50):
            callback = await inbox.accept(number, (number,))
            if callback.number % 2:
                inbox.settle([callback.number])

    try:
        await gatherResults([Deferred.fromCoroutine(client(number)) for number in range(10)])
        assert inbox.depth == 250
        loaded: list[int] = []
        while page := await inbox.load(loaded[-1] if loaded else 0, 7, 1_000):
            loaded += [each.number for each in page]
        assert loaded == list(range(2, 501, 2))
        await inbox.close()
    finally:
        thread.stop()
    bench = Bench(tmp_path / "inbox.sqlite")
    assert bench.numbers() == loaded
    assert said == []
    bench.close()
