"""Daemons in miniature: an overview of services that only have health and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from twisted.internet.task import Clock

from daemon.admin.lag import ReactorLag
from daemon.admin.observer import Observer
from daemon.admin.status import status
from daemon.admin.web import AdminAPI
from daemon.health import Health, Phase
from daemon.http.turns import Slices
from daemon.metrics import Histogram, Metrics
from daemon.overview import Member, Overview

START_US = 1_700_000_000_000_000


@dataclass
class House:
    """An overview, and what the admin makes of it.

    :ivar clock: in the test's hand.
    """

    clock: Clock = field(default_factory=Clock)
    overview: Overview = field(default_factory=Overview)

    def now(self) -> int:
        return START_US + round(self.clock.seconds() * 1_000_000)

    def add(self, name: str, *, document: bytes | None = None) -> Member:
        """Add a service."""
        self.overview.members[name] = member = Member(
            Health(name, self.now),
            Metrics(name, self.overview.registry),
            f"Makes <{name}>.",
            lambda: document,
        )
        return member

    def run(self) -> None:
        """Let the daemon and its services come to run."""
        self.overview.phase = Phase.RUNNING
        for member in self.overview.members.values():
            member.health.enter(Phase.RUNNING)

    def observer(self) -> Observer:
        """Look at it, from now on."""
        lag = ReactorLag(self.clock, Histogram((1.0,)))
        observer = Observer(self.clock, self.overview, lag, self.now, "admin")
        observer.start()
        return observer

    def api(self) -> AdminAPI:
        """Tell of it."""
        return AdminAPI(
            self.overview,
            self.observer().page,
            lambda: status(
                self.overview,
                version="1.2.3",
                started_us=START_US,
                now_us=self.now(),
                process={
                    "resident_bytes": 1e8,
                    "cpu_seconds": 0.5,
                    "reactor_lag_seconds": 0.0,
                },
            ),
            "1.2.3",
            Slices(self.clock),
        )
