"""The number server: its settings, and its parts put together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from zope.interface import implementer

from daemon.numbers.ledger import Ledger
from daemon.numbers.log import NumberLog
from daemon.numbers.places import Places
from daemon.numbers.protocol import NumberClient, NumberFactory
from daemon.numbers.recorder import Outcome, Recorder
from daemon.numbers.report import Tally
from daemon.output import STDOUT, write
from daemon.peers import is_local
from daemon.periodic import Periodic
from daemon.plugin import Host, IDraining, StartError
from daemon.settings_types import seconds
from daemon.threads import OneThread

SYNC_S: Final = 1.0
"""How often the disk is made to hold what was written."""

REFUSALS_LOGGED: Final = 10
"""So many refusals between two reports are logged each; of more, only their number."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings table ``[numbers]``."""

    listen: Annotated[
        str,
        Meta(description="Where the server listens.", extra={"endpoint": True}),
    ] = "tcp:4000:interface=127.0.0.1"
    log: Annotated[
        str,
        Meta(
            min_length=1,
            description="The log of distinct numbers, emptied at every start.",
        ),
    ] = "numbers.log"
    clients: Annotated[
        int,
        Meta(ge=1, le=1000, description="How many clients are served at once."),
    ] = 5
    report_interval: Annotated[
        float, seconds("How often a report is printed on stdout.", ge=0.1, le=86_400)
    ] = 10.0
    terminate_from: Annotated[
        Literal["loopback", "anyone"],
        Meta(description="Whose line 'terminate' stops the daemon."),
    ] = "loopback"


def build(settings: Settings, host: Host) -> NumberServer:
    """Put the number server together; the daemon calls this."""
    return NumberServer(settings, host)


@implementer(IDraining)
class NumberServer(Service):
    """Takes lines from clients, has them recorded, and reports.

    :param settings: its settings table.
    :param host: what the daemon gives to a service.
    """

    log = Logger()

    def __init__(self, settings: Settings, host: Host) -> None:
        self._host = host
        self._tally = Tally()
        self._number_log = NumberLog(Path(settings.log))
        self._places: Places[NumberClient] = Places(settings.clients)
        self._writer = OneThread(host.reactor, "numbers-writer", host.health)
        self._syncer = OneThread(host.reactor, "numbers-sync", host.health)
        self._recorder: Recorder[NumberClient] = Recorder(
            host.reactor,
            self._writer,
            Ledger(),
            self._number_log,
            on_outcome=self._recorded,
            on_full=self._hold_clients,
        )
        may_terminate = is_local if settings.terminate_from == "loopback" else _anyone
        self._port = host.listen(settings.listen, NumberFactory(self._places, self, may_terminate))
        self._report_interval_s = settings.report_interval
        self._reports = Periodic(host.reactor, self._report)
        self._syncs = Periodic(host.reactor, self._sync)
        self._unsynced = False
        self._refusals = 0
        self._refusals_before = 0
        self._show_metrics()

    def privilegedStartService(self) -> None:
        """Bind the port."""
        super().privilegedStartService()
        self._port.privilegedStartService()

    def startService(self) -> None:
        """Create or empty the log, then let clients in."""
        super().startService()
        try:
            self._number_log.open()
        except OSError as error:
            raise StartError(f"cannot open the log: {error}") from error
        self._writer.start()
        self._syncer.start()
        self._port.startService()
        self._reports.start(self._report_interval_s)
        self._syncs.start(SYNC_S)

    def stopService(self) -> Deferred[None]:
        """Record what the clients have sent so far, and close everything."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def unfinished(self) -> str:
        """Say what is not in the log yet."""
        return f"{self._recorder.unrecorded} numbers received and not in {self._number_log.path}"

    @property
    def full(self) -> bool:
        """Whether clients have to wait until what they sent is on its way to the log."""
        return self._recorder.full

    def receive(self, block: bytes, sender: NumberClient) -> int:
        """Take the regular lines at the start of a block; gives how many bytes were taken."""
        return self._recorder.receive(block, sender)

    def refused(self, client: NumberClient, line: bytes) -> None:
        """Log that a client sent an invalid line; a flood of such clients is told in one line."""
        self._refusals += 1
        if self._refusals <= REFUSALS_LOGGED:
            self.log.info(
                "disconnected {client}: invalid line {line!r}", client=str(client), line=line
            )

    def terminate(self, client: NumberClient) -> None:
        """End all clients, then the daemon. Of several clients that say so, one is enough."""
        if not self._places.closed:
            self._end_clients()
            self._host.shut_down(f"terminate from {client}")

    def _show_metrics(self) -> None:
        """Say what can be asked of this service."""
        counter, gauge = self._host.metrics.counter, self._host.metrics.gauge
        tally, places, recorder = self._tally, self._places, self._recorder
        counter(
            "received",
            "Numbers received and recorded, duplicates included.",
            lambda: tally.unique + tally.duplicates,
            plot="Received",
        )
        counter("unique", "Distinct numbers in the log.", lambda: tally.unique, plot="Unique")
        counter(
            "duplicates",
            "Numbers received that the log had already.",
            lambda: tally.duplicates,
            plot="Duplicates",
        )
        gauge(
            "unrecorded",
            "Numbers received that are not in the log yet.",
            lambda: recorder.unrecorded,
            plot="Not yet in the log",
        )
        gauge("clients", "Clients connected.", lambda: len(places), plot="Clients")
        counter(
            "invalid_lines",
            "Clients disconnected for an invalid line.",
            lambda: self._refusals_before + self._refusals,
        )
        counter(
            "turned_away", "Clients closed at once: no place was free.", lambda: places.turned_away
        )

    async def _stop(self) -> None:
        await self._port.stopService()
        self._end_clients()
        await self._recorder.flush()
        await self._reports.stop()
        await self._syncs.stop()
        await self._sync()
        self._number_log.close()
        for threads in (self._writer, self._syncer):
            threads.stop()
        self._tell_more_refusals()
        self.log.info("since the last report: {report}", report=self._tally.report())

    def _end_clients(self) -> None:
        """Read what every client has sent up to now, disconnect it, and let nobody in."""
        self._places.close()
        for client in self._places:
            client.read_received()
            client.disconnect()

    def _hold_clients(self, full: bool) -> None:
        """Let the clients wait, or go on."""
        for client in self._places:
            if full:
                client.pause()
            else:
                client.resume()

    def _recorded(self, outcome: Outcome, senders: frozenset[NumberClient]) -> None:
        """Count what is in the log; who sent what could not be written is disconnected."""
        self._tally.add(outcome.unique, outcome.duplicates)
        if outcome.unique:
            self._unsynced = True
        if outcome.error is not None:
            self._host.health.degrade("log", f"cannot write {self._number_log}: {outcome.error}")
            self.log.error("{count} clients are disconnected, numbers lost", count=len(senders))
            for sender in senders:
                sender.disconnect()
        elif outcome.unique:
            self._host.health.recover("log")

    async def _report(self) -> None:
        self._tell_more_refusals()
        line = self._tally.report()
        try:
            write(STDOUT, line.encode() + b"\n")
        except OSError as error:
            self.log.warn("nobody took the report: {report} ({why})", report=line, why=str(error))
        else:
            self._tally.reported()

    def _tell_more_refusals(self) -> None:
        """Log how many clients were refused beyond those that were logged each."""
        if self._refusals > REFUSALS_LOGGED:
            more = self._refusals - REFUSALS_LOGGED
            self.log.info("disconnected {count} more clients: invalid lines", count=more)
        self._refusals_before += self._refusals
        self._refusals = 0

    async def _sync(self) -> None:
        """Have the disk hold what was written since the last time."""
        if not self._unsynced:
            return
        self._unsynced = False
        try:
            await self._syncer(self._number_log.sync)
        except OSError as error:
            # Nothing makes up for it: the system may have dropped what it could not store, and
            # would report success the next time.
            self._host.health.degrade("disk", f"{self._number_log} is not whole: {error}")


def _anyone(_address: IAddress | None) -> bool:
    return True
