"""Objects that were not received for longer than their lifespan, on their way out."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.task import deferLater
from twisted.logger import Logger

from daemon.callback.objects.store import DatabaseUnavailableError, ObjectStore, StoreError
from daemon.callback.storing import Tell
from daemon.clock import Now
from daemon.metrics import Histogram
from daemon.periodic import Periodic

SWEEP_S: Final = 0.5
"""How often rows are deleted. A row may stay a second too long; the other half is for the work."""

AGAIN_S: Final = 0.1
"""Seconds after which a sweep that met that of another daemon is tried once more. Two that sweep in
step would meet each time; one that always meets another's knows of one that does not end."""

PART: Final = "expiry"
"""The part that is in trouble while rows cannot be deleted."""

_US: Final = 1_000_000


class Expiry:
    """Deletes rows whose time is over, for as long as it runs.

    Rows that are ahead of now by more than the lifespan are deleted as well: a clock was wrong.

    :param clock: schedules.
    :param now: tells the time.
    :param store: the database.
    :param lifespan_us: how long a row is kept after the object was seen.
    :param tell: told how the database is.
    :param sweep_time: told how long each sweep took, in seconds.
    :ivar deleted: rows that this daemon has deleted.
    :ivar sweeps: sweeps that this daemon has done; others that share the database do theirs.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        now: Now,
        store: ObjectStore,
        lifespan_us: int,
        *,
        tell: Tell,
        sweep_time: Histogram,
    ) -> None:
        self._clock = clock
        self._now = now
        self._store = store
        self._lifespan_us = lifespan_us
        self._tell = tell
        self._sweep_time = sweep_time
        self._sweeps = Periodic(clock, self._sweep)
        self._swept_us = now()
        self.deleted = 0
        self.sweeps = 0

    @property
    def lateness_s(self) -> float:
        """So many seconds at most has a row stayed whose time is over.

        Only a sweep of our own that went well sets it back: nobody knows how far another's got. So
        where several daemons share the database, it may be a little more than the truth.
        """
        return (self._now() - self._swept_us) / _US

    def start(self) -> None:
        """Begin to delete."""
        self._sweeps.start(SWEEP_S)

    async def stop(self) -> None:
        """Delete no more; wait for what is under way."""
        await self._sweeps.stop()

    async def _sweep(self) -> None:
        try:
            if not await self._sweep_once():
                await deferLater(self._clock, AGAIN_S)
                await self._sweep_once()
        except (DatabaseUnavailableError, StoreError) as error:
            self._tell(PART, f"objects cannot be deleted: {error}")
            return
        self._tell(PART, None)

    async def _sweep_once(self) -> bool:
        """Delete what is over; False: another daemon is doing it."""
        began_us = self._now()
        deleted = await self._store.sweep(
            began_us - self._lifespan_us, began_us + self._lifespan_us
        )
        if deleted is None:
            return False
        self._swept_us = began_us
        self.deleted += deleted
        self.sweeps += 1
        self._sweep_time.observe((self._now() - began_us) / _US)
        return True
