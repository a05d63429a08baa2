"""Online objects on their way into the database: many rows, one statement."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from daemon.callback.lookups import KEPT, Claim
from daemon.callback.objects.store import DatabaseUnavailableError, ObjectStore, Seen, StoreError
from daemon.clock import Now
from daemon.metrics import Histogram

BATCH_S: Final = 0.05
"""How long the first of a batch waits for others."""

BATCH_ROWS: Final = 5000
"""So many do not wait any longer, and no statement has more."""

FIRST_RETRY_S: Final = 0.1
LONGEST_RETRY_S: Final = 1.0
"""How long a database that failed is left alone: doubled each time, up to a second."""

PART: Final = "storing"
"""The part that is in trouble while rows cannot be stored."""

_US: Final = 1_000_000

Waits = Callable[[int], bool]
"""Tells whether a callback is not settled yet."""

Tell = Callable[[str, str | None], None]
"""Told which part is in trouble and why; None: it is well."""


class _Row:
    """What is to be stored of one object."""

    __slots__ = ("callbacks", "last_seen_us", "room")

    def __init__(self, claim: Claim) -> None:
        self.last_seen_us = claim.last_seen_us
        self.callbacks = claim.callbacks
        self.room = KEPT

    def merge(self, last_seen_us: int, callbacks: list[int], waits: Waits) -> None:
        """Let more callbacks wait for it, and forget those that wait no more."""
        self.last_seen_us = max(self.last_seen_us, last_seen_us)
        self.callbacks += callbacks  # a copy each time would be ever longer
        if len(self.callbacks) > self.room:
            self.callbacks = list(filter(waits, self.callbacks))
            self.room = max(KEPT, 2 * len(self.callbacks))


class Storing:
    """Stores claims in batches, one at a time, for as long as it takes.

    A callback is settled only after its rows are stored: what the process has not stored when it
    dies is still in the inbox.

    :param clock: schedules.
    :param now: tells the time.
    :param store: the database.
    :param lifespan_us: rows older than that need not be stored any more.
    :param settle: told the callbacks whose rows are stored, one mention each.
    :param waits: tells which callbacks may be forgotten: while the database is down, objects are
        named again and again by callbacks whose time is over one after the other.
    :param tell: told how the database is.
    :param upsert_time: told how long each statement took, in seconds.
    :ivar stored: rows that were stored.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        now: Now,
        store: ObjectStore,
        lifespan_us: int,
        *,
        settle: Callable[[Iterable[int]], None],
        waits: Waits,
        tell: Tell,
        upsert_time: Histogram,
    ) -> None:
        self._clock = clock
        self._now = now
        self._store = store
        self._lifespan_us = lifespan_us
        self._settle = settle
        self._waits = waits
        self._tell = tell
        self._upsert_time = upsert_time
        self._rows: dict[int, _Row] = {}
        self._timer: IDelayedCall | None = None
        self._under_way: Deferred[None] | None = None
        self._rows_under_way = 0
        self._retry_s = 0.0
        self._stopped = False
        self.stored = 0

    def __len__(self) -> int:
        return len(self._rows) + self._rows_under_way

    def add(self, claim: Claim) -> None:
        """Store an object that is online, soon."""
        row = self._rows.get(claim.id)
        if row is None:
            self._rows[claim.id] = _Row(claim)
        else:
            row.merge(claim.last_seen_us, claim.callbacks, self._waits)
        if self._under_way is None and not self._retry_s:
            if len(self._rows) >= BATCH_ROWS:
                self._flush()
            elif self._timer is None:
                self._timer = self._clock.callLater(BATCH_S, self._flush)

    def stop(self) -> Deferred[None]:
        """Store nothing more; fires when what is under way has ended."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return self._under_way or succeed(None)

    def _flush(self) -> None:
        """Send what waits on its way."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        rows = self._take()
        if rows:
            self._rows_under_way = len(rows)
            done = self._under_way = Deferred.fromCoroutine(self._upsert(rows))
            done.addErrback(self._bug)
            done.addCallback(lambda _: self._ended())
            return
        # All were over. Nothing is known of the database any more: the next row finds out.
        self._retry_s = 0.0
        if self._rows:
            self._timer = self._clock.callLater(0, self._flush)

    def _take(self) -> dict[int, _Row]:
        """Give the rows of the next statement. Those whose time is over are settled instead."""
        over_us = self._now() - self._lifespan_us
        rows: dict[int, _Row] = {}
        for object_id in list(islice(self._rows, BATCH_ROWS)):
            row = self._rows.pop(object_id)
            if row.last_seen_us < over_us:
                self._settle(row.callbacks)
            else:
                rows[object_id] = row
        return rows

    async def _upsert(self, rows: dict[int, _Row]) -> None:
        began_us = self._now()
        try:
            await self._store.upsert(
                [Seen(object_id, row.last_seen_us) for object_id, row in rows.items()]
            )
        except (DatabaseUnavailableError, StoreError) as error:
            self._failed(rows, str(error))
        except Exception:
            # Whatever it is, the rows are not known to be stored.
            self._failed(rows, "the database failed in an unknown way")
            raise
        else:
            self._retry_s = 0.0
            self.stored += len(rows)
            self._upsert_time.observe((self._now() - began_us) / _US)
            self._tell(PART, None)
            self._settle(chain.from_iterable(row.callbacks for row in rows.values()))

    def _failed(self, rows: dict[int, _Row], why: str) -> None:
        """Keep the rows, and try again later."""
        for object_id, row in rows.items():
            newer = self._rows.get(object_id)
            if newer is None:
                self._rows[object_id] = row
            else:
                newer.merge(row.last_seen_us, row.callbacks, self._waits)
        self._retry_s = min(LONGEST_RETRY_S, 2 * self._retry_s or FIRST_RETRY_S)
        if not self._stopped:
            self._tell(PART, f"objects cannot be stored: {why}")

    def _bug(self, failure: Failure) -> None:
        self.log.failure("objects could not be stored", failure)

    def _ended(self) -> None:
        self._under_way = None
        self._rows_under_way = 0
        if self._stopped or not self._rows:
            return
        wait_s = self._retry_s * random.uniform(0.5, 1) if self._retry_s else 0.0  # noqa: S311
        if not wait_s and len(self._rows) < BATCH_ROWS:
            wait_s = BATCH_S
        self._timer = self._clock.callLater(wait_s, self._flush)
