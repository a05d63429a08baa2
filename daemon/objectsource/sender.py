"""Posts callbacks as the real sender does: once, with one second for the whole exchange."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from treq.client import HTTPClient
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionRefusedError as RefusedError
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

IDLE_S: Final = 90
"""How long the real sender keeps a connection that it does not use."""

GAVE_UP: Final = "gave up"
REFUSED: Final = "refused"
BROKEN: Final = "broken"


class GaveUpError(Exception):
    """The exchange took too long."""


class Sender(Service):
    """Posts a callback, sleeps, posts the next one. Nothing is ever posted again.

    :param reactor: schedules and connects.
    :param url: where to.
    :param make_ids: gives the ids of the next callback.
    :param period_s: how long it sleeps after each exchange, and before the first.
    :param patience_s: how long a whole exchange may take.
    :ivar outcomes: how many callbacks came to what: the status of the answer as text,
        :data:`GAVE_UP`, :data:`REFUSED` or :data:`BROKEN`.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: str,
        make_ids: Callable[[], list[int]],
        *,
        period_s: float = 5.0,
        patience_s: float = 1.0,
    ) -> None:
        self._reactor = reactor
        self._url = url
        self._make_ids = make_ids
        self._period_s = period_s
        self._patience_s = patience_s
        self.outcomes: Counter[str] = Counter()
        self._work: Deferred[None] = succeed(None)

    def startService(self) -> None:
        """Begin to sleep and to post."""
        super().startService()
        # The pool keeps connections for the next callback; what it never does is to post twice.
        self._pool = HTTPConnectionPool(self._reactor, persistent=True)
        self._pool.cachedConnectionTimeout = IDLE_S
        self._pool.retryAutomatically = False
        agent = Agent(self._reactor, pool=self._pool, connectTimeout=self._patience_s)
        self._client = HTTPClient(agent)
        self._work = Deferred.fromCoroutine(self._run())
        self._work.addErrback(self._ended)

    def stopService(self) -> Deferred[None]:
        """Post no more, not even to the end, and close all connections."""
        super().stopService()
        self._work.cancel()
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    async def post(self, ids: list[int]) -> None:
        """Post one callback, and log what came of it."""
        begun_s = self._reactor.seconds()
        exchange = Deferred.fromCoroutine(self._exchange(ids))
        exchange.addTimeout(self._patience_s, self._reactor, lambda *_: Failure(GaveUpError()))
        try:
            status = await exchange
        except Exception as error:  # noqa: BLE001  # whatever it is, the next callback is posted
            if self.running:
                self._failed(ids, error)
            return
        elapsed_ms = (self._reactor.seconds() - begun_s) * 1000
        self.outcomes[str(status)] += 1
        tell = self.log.info if status == HTTPStatus.NO_CONTENT else self.log.warn
        tell(
            "callback of {ids} ids: answered {status} in {elapsed_ms:.1f} ms",
            ids=len(ids),
            status=status,
            elapsed_ms=elapsed_ms,
        )

    async def _run(self) -> None:
        while self.running:
            await deferLater(self._reactor, self._period_s)
            await self.post(self._make_ids())

    async def _exchange(self, ids: list[int]) -> int:
        """Post, and see the answer to its end, whatever is in it."""
        response = await self._client.post(
            self._url,
            data=json.dumps({"object_ids": ids}, separators=(",", ":")).encode(),
            headers=Headers({b"Content-Type": [b"application/json"]}),
            allow_redirects=False,
        )
        rest = _Rest()
        response.deliverBody(rest)
        await rest.ended
        return int(response.code)

    def _failed(self, ids: list[int], error: Exception) -> None:
        outcome, why = _told(error)
        if isinstance(error, GaveUpError):
            why = f"no whole answer within {self._patience_s:g} s"
        self.outcomes[outcome] += 1
        self.log.warn(
            "callback of {ids} ids: {outcome}: {why}", ids=len(ids), outcome=outcome, why=why
        )

    def _ended(self, failure: Failure) -> None:
        """Learn that the posting has ended, which a stop makes it do."""
        if self.running:
            self.log.failure("no more callbacks are posted", failure)


class _Rest(Protocol):
    """Reads an answer's body to its end, and throws it away; a cancel ends the connection.

    :ivar ended: fires at the end of the body.
    """

    transport: Any

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred(lambda _: self.transport.loseConnection())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Learn that there is no more, and whether it was all."""
        if self.ended.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.ended.callback(None)
        else:
            self.ended.errback(reason)


def _told(error: Exception) -> tuple[str, str]:
    """Give the outcome, and the reason in a few words."""
    if isinstance(error, GaveUpError):
        return GAVE_UP, ""
    if isinstance(error, RefusedError):
        return REFUSED, "nobody listens there"
    if isinstance(error, ResponseFailed) and error.reasons:
        error = error.reasons[0].value
    return BROKEN, " ".join(str(error).split()) or type(error).__name__
