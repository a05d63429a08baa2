"""Work that is done again and again, whatever happens to it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure


class Periodic:
    """Runs a coroutine at intervals; one that takes longer is waited for.

    A bare LoopingCall ends for good at the first exception.

    :param clock: schedules.
    :param work: gives the coroutine to run.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._loop = LoopingCall(self._once)
        self._loop.clock = clock
        self._ended: Deferred[Any] = succeed(None)

    def start(self, interval_s: float) -> None:
        """Run the work after each interval."""
        self._ended = self._loop.start(interval_s, now=False)

    async def stop(self) -> None:
        """Run it no more, and wait for what is under way."""
        self._loop.stop()
        await self._ended

    def _once(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._work()).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("{work} failed", failure, work=self._work.__qualname__)
