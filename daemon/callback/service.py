"""The callback service: its settings, and its parts put together."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from daemon.callback.expiry import PART as EXPIRY
from daemon.callback.expiry import Expiry
from daemon.callback.inbox import Inbox, RefusedError
from daemon.callback.lookups import Lookups
from daemon.callback.objects.store import StoreError, parse_database, store_for
from daemon.callback.pipeline import Pipeline
from daemon.callback.storing import PART as STORING
from daemon.callback.storing import Storing
from daemon.callback.web import CallbackAPI
from daemon.http.client import client_for
from daemon.http.problem import problem_json
from daemon.http.source_url import parse_source_url
from daemon.http.turns import Slices
from daemon.periodic import Periodic
from daemon.plugin import Host, IDraining, StartError
from daemon.settings_types import seconds, size
from daemon.storage.slots import NewerFormatError
from daemon.threads import OneThread
from daemon.webservice import HTTPSettings, Listen, WebPort

INBOX_NAME: Final = "inbox.sqlite"
INBOX: Final = "inbox"
"""The part that is in trouble while callbacks are in memory only."""

LOOK_S: Final = 1.0
"""How often the age of the oldest callback is looked up."""

ANSWER_BYTES: Final = 64 * 1024
"""The largest body of an answer of the source."""

_US: Final = 1_000_000


class Settings(HTTPSettings, frozen=True, kw_only=True):
    """The settings table ``[callback]``."""

    listen: Listen = "tcp:9090:interface=127.0.0.1"
    max_body: Annotated[int, size("The largest body of a request.", ge=0, le=2**30)] = 1024 * 1024
    max_ids: Annotated[
        int, Meta(ge=1, le=100_000, description="How many ids a callback may have.")
    ] = 10_000
    source: Annotated[
        str,
        Meta(min_length=1, description="Where objects are looked up, at <source>/objects/<id>."),
    ] = "http://localhost:9010"
    concurrency: Annotated[
        int,
        Meta(ge=1, le=10_000, description="How many lookups may be under way at once."),
    ] = 256
    lookup_timeout: Annotated[
        float, seconds("How long the source has for an answer.", gt=0, le=3600)
    ] = 10.0
    database: Annotated[
        str,
        Meta(
            min_length=1,
            description="Where objects are kept: sqlite: (a file in the state folder),"
            " sqlite:/path/to/file, sqlite::memory: or postgresql://…",
        ),
    ] = "sqlite:"
    lifespan: Annotated[
        float, seconds("How long an object is kept after a callback named it.", gt=0, le=31_536_000)
    ] = 30.0

    def __post_init__(self) -> None:
        """Check what only its own parser knows.

        :raises ValueError: the source or the database is none.
        """
        for name, value, parse in (
            ("source", self.source, parse_source_url),
            ("database", self.database, parse_database),
        ):
            try:
                parse(value)
            except ValueError as error:
                raise ValueError(f"callback.{name}: got {value!r}: {error}") from error


def build(settings: Settings, host: Host) -> CallbackServer:
    """Put the callback service together; the daemon calls this."""
    return CallbackServer(settings, host)


@implementer(IDraining)
class CallbackServer(Service):
    """Takes callbacks, looks up what they name, and keeps what is online.

    :param settings: its settings table.
    :param host: what the daemon gives to a service.
    """

    log = Logger()

    def __init__(self, settings: Settings, host: Host) -> None:
        self._host = host
        self._lifespan_us = round(settings.lifespan * _US)
        self._thread = OneThread(host.reactor, "inbox", host.health)
        self._inbox = Inbox(
            host.state.path / INBOX_NAME, host.reactor, self._thread, on_trouble=self._tell_inbox
        )
        self._store = store_for(
            parse_database(settings.database),
            reactor=host.reactor,
            folder=host.state.open,
            health=host.health,
        )
        self._lookups = Lookups(self._lifespan_us, settings.concurrency, random.random)
        self._storing = self._make_storing()
        self._pipeline = self._make_pipeline(settings)
        self._expiry = self._make_expiry()
        self._api = CallbackAPI(
            self._inbox,
            self._store,
            host.now,
            arrived=self._pipeline.arrived,
            accept_time=host.metrics.histogram(
                "accept_seconds",
                "Time from a callback's receipt until it was safe.",
                plot="Accept",
            ),
            tokens=host.tokens,
            max_ids=settings.max_ids,
            lifespan_us=self._lifespan_us,
            slices=Slices(host.reactor),
        )
        self._port = WebPort(self._api.app, settings, host, problem_json, changes_something=True)
        self._looks = Periodic(host.reactor, self._look)
        self._oldest_us: int | None = None
        self._show()

    def privilegedStartService(self) -> None:
        """Bind the port."""
        super().privilegedStartService()
        self._port.privilegedStartService()

    def startService(self) -> None:
        """Open the inbox, serve, and work on what was left.

        :raises StartError: a file is from a newer version, or cannot be used.
        """
        super().startService()
        self._open()
        self._thread.start()
        self._port.startService()
        self._expiry.start()
        self._looks.start(LOOK_S)
        # The reactor has to run before it is asked for anything.
        self._host.reactor.callWhenRunning(self._pipeline.start)

    def stopService(self) -> Deferred[None]:
        """Answer what was sent, finish what is being stored, and leave the rest in the inbox."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def unfinished(self) -> str:
        """Say what is not done; nothing of it is lost that is on disk."""
        return f"{self._inbox.depth} callbacks for the next start, {self._port.unfinished()}"

    def _make_storing(self) -> Storing:
        return Storing(
            self._host.reactor,
            self._host.now,
            self._store,
            self._lifespan_us,
            settle=self._stored,
            waits=self._lookups.waits,
            tell=self._tell,
            upsert_time=self._host.metrics.histogram(
                "upsert_seconds", "Time that storing a batch of objects took."
            ),
        )

    def _make_pipeline(self, settings: Settings) -> Pipeline:
        client = client_for(
            settings.source,
            self._host.reactor,
            connections=settings.concurrency,
            timeout_s=settings.lookup_timeout,
            body_bytes=ANSWER_BYTES,
        )
        return Pipeline(
            self._host.reactor,
            self._host.now,
            self._inbox,
            client,
            self._lookups,
            store=self._storing.add,
            tell=self._tell,
            lookup_time=self._host.metrics.histogram(
                "lookup_seconds", "Time from a request to the source until its end.", plot="Lookup"
            ),
        )

    def _make_expiry(self) -> Expiry:
        return Expiry(
            self._host.reactor,
            self._host.now,
            self._store,
            self._lifespan_us,
            tell=self._tell,
            sweep_time=self._host.metrics.histogram(
                "sweep_seconds", "Time that deleting what is over took."
            ),
        )

    def _show(self) -> None:
        """Say what can be asked of this service."""
        counter, gauge = self._host.metrics.counter, self._host.metrics.gauge
        api, inbox, lookups = self._api, self._inbox, self._lookups
        counter("accepted", "Callbacks that were accepted.", lambda: api.accepted, plot="Accepted")
        counter("rejected", "Bodies that were no callback.", lambda: api.rejected)
        counter("refused", "Callbacks lost: no room on disk and in memory.", lambda: inbox.refused)
        gauge(
            "inbox_depth",
            "Callbacks accepted and not settled.",
            lambda: inbox.depth,
            plot="Inbox",
        )
        gauge(
            "oldest_waiting_seconds",
            "Age of the oldest of them.",
            self._oldest_s,
            plot="Oldest waiting",
        )
        gauge(
            "lookups_in_flight",
            "Requests to the source under way.",
            lambda: lookups.under_way,
            plot="Lookups in flight",
        )
        counter("lookup_retries", "Lookups that were put off.", lambda: lookups.retries)
        counter(
            "lookups",
            "Requests to the source that have ended.",
            lambda: {says.value: count for says, count in self._pipeline.outcomes.items()},
            label="outcome",
        )
        counter("expired_callbacks", "Callbacks whose time was over.", lambda: lookups.expired)
        gauge("rows_waiting", "Objects that wait to be stored.", lambda: len(self._storing))
        counter("rows_stored", "Objects that were stored.", lambda: self._storing.stored)
        counter("rows_expired", "Rows that were deleted.", lambda: self._expiry.deleted)
        gauge(
            "expiry_lateness_seconds",
            "How long a row may have stayed beyond its time.",
            lambda: self._expiry.lateness_s,
        )

    def _open(self) -> None:
        self._host.state.open()
        try:
            troubles = [*self._inbox.open(), *self._store.prepare()]
        except (NewerFormatError, StoreError) as error:
            raise StartError(str(error)) from error
        for number, why in enumerate(troubles, 1):
            self._tell(f"file {number}", why)

    async def _look(self) -> None:
        """Find out how long the oldest callback has been waiting."""
        try:
            self._oldest_us = await self._inbox.oldest_received_us()
        except RefusedError:
            self._oldest_us = None

    def _oldest_s(self) -> float:
        return 0.0 if self._oldest_us is None else (self._host.now() - self._oldest_us) / _US

    def _stored(self, callbacks: Iterable[int]) -> None:
        self._pipeline.settle(callbacks)

    def _tell_inbox(self, why: str | None) -> None:
        self._tell(INBOX, why)

    def _tell(self, part: str, why: str | None) -> None:
        if why is None:
            self._host.health.recover(part)
            if part == EXPIRY and not len(self._storing):
                # The database works, and nothing is left that could not be stored.
                self._host.health.recover(STORING)
        else:
            self._host.health.degrade(part, why)

    async def _stop(self) -> None:
        closed = self._port.stopService()
        await self._pipeline.stop()
        stored = self._storing.stop()
        swept = Deferred.fromCoroutine(self._expiry.stop())
        # What is under way is finished by this, or cancelled.
        await self._store.close()
        await stored
        await swept
        await closed
        await self._looks.stop()
        await self._inbox.close()
        self._thread.stop()
