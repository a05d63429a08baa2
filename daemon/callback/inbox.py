"""The durable inbox: a callback that was accepted is worked on, whatever happens meanwhile."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from daemon.callback.inbox_batch import NUDGE, Aside, Batch, Item, work_of
from daemon.callback.inbox_file import DamagedError, InboxFile, RefusedError
from daemon.callback.inbox_tables import (
    Callback,
    CallbackPage,
    Damaged,
    Rejected,
    RejectedPage,
)
from daemon.callback.unwritten import Unwritten, cut, size_of
from daemon.storage.commit import GroupCommit

__all__ = [
    "Callback",
    "Inbox",
    "InboxClosedError",
    "InboxFullError",
    "RefusedError",
    "Rejected",
    "RejectedPage",
]

BODY_BYTES: Final = 65_536
"""How much of a rejected body is kept."""

SETTLE_DELAY_S: Final = 0.1
"""How long a settled callback may stay on disk when no other commit comes along."""

RETRY_S: Final = 1.0
"""How often a disk that refuses is tried again."""

CLOSE_S: Final = 1.0
"""How long closing may go on writing. Settled ones that stay are worked on again: no harm."""

_SETTLED_AT_ONCE: Final = 1_000
"""Callbacks removed in one commit: a million settled ones must not keep new ones waiting."""

_REWRITTEN_AT_ONCE: Final = 1_000
_REWRITTEN_MENTIONS: Final = 500_000


class InboxFullError(Exception):
    """The disk refuses or hangs, and there are too many callbacks in memory: this one is lost."""


class InboxClosedError(Exception):
    """The inbox is closed, or closing."""


class Inbox:
    """Callbacks from their acceptance to their settlement; used in the reactor's thread.

    While the disk refuses, callbacks are accepted all the same and kept in memory; every second
    the disk is tried again, until it has all of them that are not settled by then. Of the order of
    events this holds: a callback can be seen by :meth:`load` when its acceptance has fired, and
    a load that has given a number has given all smaller ones that were not settled.

    :param path: the SQLite file, in a folder that nobody else writes to.
    :param clock: schedules.
    :param in_thread: runs a function in a thread, one at a time, and gives its result as a
        Deferred: a :class:`daemon.threads.OneThread`. Whoever made it starts it before the first
        accept and stops it after :meth:`close`.
    :param on_trouble: told what is wrong, in one line, when it changes; None: nothing any more.

    :ivar last_number: the highest number given out, or found at the start.
    :ivar refused: callbacks that were lost because the memory was full.
    :ivar rejected_lost: rejected bodies that the disk did not take.
    """

    log = Logger()

    def __init__(
        self,
        path: Path,
        clock: IReactorTime,
        in_thread: Callable[..., Deferred[Any]],
        *,
        on_trouble: Callable[[str | None], None],
    ) -> None:
        self._file = InboxFile(path)
        self._clock = clock
        self._in_thread = in_thread
        self._on_trouble = on_trouble
        self._commit: GroupCommit[Any, Any] = GroupCommit(clock, in_thread, self)
        self.last_number = 0
        self.refused = 0
        self.rejected_lost = 0
        self._last_rejected = 0
        self._rows = 0
        self._unwritten = Unwritten()
        self._rewritten_at_once = _REWRITTEN_AT_ONCE
        self._settled: set[int] = set()
        self._removing: frozenset[int] = frozenset()
        self._aside: set[int] = set()
        self._spoiled: str | None = None
        self._damage: str | None = None
        self._refusal: str | None = None
        self._told: str | None = None
        self._has_failed = False
        self._is_full = False
        self._timer: IDelayedCall | None = None
        self._is_nudging = False
        self._is_closed = False

    def open(self) -> list[str]:
        """Take up the file, or make it; blocking, before anything else.

        A disk without room is no reason not to start: the inbox is degraded then.

        :returns: what someone should look at, a line each: a damaged file was set aside.
        :raises NewerFormatError: the file is from a later version; it was left as it is.
        :raises OSError: there is a file and it cannot be used, now or by this user.
        """
        opened = self._file.open()
        self._rows, self.last_number, self._last_rejected = opened.totals
        if opened.refused is not None:
            self._refuse(opened.refused)
        return list(opened.troubles)

    @property
    def depth(self) -> int:
        """How many callbacks are accepted and not settled."""
        leaving = len(self._settled) + len(self._removing)
        return max(self._rows - leaving, 0) + len(self._unwritten)

    def accept(self, received_us: int, ids: Sequence[int]) -> Deferred[Callback]:
        """Take a callback.

        :param received_us: microseconds since the epoch.
        :param ids: distinct, int64.
        :returns: fires when it is on disk; or, when the disk refuses, in memory. Fails with
            :class:`InboxFullError` when there is no room in memory either, or none for more that
            wait while the disk does not answer, and with
            :class:`InboxClosedError` after :meth:`close`. Cancelling it changes nothing.
        :raises OverflowError: an id is no int64.
        """
        if not (isinstance(ids, array) and ids.typecode == "q"):
            ids = array("q", ids)
        if self._is_closed:
            return fail(InboxClosedError("the inbox is closed"))
        if self._commit.is_full:
            self.refused += 1
            waiting = self._commit.waiting
            return fail(InboxFullError(f"the disk does not answer, and {waiting} callbacks wait"))
        self.last_number += 1
        callback = Callback(self.last_number, received_us, ids)
        return self._commit.submit(callback, size_of(callback))

    def reject(self, received_us: int, reason: str, body: bytes) -> Deferred[None]:
        """Keep a body that was no callback, for someone to look at.

        :param body: its first 64 KiB are kept; of all rejected ones, the newest 10,000.
        :returns: fires when it is on disk, or when the disk refused it.
        """
        if self._is_closed:
            return fail(InboxClosedError("the inbox is closed"))
        if self._commit.is_full:
            self.rejected_lost += 1
            return succeed(None)
        self._last_rejected += 1
        kept = Rejected(self._last_rejected, received_us, reason, body[:BODY_BYTES])
        return self._commit.submit(kept, len(kept.body))

    def settle(self, numbers: Iterable[int]) -> None:
        """Let callbacks go that were worked on to the end.

        They count no more from now on, and leave the disk with one of the next commits. One that
        is not there any more changes nothing, but the depth may be short by it until that commit.
        """
        for number in set(numbers):
            if not self._unwritten.remove(number) and number not in self._removing:
                self._settled.add(number)
        if self._settled:
            self._arm(SETTLE_DELAY_S)

    def load(self, after: int, limit: int, mentions: int) -> Deferred[list[Callback]]:
        """Give unsettled callbacks with greater numbers than ``after``, in order.

        :param limit: how many at most.
        :param mentions: how many ids they may have together; the first comes in any case.
        :returns: they; empty when there are none. Fails with :class:`RefusedError` when the disk
            cannot be read now.
        """
        return Deferred.fromCoroutine(self._load(after, limit, mentions))

    def page_of_rejected(
        self, before: int | None, limit: int, size_bytes: int
    ) -> Deferred[RejectedPage]:
        """Give rejected bodies, the newest first.

        :param before: only such with a smaller number.
        :param limit: how many at most.
        :param size_bytes: how large they may be together; the first comes in any case.
        :returns: they. Fails with :class:`RefusedError` when the disk cannot be read now.
        """
        page = self._read(self._file.page_of_rejected, before, limit, size_bytes)
        return Deferred.fromCoroutine(page)

    def oldest_received_us(self) -> Deferred[int | None]:
        """Give when the unsettled callback with the smallest number was received.

        :returns: microseconds since the epoch; None when there is none. Fails as :meth:`load`.
        """
        return self.load(0, 1, 0).addCallback(_received_us)

    def close(self) -> Deferred[None]:
        """Take nothing more, commit what waits, and close the file.

        What the disk does not take by then is lost, and logged.
        """
        return Deferred.fromCoroutine(self._close())

    # --- for the group commit (see ``Committer``)

    def begin(self, items: Sequence[Item]) -> Batch:
        """Gather what the next transaction does."""
        removing = min(len(self._settled), _SETTLED_AT_ONCE)
        settled = sorted(self._settled.pop() for _ in range(removing))
        self._removing = frozenset(settled)
        rewritten: list[Callback] = []
        if NUDGE in items:
            rewritten = self._unwritten.first(self._rewritten_at_once, _REWRITTEN_MENTIONS)
        return Batch(items, rewritten, work_of(items, rewritten, settled))

    def store(self, batch: Batch) -> int:
        """Carry it out; in the thread."""
        return self._file.write(batch.work)

    def end(self, batch: Batch, outcome: int | Exception) -> list[Callback | Exception | None]:
        """Conclude it; what is not on disk now is in memory."""
        removing, self._removing = self._removing, frozenset()
        if isinstance(outcome, Exception):
            self._settled |= removing
            if isinstance(outcome, DamagedError):
                self._take_damage(outcome)
            results = [self._keep(item) for item in batch.items]
            self._refuse(str(outcome) or repr(outcome))
            return results
        self._has_failed = False
        self._rows = outcome
        for callback in batch.rewritten:
            if not self._unwritten.remove(callback.number):
                self._settled.add(callback.number)  # settled while it was written
        if NUDGE in batch.items:
            self._rewritten_at_once = min(4 * self._rewritten_at_once, _REWRITTEN_AT_ONCE)
            if not self._unwritten:
                self._refusal = None
                self._is_full = False
                self._tell()
        return [item if isinstance(item, Callback) else None for item in batch.items]

    # --- when the disk refuses

    def _keep(self, item: Item) -> Callback | Exception | None:
        """Keep in memory what the disk did not take; gives the item's result."""
        if isinstance(item, Callback):
            if self._unwritten.add(item):
                return item
            self.refused += 1
            self._is_full = True
            return InboxFullError(
                f"the disk refuses, and {len(self._unwritten)} callbacks are in memory already"
            )
        if isinstance(item, Rejected):
            self.rejected_lost += 1
        return None

    def _refuse(self, why: str) -> None:
        """Note that the disk took nothing, and try again later."""
        self._has_failed = True
        # Where there is little room, one at a time goes where many do not.
        self._rewritten_at_once = 1
        self._refusal = f"new callbacks are in memory only, and bodies rejected are not kept: {why}"
        if self._is_full:
            self._refusal = f"callbacks are refused, since the memory for them is full: {why}"
        self._tell()
        self._arm(RETRY_S)

    def _take_damage(self, error: DamagedError) -> None:
        """Begin anew, and not forget it: what waited in the file is missing."""
        self._rows = 0
        self._settled.clear()
        self._damage = f"callbacks are missing: {error}"
        self._tell()

    def _tell(self) -> None:
        """Say how things are, if that has changed."""
        why = "; ".join(filter(None, (self._damage, self._spoiled, self._refusal))) or None
        if why != self._told:
            self._told = why
            self._on_trouble(why)

    # --- commits of what waits

    def _arm(self, delay_s: float) -> None:
        """Have what waits committed after a while, unless that is going to happen anyway."""
        if self._timer is None and not self._is_nudging and not self._is_closed:
            delay_s = RETRY_S if self._has_failed else delay_s
            self._timer = self._clock.callLater(delay_s, self._nudge)

    def _nudge(self) -> None:
        self._timer = None
        if self._settled or self._refusal is not None:
            self._is_nudging = True
            self._commit.submit(NUDGE).addBoth(self._nudged)

    def _nudged(self, result: Failure | None) -> None:
        self._is_nudging = False
        self._has_failed |= isinstance(result, Failure)  # a bug, and logged
        if self._settled or self._refusal is not None:
            self._arm(0)

    async def _close(self) -> None:
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline_s = self._clock.seconds() + CLOSE_S
        await self._commit.flush()
        while self._settled or self._unwritten:
            await self._commit.submit(NUDGE)
            if self._has_failed or self._clock.seconds() >= deadline_s:
                break
        if self._unwritten:
            self.log.critical(
                "{count} callbacks were in memory only, and are lost: {why}",
                count=len(self._unwritten),
                why=self._told,
            )
        await self._in_thread(self._file.close)

    # --- reading

    async def _load(self, after: int, limit: int, mentions: int) -> list[Callback]:
        while True:
            while after + 1 in self._settled or after + 1 in self._removing:
                after += 1
            page = CallbackPage([], [], None)
            if self._rows:
                page = await self._read(self._file.load, after, limit, mentions)
            self._set_aside(page.damaged)
            # What is in memory now was not on disk when the disk was read, and nothing else was
            # not: both are told in the same order.
            through = page.through
            unsettled = [
                callback
                for callback in page.callbacks
                if callback.number not in self._settled and callback.number not in self._removing
            ]
            if in_memory := self._unwritten.between(after, through):
                unsettled = sorted(unsettled + in_memory)
            if unsettled or through is None:
                return cut(unsettled, limit, mentions)
            after = through

    def _set_aside(self, damaged: Sequence[Damaged]) -> None:
        """Move callbacks that cannot be read to the rejected ones, so that work goes on.

        One that the disk does not move now is met again by the next start, if not before.
        """
        for number, received_us, content in damaged:
            if number in self._aside or number in self._settled or number in self._removing:
                continue
            if self._is_closed:
                return
            self.log.error("callback {number} is damaged: it is set aside", number=number)
            self._spoiled = "callbacks are missing: damaged ones were moved to the rejected"
            self._tell()
            self._last_rejected += 1
            reason = f"callback {number} was accepted, and was damaged in the inbox"
            kept = Rejected(self._last_rejected, received_us, reason, content[:BODY_BYTES])
            self._aside.add(number)
            self._commit.submit(Aside(number, kept)).addBoth(self._was_aside, number)

    def _was_aside(self, _: object, number: int) -> None:
        self._aside.discard(number)

    async def _read(self, read: Callable[..., Any], *args: Any) -> Any:
        try:
            return await self._in_thread(read, *args)
        except DamagedError as error:
            self._take_damage(error)
            raise RefusedError(str(error)) from error


def _received_us(page: list[Callback]) -> int | None:
    return page[0].received_us if page else None
