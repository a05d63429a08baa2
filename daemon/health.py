"""How well a service is. Holds no service's knowledge."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum

from twisted.logger import Logger


class Phase(StrEnum):
    """Where a service is between its start and its end."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    STOPPED = "stopped"


class State(StrEnum):
    """How a service is, in one word."""

    READY = "ready"
    DEGRADED = "degraded"
    FAILING = "failing"
    STARTING = "starting"
    DRAINING = "draining"
    STOPPED = "stopped"


def _wall_us() -> int:
    return time.time_ns() // 1000


class Health:
    """The state of one service: where it is in its life, and what is wrong with it.

    Degraded means: the service runs, and someone should look at it. Failing means: it runs, but
    cannot do its job. Every change is logged once.

    :param service: the service's name, for the log.
    :param now: tells the time, in microseconds since the epoch.
    :ivar phase: set by whoever starts and stops the service, through :meth:`enter`.
    :ivar since_us: since when :attr:`state` and :attr:`why` have been what they are.
    """

    log = Logger()

    def __init__(self, service: str, now: Callable[[], int] = _wall_us) -> None:
        self.service = service
        self.phase = Phase.STARTING
        self._now = now
        self.since_us = now()
        self._troubles: dict[str, str] = {}
        self._failing: set[str] = set()

    @property
    def why(self) -> str | None:
        """What is wrong, in one line; None when all is well."""
        return "; ".join(self._troubles.values()) or None

    @property
    def ok(self) -> bool:
        """Whether the service runs and can do its job."""
        return self.phase is Phase.RUNNING and not self._failing

    @property
    def degraded(self) -> bool:
        """Whether something is wrong with it, whatever the phase."""
        return bool(self._troubles)

    @property
    def state(self) -> State:
        """How it is: its phase, unless it runs; then what is wrong with it."""
        if self.phase is not Phase.RUNNING:
            return State(self.phase.value)
        if self._failing:
            return State.FAILING
        return State.DEGRADED if self._troubles else State.READY

    def enter(self, phase: Phase) -> None:
        """Note that the service has come to another phase of its life."""
        if phase is not self.phase:
            self.phase = phase
            self.since_us = self._now()

    def degrade(self, part: str, why: str) -> None:
        """Say that a part of the service is in trouble. The same again changes nothing.

        :param part: names the part, for :meth:`recover`.
        :param why: what is wrong with it, in one line.
        """
        if self._troubles.get(part) != why or part in self._failing:
            self._failing.discard(part)
            self._note(part, why)
            self.log.error("{service} is degraded: {why}", service=self.service, why=why)

    def fail(self, part: str, why: str) -> None:
        """Say that the service cannot do its job, because of a part of it; see :meth:`degrade`.

        The daemon is not ready then. Only for what whoever asks elsewhere is better served by.
        """
        if self._troubles.get(part) != why or part not in self._failing:
            self._failing.add(part)
            self._note(part, why)
            self.log.error("{service} cannot do its job: {why}", service=self.service, why=why)

    def recover(self, part: str) -> None:
        """Say that a part is well again."""
        why = self._troubles.pop(part, None)
        if why is not None:
            self._failing.discard(part)
            self.since_us = self._now()
            self.log.info("{service} is over this: {why}", service=self.service, why=why)

    def _note(self, part: str, why: str) -> None:
        self._troubles[part] = why
        self.since_us = self._now()
