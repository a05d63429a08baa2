"""The hash service: its settings, and its parts put together."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from daemon import __version__
from daemon.hash.idempotency import Keys
from daemon.hash.jobs import DIGEST_BYTES, Jobs
from daemon.hash.web import HashAPI
from daemon.http.problem import problem_json
from daemon.periodic import Periodic
from daemon.plugin import Host, IDraining, StartError
from daemon.settings_types import seconds, size
from daemon.storage.ring import STORING, Ring
from daemon.storage.salvage import Trouble
from daemon.storage.segments import NewerFormatError
from daemon.threads import OneThread
from daemon.waiters import Waiters
from daemon.webservice import HTTPSettings, Listen, WebPort

FOLDER_NAME: Final = "hash"
KEY_LIFETIME_S: Final = 3600
WORK_BOUNDS_S: Final = (5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2)

LOOK_S: Final = 0.05
"""How often a stop that waits for clients looks whether any are left."""

CLOSING_S: Final = 2.5
"""How much of ``drain_timeout`` is left for closing connections and files when jobs are kept; half
of it, if that is less."""

_US: Final = 1_000_000


class Settings(HTTPSettings, frozen=True, kw_only=True):
    """The settings table ``[hash]``."""

    listen: Listen = "tcp:8080:interface=127.0.0.1"
    max_body: Annotated[
        int,
        size(
            "The largest body of a request; a password may grow sixfold on its way.", ge=0, le=2**30
        ),
    ] = 512 * 1024
    delay: Annotated[
        float, seconds("From a job's arrival until its hash can be read.", ge=0, le=86_400)
    ] = 5.0
    capacity: Annotated[
        int,
        Meta(ge=1, le=1_000_000_000, description="How many jobs are kept; 72 bytes each."),
    ] = 10_000_000
    linger: Annotated[
        float,
        seconds("How long a stop lets clients read the last job after it is ready.", ge=0, le=3600),
    ] = 1.0
    max_wait: Annotated[
        float, seconds("How long a client may wait for a job (Prefer: wait).", ge=0, le=86_400)
    ] = 60.0
    idempotency_keys: Annotated[
        int,
        Meta(ge=0, le=100_000_000, description="How many Idempotency-Keys are known at once."),
    ] = 100_000
    keep: Annotated[
        bool,
        Meta(description="Whether jobs survive restarts: digests of passwords are then on disk."),
    ] = False
    sync: Annotated[
        float,
        seconds("How often the disk is made to hold the jobs that are kept.", ge=0.01, le=3600),
    ] = 1.0


def build(settings: Settings, host: Host) -> HashServer:
    """Put the hash service together; the daemon calls this."""
    return HashServer(settings, host)


@implementer(IDraining)
class HashServer(Service):
    """Hashes passwords as jobs, in memory or on disk.

    :param settings: its settings table.
    :param host: what the daemon gives to a service.
    """

    log = Logger()

    def __init__(self, settings: Settings, host: Host) -> None:
        self._host = host
        self._settings = settings
        self._delay_us = round(settings.delay * _US)
        self._waiters = Waiters(host.reactor)
        self._keys = Keys(settings.idempotency_keys, KEY_LIFETIME_S * _US)
        self._ring = Ring(None, DIGEST_BYTES)
        self._thread = OneThread(host.reactor, "hash-sync", host.health)
        self._syncs = Periodic(host.reactor, self._sync)
        self._is_ending = False
        self.api = HashAPI(
            self._keys,
            self._waiters,
            host.reactor,
            host.now,
            tokens=host.tokens,
            shut_down=self.shut_down,
            version=__version__,
            capacity=settings.capacity,
            max_wait_s=settings.max_wait,
            observe=host.metrics.histogram(
                "work_seconds", "Work on a job, its wait not counted.", WORK_BOUNDS_S, plot="Work"
            ).observe,
        )
        self.api.jobs = self._jobs()
        self.port = WebPort(self.api.app, settings, host, problem_json, changes_something=True)
        self._show_metrics()

    def privilegedStartService(self) -> None:
        """Bind the port."""
        super().privilegedStartService()
        self.port.privilegedStartService()

    def startService(self) -> None:
        """Take up the jobs that were kept, then serve.

        :raises StartError: a file is from a newer version.
        """
        super().startService()
        self._compare_times()
        if self._settings.keep:
            self._open()
            self._thread.start()
            self._syncs.start(self._settings.sync)
        self.port.startService()

    def shut_down(self) -> Deferred[None]:
        """Stop the daemon; fires when nobody can connect any more. Again is the same as once."""
        self.api.draining = True
        if not self._is_ending:
            self._is_ending = True
            Deferred.fromCoroutine(self._end())
        return self.port.close_port()

    def stopService(self) -> Deferred[None]:
        """Take no more jobs, let those that are pending be read, and close everything."""
        super().stopService()
        self.api.draining = True
        return Deferred.fromCoroutine(self._stop())

    def unfinished(self) -> str:
        """Say what is pending, and who waits for a reply."""
        pending = self.api.jobs.pending(self._host.now())
        kept = " (kept for the next start)" if self._settings.keep else ""
        return f"{pending} jobs not ready{kept}, {self.port.unfinished()}"

    async def _end(self) -> None:
        await self.port.close_port()
        self._host.shut_down("POST /shutdown")

    async def _stop(self) -> None:
        await self.port.close_port()
        await self._until_read()
        self._waiters.close()
        await self.port.stopService()
        if self._settings.keep:
            await self._syncs.stop()
            self._tell(await self._thread(self._ring.close))
            self._thread.stop()

    async def _until_read(self) -> None:
        """Wait until clients have had the time to read what was pending.

        Jobs that are kept need not be waited for longer than there is time.
        """
        jobs, now, settings = self.api.jobs, self._host.now, self._settings
        pending = jobs.pending(now())
        if not pending:
            return
        self.log.info("{pending} jobs are not ready yet", pending=pending)
        end = jobs.last_due_us + round(settings.linger * _US)
        if settings.keep:
            timeout_s = self._host.drain_timeout_s
            time_s = max(timeout_s - CLOSING_S, timeout_s / 2)
            end = min(end, now() + round(time_s * _US))
        await self._until(min(end, jobs.last_due_us))
        while self.port.factory.connections and (left_us := end - now()) > 0:
            await deferLater(self._host.reactor, min(LOOK_S, left_us / _US))
        pending = jobs.pending(now())
        if pending:
            self.log.info("{pending} jobs are kept for the next start", pending=pending)

    async def _until(self, time_us: int) -> None:
        while (left_us := time_us - self._host.now()) > 0:
            await deferLater(self._host.reactor, left_us / _US)

    def _compare_times(self) -> None:
        """Say so if jobs may take longer than a stop waits for them."""
        settings, timeout_s = self._settings, self._host.drain_timeout_s
        if settings.delay + settings.linger > timeout_s:
            self.log.warn(
                "hash.delay ({delay_s} s) and hash.linger ({linger_s} s) together are longer than"
                " drain_timeout ({timeout_s} s): a stop does not wait for all jobs",
                delay_s=settings.delay,
                linger_s=settings.linger,
                timeout_s=timeout_s,
            )

    def _jobs(self) -> Jobs:
        return Jobs(self._ring, self._settings.capacity, self._delay_us, self._host.now())

    def _open(self) -> None:
        self._ring = Ring(self._host.state.open() / FOLDER_NAME, DIGEST_BYTES)
        try:
            troubles = self._ring.open()
        except NewerFormatError as error:
            raise StartError(str(error)) from error
        for trouble in troubles:
            self._host.health.degrade(trouble.part, trouble.why)
        self.api.jobs = self._jobs()

    async def _sync(self) -> None:
        """Let the thread do what blocks."""
        done = await self._thread(self._ring.work().run)
        self._tell(self._ring.take(done))

    def _tell(self, trouble: Trouble | None) -> None:
        if trouble is None:
            self._host.health.recover(STORING)
        else:
            self._host.health.degrade(trouble.part, trouble.why)

    def _show_metrics(self) -> None:
        metrics, api, now = self._host.metrics, self.api, self._host.now
        metrics.counter("jobs", "Jobs accepted.", lambda: api.jobs.accepted, plot="Jobs")
        metrics.counter("evicted_jobs", "Jobs that made room.", lambda: api.jobs.evicted)
        metrics.counter("refused_jobs", "Jobs without room.", lambda: api.jobs.refused)
        metrics.gauge(
            "pending_jobs", "Jobs not ready yet.", lambda: api.jobs.pending(now()), plot="Pending"
        )
        metrics.gauge(
            "ready_jobs", "Jobs that can be read.", lambda: api.jobs.ready(now()), plot="Ready"
        )
        metrics.gauge("waiters", "Clients that wait for a job.", lambda: len(self._waiters))
        metrics.gauge("idempotency_keys", "Keys that are known.", lambda: len(self._keys))
