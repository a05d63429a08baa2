"""The timestamp service: its settings, and its parts put together."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from daemon.http.limits import plain_text
from daemon.metrics import Histogram
from daemon.plugin import Host, IDraining, StartError
from daemon.settings_types import seconds
from daemon.storage.commit import GroupCommit
from daemon.storage.slots import NewerFormatError, Slots
from daemon.threads import OneThread
from daemon.timestamp.register import Batch, NotStoredError, Register, Stored, Write
from daemon.timestamp.web import TimestampAPI
from daemon.waiters import Waiters
from daemon.webservice import HTTPSettings, Listen, WebPort

FILE_NAME: Final = "timestamp"
_BOOT_BYTES: Final = 8
_US: Final = 1_000_000


class Settings(HTTPSettings, frozen=True, kw_only=True):
    """The settings table ``[timestamp]``."""

    listen: Listen = "tcp:8090:interface=127.0.0.1"
    durability: Annotated[
        Literal["disk", "memory"],
        Meta(
            description="Whether a timestamp is on disk before a write is answered, and kept"
            " across restarts."
        ),
    ] = "disk"
    max_wait: Annotated[
        float, seconds("How long a reader may wait for the next write.", ge=0, le=86_400)
    ] = 60.0


def build(settings: Settings, host: Host) -> TimestampServer:
    """Put the timestamp service together; the daemon calls this."""
    return TimestampServer(settings, host)


@implementer(IDraining)
class TimestampServer(Service):
    """Stores a timestamp, in memory or on disk, and serves it.

    :param settings: its settings table.
    :param host: what the daemon gives to a service.
    """

    log = Logger()

    def __init__(self, settings: Settings, host: Host) -> None:
        self._host = host
        self._on_disk = settings.durability == "disk"
        self._waiters = Waiters(host.reactor)
        self._slots: Slots | None = None
        self.register = Register(
            secrets.token_hex(_BOOT_BYTES), keep=self._keep, on_change=self._waiters.wake
        )
        self.store = self.register.store
        self._writer = OneThread(host.reactor, "timestamp-writer", host.health)
        self._commit: GroupCommit[Write, Stored] = GroupCommit(host.reactor, self._writer, self)
        self.api = TimestampAPI(
            self.register,
            self._write if self._on_disk else self.register.write,
            self._waiters,
            host.reactor,
            tokens=host.tokens,
            max_wait_s=settings.max_wait,
        )
        self.port = WebPort(self.api.app, settings, host, plain_text, changes_something=True)
        self._began_us = 0
        self._commit_time = self._show_metrics()

    def privilegedStartService(self) -> None:
        """Bind the port."""
        super().privilegedStartService()
        self.port.privilegedStartService()

    def startService(self) -> None:
        """Read back what is stored, then serve.

        :raises StartError: the file is from a newer version, or cannot be used at all.
        """
        super().startService()
        if self._on_disk:
            self._open()
            self._writer.start()
        self.port.startService()

    def stopService(self) -> Deferred[None]:
        """Release those who wait, answer what was asked, and close everything."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def unfinished(self) -> str:
        """Say what is not stored, or not answered yet."""
        return f"{self._commit.waiting} timestamps not stored, {self.port.unfinished()}"

    # --- for the group commit (see ``Committer``), with ``store``

    def begin(self, items: Sequence[Write]) -> Batch:
        """Decide a batch."""
        self._began_us = self._host.now()
        return self.register.begin(items)

    def end(self, batch: Batch, outcome: Exception | None) -> list[Stored | Exception]:
        """Conclude a batch, and say how the disk is."""
        if batch.last is not None:
            self._commit_time.observe((self._host.now() - self._began_us) / _US)
        if isinstance(outcome, OSError):
            self._host.health.degrade("disk", f"cannot store the timestamp: {outcome}")
        elif batch.last is not None:
            self._host.health.recover("disk")
        return self.register.end(batch, outcome)

    def _show_metrics(self) -> Histogram:
        """Say what can be asked of this service.

        :returns: is to be told how long each commit takes.
        """
        metrics = self._host.metrics
        api, register = self.api, self.register
        metrics.counter("reads", "Requests to read.", lambda: api.reads, plot="Reads")
        metrics.counter("writes", "Writes accepted.", lambda: register.writes, plot="Writes")
        metrics.gauge(
            "waiting_readers",
            "Readers that wait for the next write.",
            lambda: len(self._waiters),
            plot="Waiting readers",
        )
        metrics.gauge(
            "waiting_writes", "Writes that wait for the disk.", lambda: self._commit.waiting
        )
        return metrics.histogram(
            "commit_seconds",
            "Time until the writes that share a commit were on disk.",
            plot="Commit" if self._on_disk else None,
        )

    def _write(self, write: Write) -> Deferred[Stored]:
        """Have a timestamp stored; unless too many wait for that already.

        :raises NotStoredError: they do.
        """
        if self._commit.is_full:
            waiting = self._commit.waiting
            raise NotStoredError(f"the disk does not answer, and {waiting} timestamps wait for it")
        return self._commit.submit(write, write.size_bytes)

    def _keep(self, value: bytes) -> None:
        """Store a value; in the writer's thread."""
        if self._slots is not None:
            self._slots.write(value)

    async def _stop(self) -> None:
        stopped = self.port.stopService()
        self._waiters.close()
        await stopped
        await self._commit.flush()
        if self._slots is not None:
            self._writer.stop()
            self._slots.close()

    def _open(self) -> None:
        path = self._host.state.open() / FILE_NAME
        self._slots = Slots(path, Stored.decode)
        try:
            opened = self._slots.open()
        except NewerFormatError as error:
            raise StartError(str(error)) from error
        except OSError as error:
            raise StartError(f"cannot open {path}: {error.strerror}") from error
        if opened.torn:
            self.log.warn(
                "{path}: one of its two values was damaged; the other one counts", path=str(path)
            )
        if opened.trouble is not None:
            self._host.health.degrade("disk", opened.trouble)
        if opened.value is not None:
            self.register.current = Stored.decode(opened.value)
