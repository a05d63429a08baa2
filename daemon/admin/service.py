"""The admin service: its settings, and its parts put together."""

from __future__ import annotations

import platform
from typing import Any

from prometheus_client import ProcessCollector
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted import __version__ as twisted_version
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from zope.interface import implementer

from daemon import __version__
from daemon.admin.lag import ReactorLag
from daemon.admin.observer import Observer
from daemon.admin.process import cpu_seconds, resident_bytes
from daemon.admin.status import status
from daemon.admin.web import AdminAPI
from daemon.http.problem import problem_json
from daemon.http.turns import Slices
from daemon.metrics import Metrics
from daemon.plugin import Host, IDraining, IStaysLast
from daemon.webservice import HTTPSettings, Listen, WebPort

LAG_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Settings(HTTPSettings, frozen=True, kw_only=True):
    """The settings table ``[admin]``."""

    listen: Listen = "tcp:9180:interface=127.0.0.1"


def build(settings: Settings, host: Host) -> AdminServer:
    """Put the admin service together; the daemon calls this."""
    return AdminServer(settings, host)


@implementer(IDraining, IStaysLast)
class AdminServer(Service):
    """Tells how the daemon is, from its start until all other services are gone.

    :param settings: its settings table.
    :param host: what the daemon gives to a service.
    """

    def __init__(self, settings: Settings, host: Host) -> None:
        self._now = host.now
        self._overview = host.overview
        self._started_us = host.now()
        registry = host.overview.registry
        lags = Metrics("reactor", registry).histogram(
            "lag_seconds", "How late the reactor makes a call.", LAG_BOUNDS_S
        )
        self._lag = ReactorLag(host.reactor, lags)
        ProcessCollector(registry=registry)
        registry.register(_Build())
        self._observer = Observer(
            host.reactor, host.overview, self._lag, host.now, host.health.service
        )
        self._api = AdminAPI(
            host.overview, self._observer.page, self._status, __version__, Slices(host.reactor)
        )
        self._port = WebPort(self._api.app, settings, host, problem_json, changes_something=False)

    def privilegedStartService(self) -> None:
        """Bind the port."""
        super().privilegedStartService()
        self._port.privilegedStartService()

    def startService(self) -> None:
        """Begin to look, and to tell."""
        super().startService()
        self._lag.start()
        self._observer.start()
        self._port.startService()

    def others_stop(self) -> None:
        """Have every reply end its connection from now on: soon nobody is here to ask."""
        self._port.factory.wind_down()

    def stopService(self) -> Deferred[None]:
        """Answer what was asked, and close."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def unfinished(self) -> str:
        """Say what is not answered yet."""
        return self._port.unfinished()

    def _status(self) -> dict[str, Any]:
        process = {
            "resident_bytes": resident_bytes(),
            "cpu_seconds": cpu_seconds(),
            "reactor_lag_seconds": self._lag.worst_s,
        }
        return status(
            self._overview,
            version=__version__,
            started_us=self._started_us,
            now_us=self._now(),
            process=process,
        )

    async def _stop(self) -> None:
        await self._port.stopService()
        await self._observer.stop()
        self._lag.stop()


class _Build(Collector):
    """Says what is running: ``tsdaemon_build_info``."""

    def collect(self) -> list[Metric]:
        """Give it, as the registry wants it."""
        build = {
            "version": __version__,
            "python": platform.python_version(),
            "twisted": twisted_version,
        }
        return [InfoMetricFamily("tsdaemon_build", "What is running.", value=build)]
