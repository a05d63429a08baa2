"""Looks at the whole daemon every two seconds, and remembers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.interfaces import IReactorTime

from daemon.admin import view
from daemon.admin.history import INTERVAL_S, Track, tracks_of
from daemon.admin.lag import ReactorLag
from daemon.admin.process import cpu_seconds, resident_bytes
from daemon.clock import Now
from daemon.metrics import Kind, Plot, SpreadPlot
from daemon.overview import Overview
from daemon.periodic import Periodic


class Observer:
    """Takes the samples of all services, and makes the page of them.

    :param clock: the reactor.
    :param overview: the daemon.
    :param lag: how late the reactor is.
    :param now: tells the time.
    :param itself: the name of the service that looks.
    """

    def __init__(
        self, clock: IReactorTime, overview: Overview, lag: ReactorLag, now: Now, itself: str
    ) -> None:
        self._clock = clock
        self._now = now
        self._itself = itself
        self._overview = overview
        self._started_us = now()
        self._loop = Periodic(clock, self._sample)
        self._tracks: dict[str, list[Track]] = {}
        self._process = [
            Track(Plot("Reactor lag", Kind.LEVEL, "seconds", lambda: lag.worst_s)),
            Track(Plot("CPU", Kind.RATE, "seconds", cpu_seconds)),
            Track(Plot("Memory", Kind.LEVEL, "bytes", resident_bytes)),
        ]
        self._documents: list[str] = []
        self._last_s = 0.0
        self._samples = 0
        self._page: view.Page | None = None
        self._made_of: tuple[object, ...] = ()

    def start(self) -> None:
        """Begin to look."""
        members = self._overview.members
        self._documents = [name for name in members if members[name].read_openapi()]
        self._take()
        self._loop.start(INTERVAL_S)

    async def stop(self) -> None:
        """Look no more."""
        await self._loop.stop()

    def page(self) -> view.Page:
        """Give the page as it is now: states of this moment, numbers of the last sample.

        It is made anew only when one of these has changed, however many there are who look.
        """
        found = (self._samples, self._overview.phase, *map(self._state_of, self._names()))
        if self._page is None or found != self._made_of:
            self._made_of, self._page = found, self._make()
        return self._page

    def _state_of(self, name: str) -> tuple[object, ...]:
        health = self._overview.members[name].health
        return (name, health.state, health.since_us)

    def _make(self) -> view.Page:
        process = view.card(
            "process",
            "What the daemon takes of the machine.",
            self._overview.phase.value,
            self._started_us,
            self._process,
        )
        return view.page(
            self._overview,
            {name: self._of(name) for name in self._names()},
            process,
            itself=self._itself,
            documents=self._documents,
            now_us=self._now(),
        )

    def _names(self) -> list[str]:
        return list(self._overview.members)

    def _of(self, name: str) -> list[Track]:
        """Give the tracks of a service, which may have been added after the others."""
        if name not in self._tracks:
            member = self._overview.members[name]
            state: Callable[[], float] = partial(view.gravity, member.health)
            self._tracks[name] = [
                Track(Plot("State", Kind.LEVEL, "", state)),
                *(
                    track
                    for plot in _spread_last(member.metrics.plots)
                    for track in tracks_of(plot)
                ),
            ]
        return self._tracks[name]

    async def _sample(self) -> None:
        self._take()

    def _take(self) -> None:
        now_s = self._clock.seconds()
        self._samples += 1
        elapsed_s, self._last_s = now_s - self._last_s, now_s
        for name in self._names():
            for track in self._of(name):
                track.sample(elapsed_s)
        for track in self._process:
            track.sample(elapsed_s)


def _spread_last(plots: list[Plot | SpreadPlot]) -> list[Plot | SpreadPlot]:
    """Put what is counted before how long it took."""
    return sorted(plots, key=lambda plot: isinstance(plot, SpreadPlot))
