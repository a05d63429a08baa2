"""Stores of objects for tests, and what they may not leave behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest_twisted
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.logger import capturedLogs

from daemon.callback.objects.store import (
    DatabaseUnavailableError,
    ObjectStore,
    parse_database,
    store_for,
)

Result = TypeVar("Result")
Example = TypeVar("Example")

NOON_US = 1_700_000_000_000_000
ALWAYS_US = 0
NEVER_US = 4_000_000_000_000_000


def finish(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Let the reactor run until a coroutine has ended."""
    result: Result = pytest_twisted.blockon(Deferred.fromCoroutine(coroutine))
    return result


async def for_all(
    examples: SearchStrategy[Example], play: Callable[[Example], Coroutine[Any, Any, None]]
) -> None:
    """Have hypothesis play examples on the running reactor; it waits for each, so in a thread."""

    running: Any = reactor
    run: Any = Deferred.fromCoroutine

    @settings(max_examples=40, deadline=None)
    @given(examples)
    def play_one(example: Example) -> None:
        blockingCallFromThread(running, run, play(example))

    await deferToThread(play_one)


def make_store(setting: str, folder: Path) -> ObjectStore:
    """Give the store that a setting names."""
    return store_for(parse_database(setting), reactor=reactor, folder=lambda: folder)


async def pause(delay_s: float = 0.01) -> None:
    """Let the reactor do something else."""
    await deferLater(reactor, delay_s, int)


async def until_available(
    attempt: Any, *arguments: Any, limit: int = 1000
) -> tuple[Any, list[str]]:
    """Try until the database is there; give the result, and the refusals before."""
    refusals: list[str] = []
    while True:
        try:
            return await attempt(*arguments), refusals
        except DatabaseUnavailableError as error:
            refusals.append(str(error))
            assert len(refusals) < limit, refusals[-1]
            await pause()


@contextmanager
def nothing_unhandled() -> Iterator[None]:
    """See to it that no error is logged, those that nobody waited for included."""
    with capturedLogs() as events:
        yield
        gc.collect()
    assert [event for event in events if event.get("log_failure") or event.get("isError")] == []
