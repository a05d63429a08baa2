"""Group commit: whatever waits for the disk shares one trip to it.

A commit to disk costs about the same for one item as for a thousand. While one is under way, new
items gather, and are the next one; so the slower the disk, the larger the batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

MEMORY_BYTES: Final = 64 * 1024 * 1024
"""How much memory items may take that wait for a disk which does not answer."""

WAITER_BYTES: Final = 1024
"""What one takes whatever it is: whoever waits for it included, its connection not."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)
Batch = TypeVar("Batch")
Value = TypeVar("Value")


class Committer(Protocol[Item_contra, Batch, Value, Result_co]):
    """What is done with a batch. One batch is under way at a time."""

    def begin(self, items: Sequence[Item_contra], /) -> Batch:
        """Make a batch of items; in the reactor's thread, when the batch before it has ended."""

    def store(self, batch: Batch, /) -> Value:
        """Store a batch; in a thread, and blocking."""

    def end(self, batch: Batch, outcome: Value | Exception, /) -> Sequence[Result_co | Exception]:
        """Conclude a batch; in the reactor's thread.

        :param outcome: what ``store`` gave or raised.
        :returns: for each item, in their order, its result or why it has none. Items should not
            share an exception, since each raises its own.
        """


@dataclass(slots=True)
class _Gathering(Generic[Item, Result]):
    """Items that go together, and who waits for them."""

    items: list[Item] = field(default_factory=list)
    waiters: list[Deferred[Result]] = field(default_factory=list)
    flushes: list[Deferred[None]] = field(default_factory=list)
    size_bytes: int = 0


class GroupCommit(Generic[Item, Result]):
    """Takes items one by one and commits them in batches.

    The first item waits for the end of the reactor's turn, so that everything read in that turn
    shares its commit. The items that gathered during a commit do not wait: theirs starts before the
    results of the last one are given out, so that the disk works while replies are written.

    :param clock: schedules.
    :param in_thread: runs a function in a thread and gives its result as a Deferred.
    :param committer: does the work.
    :param memory_bytes: how much memory items may take that are not settled; see :attr:`is_full`.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        in_thread: Callable[..., Deferred[Any]],
        committer: Committer[Item, Any, Any, Result],
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._clock = clock
        self._in_thread = in_thread
        self._committer = committer
        self._memory_bytes = memory_bytes
        self._gathering: _Gathering[Item, Result] = _Gathering()
        self._under_way: _Gathering[Item, Result] = _Gathering()
        self._idle = True

    @property
    def waiting(self) -> int:
        """How many items were submitted and are not settled."""
        return len(self._gathering.items) + len(self._under_way.items)

    @property
    def is_full(self) -> bool:
        """Whether what others send should be refused.

        Connections are no bound: who went away waits no more, but what was sent does.
        """
        return self._gathering.size_bytes + self._under_way.size_bytes >= self._memory_bytes

    def submit(self, item: Item, size_bytes: int = 0) -> Deferred[Result]:
        """Commit an item with the next batch, full or not.

        :param size_bytes: what it takes in memory beyond :data:`WAITER_BYTES`.
        :returns: its result, or the exception that the committer gave for it. Cancelling it
            changes nothing for the item; only nobody hears of its result.
        """
        gathering = self._gathering
        settled: Deferred[Result] = Deferred()
        gathering.items.append(item)
        gathering.size_bytes += WAITER_BYTES + size_bytes
        gathering.waiters.append(settled)
        if self._idle:
            self._idle = False
            self._clock.callLater(0, self._start)
        return settled

    def flush(self) -> Deferred[None]:
        """Wait until everything submitted so far is settled, well or not."""
        last = self._gathering if self._gathering.items else self._under_way
        if not last.items:
            return succeed(None)
        flushed: Deferred[None] = Deferred()
        last.flushes.append(flushed)
        return flushed

    def _start(self) -> None:
        """Send what has gathered on its way."""
        under_way = self._under_way = self._gathering
        self._gathering = _Gathering()
        try:
            batch = self._committer.begin(under_way.items)
        except Exception as error:  # noqa: BLE001  # a bug must not end all later commits
            self.log.failure("a batch could not be begun")
            self._clock.callLater(0, self._settle, under_way, [error] * len(under_way.items))
            return
        stored = maybeDeferred(self._in_thread, self._committer.store, batch)
        stored.addErrback(_exception)
        stored.addCallback(self._end, batch, under_way)

    def _end(self, outcome: Any, batch: Any, under_way: _Gathering[Item, Result]) -> None:
        """Conclude a batch that has come back."""
        results: Sequence[Result | Exception]
        try:
            results = self._results(outcome, batch, len(under_way.items))
        except Exception as error:  # noqa: BLE001  # likewise
            self.log.failure("a batch could not be concluded")
            results = [error] * len(under_way.items)
        self._settle(under_way, results)

    def _results(self, outcome: Any, batch: Any, wanted: int) -> Sequence[Result | Exception]:
        results = self._committer.end(batch, outcome)
        if len(results) != wanted:
            raise RuntimeError(f"{len(results)} results for {wanted} items")
        return results

    def _settle(
        self, settled: _Gathering[Item, Result], results: Sequence[Result | Exception]
    ) -> None:
        """Start the next batch, then give out the results of this one."""
        self._under_way = _Gathering()
        if self._gathering.items:
            self._start()
        else:
            self._idle = True
        for waiter, result in zip(settled.waiters, results, strict=True):
            if isinstance(result, Exception):
                waiter.errback(result)
            else:
                waiter.callback(result)
        for flushed in settled.flushes:
            flushed.callback(None)


def _exception(failure: Failure) -> Exception:
    """Give the exception of a failure: committers need not know Twisted."""
    return failure.value  # type: ignore[return-value]  # thread pools give no other
