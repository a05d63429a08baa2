"""Objects that were not received for longer than their lifespan, on their way out."""

from __future__ import annotations

from typing import Any, Final

from twisted.logger import Logger

from daemon.callback.objects import DatabaseUnavailableError, ObjectStore, StoreError
from daemon.callback.storing import Tell
from daemon.clock import Now
from daemon.metrics import Histogram
from daemon.periodic import Periodic

SWEEP_S: Final = 0.5
"""How often rows are deleted. A row may stay a second too long; the other half is for the work."""

PART: Final = "expiry"
"""The part that is in trouble while rows cannot be deleted."""

_US: Final = 1_000_000


class Expiry:
    """Deletes rows whose time is over, for as long as it runs.

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
        """So many seconds at most has a row stayed whose time is over."""
        return (self._now() - self._swept_us) / _US

    def start(self) -> None:
        """Begin to delete."""
        self._sweeps.start(SWEEP_S)

    async def stop(self) -> None:
        """Delete no more; wait for what is under way."""
        await self._sweeps.stop()

    async def _sweep(self) -> None:
        began_us = self._now()
        try:
            deleted = await self._store.sweep(began_us - self._lifespan_us)
        except (DatabaseUnavailableError, StoreError) as error:
            self._tell(PART, f"objects cannot be deleted: {error}")
            return
        self._tell(PART, None)
        self._swept_us = began_us
        if deleted is not None:
            self.deleted += deleted
            self.sweeps += 1
            self._sweep_time.observe((self._now() - began_us) / _US)
