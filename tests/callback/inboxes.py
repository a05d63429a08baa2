"""An inbox under test: real files, a clock that the test moves, work in threads done at once."""

from __future__ import annotations

import shutil
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock

from daemon.callback.inbox import Callback, Inbox

Result = TypeVar("Result")
PLENTY = 1 << 40


def at_once(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
    return maybeDeferred(function, *args)


class Bench:
    """An inbox and what it says.

    :param in_thread: does the work of its thread.
    :ivar says: what is wrong with it, at present.
    """

    def __init__(self, path: Path, in_thread: Callable[..., Deferred[Any]] = at_once) -> None:
        self.clock = Clock()
        self.said: list[str | None] = []
        self.inbox = Inbox(path, self.clock, in_thread, on_trouble=self.said.append)
        self.troubles = self.inbox.open()

    @property
    def says(self) -> str | None:
        return self.said[-1] if self.said else None

    def done(self, result: Deferred[Result]) -> Result:
        """End the turn of the reactor and give a result, or raise why there is none."""
        self.clock.advance(0)
        outcomes: list[Any] = []
        failures: list[Any] = []
        result.addCallbacks(outcomes.append, failures.append)
        if failures:
            failures[0].raiseException()
        assert outcomes, "there is no result yet"
        return outcomes[0]  # type: ignore[no-any-return]

    def accept(self, *ids: int, at: int = 1_000) -> Callback:
        return self.done(self.inbox.accept(at, array("q", ids)))

    def reject(self, reason: str, body: bytes = b"?", at: int = 1_000) -> None:
        self.done(self.inbox.reject(at, reason, body))

    def settle(self, numbers: Iterable[int]) -> None:
        """Settle callbacks, and let them leave the disk."""
        self.inbox.settle(numbers)
        self.pass_time(0.1)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for _ in range(20):
            self.clock.advance(0)

    def numbers(self, after: int = 0, limit: int = PLENTY, mentions: int = PLENTY) -> list[int]:
        loaded = self.done(self.inbox.load(after, limit, mentions))
        return [callback.number for callback in loaded]

    def rejected(self, before: int | None = None, limit: int = PLENTY) -> list[str]:
        page = self.done(self.inbox.page_of_rejected(before, limit, PLENTY))
        return [each.reason for each in page.rows]

    def close(self) -> None:
        self.done(self.inbox.close())


def after_a_kill(path: Path, place: Path) -> Bench:
    """Open what a process that is killed now leaves behind."""
    place.mkdir(parents=True)
    for each in path.parent.glob(f"{path.name}*"):
        shutil.copy(each, place)
    return Bench(place / path.name)


def shown(callbacks: list[Callback]) -> list[tuple[int, int, list[int]]]:
    return [(each.number, each.received_us, list(each.ids)) for each in callbacks]
