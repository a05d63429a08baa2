"""Records what was received, a batch at a time, in a thread beside the reactor.

The ledger and the log go with the batch: while it is under way only its thread touches them, and
the next one starts when it has come back. So there are no locks, and whatever arrives meanwhile
makes up the next batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from daemon.numbers import wire
from daemon.numbers.intake import Batch, Intake, Sender
from daemon.numbers.ledger import Ledger
from daemon.numbers.log import NumberLog

PIECE: Final = 1 << 15
"""Numbers in one vectorised step: few enough for its arrays to stay in the processor's cache."""

EAGER: Final = 1 << 15
"""This many numbers waiting are worth a batch at once."""

FULL: Final = 1 << 19
"""At this many numbers waiting (2 MB) the clients have to wait as well."""

LINGER_S: Final = 0.03
"""How long fewer numbers wait for company. A number must be in the file within 0.1 s."""


@dataclass(frozen=True)
class Outcome:
    """What became of a batch.

    :ivar unique: numbers that were new and are in the log.
    :ivar duplicates: numbers that the log had already.
    :ivar error: what stopped the batch before its end; the rest of it is lost.
    """

    unique: int
    duplicates: int
    error: Exception | None = None


def record(ledger: Ledger, log: NumberLog, numbers: wire.Numbers) -> Outcome:
    """Put new numbers into the log, then into the ledger: what is counted is in the file.

    :param numbers: any numbers, in any order; the array is sorted in pieces.
    """
    unique = duplicates = 0
    for start in range(0, len(numbers), PIECE):
        piece = numbers[start : start + PIECE]
        try:
            unseen = ledger.unseen(piece)
            log.append(wire.log_lines(unseen))
            ledger.add(unseen)
        except (OSError, MemoryError) as error:
            return Outcome(unique, duplicates, error)
        unique += len(unseen)
        duplicates += len(piece) - len(unseen)
    return Outcome(unique, duplicates)


class Recorder(Generic[Sender]):
    """Takes blocks of lines, and sees to it that they are recorded soon.

    :param clock: schedules.
    :param in_thread: runs a function in a thread and gives its result as a Deferred.
    :param ledger: what was seen; belongs to the recorder from now on.
    :param log: the open log; likewise.
    :param on_outcome: told of each batch that came back, and who sent it.
    :param on_full: told True when senders must wait, False when they may go on.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        in_thread: Callable[..., Deferred[Any]],
        ledger: Ledger,
        log: NumberLog,
        *,
        on_outcome: Callable[[Outcome, frozenset[Sender]], None],
        on_full: Callable[[bool], None],
    ) -> None:
        self._clock = clock
        self._in_thread = in_thread
        self._ledger = ledger
        self._number_log = log
        self._on_outcome = on_outcome
        self._on_full = on_full
        self._intake: Intake[Sender] = Intake()
        self._under_way: Batch[Sender] | None = None
        self._linger: IDelayedCall | None = None
        self._idle_waiters: list[Deferred[None]] = []
        self.full = False

    @property
    def unrecorded(self) -> int:
        """How many numbers were received and are not in the log yet."""
        under_way = len(self._under_way.numbers) if self._under_way else 0
        return self._intake.count + under_way

    def receive(self, block: bytes, sender: Sender) -> int:
        """Take the regular lines at the start of a block.

        :returns: how many bytes of the block were taken.
        """
        taken = self._intake.add(block, sender)
        if not self._under_way:
            if self._intake.count >= EAGER:
                self._start()
            elif self._intake.count and self._linger is None:
                self._linger = self._clock.callLater(LINGER_S, self._start)
        if not self.full and self._intake.count >= FULL:
            self.full = True
            self._on_full(True)
        return taken

    def flush(self) -> Deferred[None]:
        """Record everything received so far at once; fires when that is done."""
        idle: Deferred[None] = Deferred()
        self._idle_waiters.append(idle)
        if not self._under_way:
            self._start()
        return idle

    def _start(self) -> None:
        """Send what waits on its way; if nothing does, tell those who wait for that."""
        if self._linger is not None:
            if self._linger.active():
                self._linger.cancel()
            self._linger = None
        if not self._intake.count:
            waiters, self._idle_waiters = self._idle_waiters, []
            for waiter in waiters:
                waiter.callback(None)
            return
        self._under_way = batch = self._intake.take()
        if self.full:
            self.full = False
            self._on_full(False)
        outcome = self._in_thread(record, self._ledger, self._number_log, batch.numbers)
        outcome.addErrback(self._failed)
        outcome.addCallback(self._recorded, batch)

    def _failed(self, failure: Failure) -> Outcome:
        """A bug: as bad for the senders as a full disk."""
        self.log.failure("a batch was not recorded", failure)
        return Outcome(0, 0, RuntimeError(failure.getErrorMessage()))

    def _recorded(self, outcome: Outcome, batch: Batch[Sender]) -> None:
        self._under_way = None
        try:
            self._on_outcome(outcome, batch.senders)
        finally:
            if self._idle_waiters or self._intake.count >= EAGER:
                self._start()
            elif self._intake.count:
                self._linger = self._clock.callLater(LINGER_S, self._start)
