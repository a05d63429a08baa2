"""The counter: its settings, and its parts put together."""

from __future__ import annotations

from typing import Annotated, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from daemon.counter.web import CounterAPI
from daemon.counter.window import Window
from daemon.http.limits import plain_text
from daemon.periodic import Periodic
from daemon.plugin import Host, IDraining, StartError
from daemon.settings_types import seconds
from daemon.storage.mapped import STORING, Column
from daemon.storage.salvage import Trouble
from daemon.storage.segments import NewerFormatError
from daemon.threads import OneThread
from daemon.webservice import HTTPSettings, Listen, WebPort

FOLDER_NAME: Final = "counter"
_US: Final = 1_000_000


class Settings(HTTPSettings, frozen=True, kw_only=True):
    """The settings table ``[counter]``."""

    listen: Listen = "tcp:8082:interface=127.0.0.1"
    window: Annotated[float, seconds("The length of the window.", ge=0.001, le=86_400)] = 60.0
    sync: Annotated[
        float, seconds("How often the disk is made to hold what was counted.", ge=0.01, le=3600)
    ] = 1.0


def build(settings: Settings, host: Host) -> CounterServer:
    """Put the counter together; the daemon calls this."""
    return CounterServer(settings, host)


@implementer(IDraining)
class CounterServer(Service):
    """Counts requests.

    :param settings: its settings table.
    :param host: what the daemon gives to a service.
    """

    log = Logger()

    def __init__(self, settings: Settings, host: Host) -> None:
        self._host = host
        self._now = host.now
        self._window_us = round(settings.window * _US)
        self._sync_interval_s = settings.sync
        self._thread = OneThread(host.reactor, "counter-sync", host.health)
        self._syncs = Periodic(host.reactor, self._sync)
        self._api = CounterAPI(self._add)
        self._port = WebPort(self._api.app, settings, host, plain_text, changes_something=False)
        self._column = Column(host.state.path / FOLDER_NAME)
        self._is_open = False
        self._first = 0
        host.metrics.counter(
            "requests", "Requests counted since the start.", self._requests, plot="Requests"
        )
        host.metrics.gauge(
            "window_requests",
            "Requests in the window: the number that the next one is answered with, less one.",
            self.window_requests,
            plot="In the window",
        )

    def privilegedStartService(self) -> None:
        """Bind the port."""
        super().privilegedStartService()
        self._port.privilegedStartService()

    def startService(self) -> None:
        """Read what was counted before, then count on.

        :raises StartError: a file is from a newer version.
        """
        super().startService()
        self._open()
        self._thread.start()
        self._port.startService()
        self._syncs.start(self._sync_interval_s)

    def stopService(self) -> Deferred[None]:
        """Answer what was asked, and have the disk hold what was counted."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def window_requests(self) -> int:
        """Give the number of requests in the window, without counting anything."""
        return self._window.count(self._now()) if self._is_open else self._column.count

    def unfinished(self) -> str:
        """Say what is not on disk, or not answered yet."""
        return f"the last sync, and {self._port.unfinished()}"

    def _requests(self) -> int:
        return self._column.end - self._first if self._is_open else 0

    def _add(self) -> int:
        return self._window.add(self._now())

    def _open(self) -> None:
        self._host.state.open()
        try:
            opened = self._column.open(self._now())
        except NewerFormatError as error:
            raise StartError(str(error)) from error
        if opened.future:
            self.log.warn(
                "dropped {count} requests of the future: the clock was set back",
                count=opened.future,
            )
        for trouble in opened.troubles:
            self._host.health.degrade(trouble.part, trouble.why)
        self._window = Window(self._column, self._window_us)
        self._first = self._column.end
        self._is_open = True

    async def _sync(self) -> None:
        """Let the thread do what blocks."""
        done = await self._thread(self._column.work().run)
        self._tell(self._column.take(done))

    def _tell(self, trouble: Trouble | None) -> None:
        if trouble is None:
            self._host.health.recover(STORING)
        else:
            self._host.health.degrade(trouble.part, trouble.why)

    async def _stop(self) -> None:
        await self._port.stopService()
        await self._syncs.stop()
        self._is_open = False
        self._tell(await self._thread(self._column.close))
        self._thread.stop()
