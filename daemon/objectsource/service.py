"""The object source: its settings, and its parts put together."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from daemon.http.limits import plain_text
from daemon.objectsource.behaviour import Behaviour, Fault, Online, Ways, parse_range
from daemon.objectsource.pauses import Pauses
from daemon.objectsource.sender import Sender
from daemon.objectsource.web import ObjectsAPI
from daemon.periodic import Periodic
from daemon.plugin import Host
from daemon.webservice import HTTPSettings, Listen, WebPort

REPORT_S: Final = 5.0
"""How often the log says what was asked, if anything was."""

_SECONDS: Final = {"unit": "seconds"}
_A_DAY: Final = 86_400


def _rate(what: str) -> Meta:
    return Meta(ge=0, le=1, description=f"How often {what}.")


def _time(description: str) -> Meta:
    return Meta(ge=0, le=_A_DAY, description=description, extra=_SECONDS)


class Settings(HTTPSettings, frozen=True, kw_only=True):
    """The flags of ``twistd tsobjectsource``."""

    listen: Listen = "tcp:9010:interface=127.0.0.1"
    callback: Annotated[str, Meta(description="Where callbacks are posted to.")] = (
        "http://127.0.0.1:9090/callback"
    )
    callbacks: Annotated[bool, Meta(description="Whether callbacks are posted.")] = True
    period: Annotated[float, _time("How long the sender sleeps between callbacks.")] = 5.0
    patience: Annotated[
        float,
        Meta(
            gt=0,
            le=_A_DAY,
            description="How long a callback may take until its whole answer is there.",
            extra=_SECONDS,
        ),
    ] = 1.0
    ids: Annotated[str, Meta(description="The ids that callbacks name, both ends included.")] = (
        "0..99"
    )
    max_per_callback: Annotated[
        int, Meta(ge=0, le=1_000_000, description="How many ids a callback names at most.")
    ] = 199
    online: Annotated[Online, Meta(description="Which objects are online.")] = "even"
    min_delay: Annotated[float, _time("The shortest time that an answer takes.")] = 0.3
    max_delay: Annotated[float, _time("The longest time that an answer takes.")] = 4.3
    error_rate: Annotated[float, _rate("the answer is a 500")] = 0.0
    reset_rate: Annotated[float, _rate("the connection is reset in the middle of the answer")] = 0.0
    cut_rate: Annotated[float, _rate("the connection is closed in the middle of the answer")] = 0.0
    hang_rate: Annotated[float, _rate("nothing is ever answered")] = 0.0
    garbage_rate: Annotated[float, _rate("the answer's body says nothing of use")] = 0.0
    noise_rate: Annotated[float, _rate("the answer is no HTTP")] = 0.0
    wrong_id_rate: Annotated[float, _rate("the answer is about another object")] = 0.0
    flood_rate: Annotated[float, _rate("the answer has 100 MB")] = 0.0
    seed: Annotated[
        int | None, Meta(description="With it, the same requests get the same answers again.")
    ] = None

    def __post_init__(self) -> None:
        """Check what goes together.

        :raises ValueError: something does not.
        """
        if self.min_delay > self.max_delay:
            raise ValueError(f"min_delay is {self.min_delay:g}, and max_delay {self.max_delay:g}")
        if sum(self.rates().values()) > 1:
            raise ValueError("all rates together are more than 1")
        _check_url(self.callback)
        try:
            parse_range(self.ids)
        except ValueError as error:
            raise ValueError(f"ids: {error}") from error

    def rates(self) -> dict[Fault, float]:
        """Give how often each fault happens."""
        return {fault: getattr(self, f"{fault.value}_rate") for fault in Fault}

    def ways(self) -> Ways:
        """Give these settings as the rule takes them."""
        return Ways(
            online=self.online,
            min_delay_s=self.min_delay,
            max_delay_s=self.max_delay,
            rates=self.rates(),
            ids=parse_range(self.ids),
            max_per_callback=self.max_per_callback,
        )


class ObjectSource(Service):
    """Serves objects, and posts callbacks that name them.

    :param settings: its flags.
    :param host: what the daemon gives to a service.
    """

    log = Logger()

    def __init__(self, settings: Settings, host: Host) -> None:
        behaviour = Behaviour(settings.ways(), settings.seed)
        self._pauses = Pauses(host.reactor)
        self._api = ObjectsAPI(behaviour, self._pauses)
        self._port = WebPort(self._api.app, settings, host, plain_text, changes_something=False)
        self._reports = Periodic(host.reactor, self._report)
        self._reported = self._api.given.copy()
        self._sender = Sender(
            host.reactor,
            settings.callback,
            behaviour.callback,
            period_s=settings.period,
            patience_s=settings.patience,
        )
        self._sends = settings.callbacks

    def privilegedStartService(self) -> None:
        """Bind the port."""
        super().privilegedStartService()
        self._port.privilegedStartService()

    def startService(self) -> None:
        """Serve, and post."""
        super().startService()
        self._port.startService()
        self._reports.start(REPORT_S)
        if self._sends:
            self._sender.startService()

    def stopService(self) -> Deferred[None]:
        """Post no more, and tell at once all who wait for an answer that none will come."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port = self._port.stopService()
        self._pauses.end()
        sender = [self._sender.stopService()] if self._sends else []
        await gatherResults([port, *sender])
        await self._reports.stop()
        await self._report()
        self.log.info(
            "in all, of objects: {objects}; of callbacks: {callbacks}",
            objects=_listed(self._api.given),
            callbacks=_listed(self._sender.outcomes),
        )

    async def _report(self) -> None:
        given = self._api.given.copy()
        news = given - self._reported
        self._reported = given
        if news:
            self.log.info(
                "asked for {asked} objects: {outcomes}", asked=news.total(), outcomes=_listed(news)
            )


def _listed(counts: dict[str, int]) -> str:
    listed = [f"{count} {what.replace('_', ' ')}" for what, count in sorted(counts.items())]
    return ", ".join(listed) or "none"


def _check_url(url: str) -> None:
    """Check where callbacks go.

    :raises ValueError: nothing can be posted there.
    """
    try:
        parts = urlsplit(url)
        fits = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits or "@" in parts.netloc or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(
            f"callback: got {url!r}, wanted a URL such as http://127.0.0.1:9090/callback"
        )
