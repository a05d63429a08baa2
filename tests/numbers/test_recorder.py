"""Batches on their way into the ledger and the log."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from daemon.numbers.ledger import Ledger
from daemon.numbers.log import NumberLog
from daemon.numbers.recorder import EAGER, FULL, LINGER_S, PIECE, Outcome, Recorder, record


class Log(NumberLog):
    """A log in memory that can be full."""

    def __init__(self) -> None:
        self.text = b""
        self.room = 1 << 40

    def append(self, buffers: Any) -> None:
        text = b"".join(buffer.tobytes() for buffer in buffers)
        if len(self.text) + len(text) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.text += text

    def values(self) -> list[int]:
        return [int(line) for line in self.text.split()]


class Threads:
    """Stands for the thread: work waits until it is told to run."""

    def __init__(self) -> None:
        self.work: list[tuple[Deferred[Any], Callable[[], Any]]] = []

    def run(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self.work.append((result, lambda: function(*args)))
        return result

    def finish(self) -> None:
        """Do what is under way, and give back its result or its exception."""
        waiting, function = self.work.pop(0)
        maybeDeferred(function).addBoth(waiting.callback)


def block(values: Any) -> bytes:
    return b"".join(b"%09d\n" % value for value in values)


class RecorderTests(SynchronousTestCase):
    """The recorder with a thread that runs when the test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = Threads()
        self.number_log = Log()
        self.outcomes: list[tuple[Outcome, frozenset[str]]] = []
        self.full: list[bool] = []
        self.recorder: Recorder[str] = Recorder(
            self.clock,
            self.threads.run,
            Ledger(),
            self.number_log,
            on_outcome=lambda outcome, senders: self.outcomes.append((outcome, senders)),
            on_full=self.full.append,
        )

    def test_a_lone_number_is_recorded_well_within_100_ms(self) -> None:
        self.recorder.receive(block([7]), "a")
        self.clock.advance(LINGER_S)
        self.threads.finish()
        self.assertEqual(self.number_log.text, b"7\n")
        self.assertEqual(self.outcomes, [(Outcome(1, 0), frozenset("a"))])
        self.assertLess(LINGER_S, 0.1)

    def test_numbers_of_many_reads_and_clients_share_a_batch(self) -> None:
        for sender in "abc":
            self.recorder.receive(block([1, 2]), sender)
        self.clock.advance(LINGER_S)
        self.threads.finish()
        self.assertEqual(self.outcomes, [(Outcome(2, 4), frozenset("abc"))])

    def test_many_numbers_do_not_linger(self) -> None:
        self.recorder.receive(block(range(EAGER)), "a")
        self.assertEqual(len(self.threads.work), 1)

    def test_one_batch_is_under_way_at_a_time(self) -> None:
        self.recorder.receive(block(range(EAGER)), "a")
        self.recorder.receive(block(range(EAGER)), "b")
        self.clock.advance(1)
        self.assertEqual(len(self.threads.work), 1)
        self.threads.finish()
        self.assertEqual(len(self.threads.work), 1)
        self.threads.finish()
        self.assertEqual(self.outcomes[1], (Outcome(0, EAGER), frozenset("b")))

    def test_what_comes_while_a_batch_is_under_way_lingers_after_it(self) -> None:
        self.recorder.receive(block(range(EAGER)), "a")
        self.recorder.receive(block([999]), "b")
        self.threads.finish()
        self.assertEqual(self.threads.work, [])
        self.clock.advance(LINGER_S)
        self.assertEqual(len(self.threads.work), 1)

    def test_senders_wait_while_too_much_waits(self) -> None:
        self.recorder.receive(block(range(EAGER)), "a")
        self.recorder.receive(block(range(FULL - 1)), "a")
        self.assertEqual(self.full, [])
        self.recorder.receive(block([1, 2]), "a")
        self.recorder.receive(block([3]), "a")
        self.assertEqual(self.full, [True])
        self.threads.finish()
        self.assertEqual(self.full, [True, False])
        self.threads.finish()
        self.assertEqual(self.number_log.values()[EAGER:], list(range(EAGER, FULL - 1)))

    def test_it_knows_how_much_is_unrecorded(self) -> None:
        self.recorder.receive(block(range(EAGER)), "a")
        self.recorder.receive(block([1]), "a")
        self.assertEqual(self.recorder.unrecorded, EAGER + 1)
        self.threads.finish()
        self.assertEqual(self.recorder.unrecorded, 1)

    def test_a_flush_ends_when_everything_is_recorded(self) -> None:
        self.recorder.receive(block(range(EAGER)), "a")
        self.recorder.receive(block([EAGER]), "a")
        flushed = self.recorder.flush()
        self.threads.finish()
        self.assertNoResult(flushed)
        self.threads.finish()
        self.successResultOf(flushed)
        self.assertEqual(self.number_log.values(), list(range(EAGER + 1)))

    def test_a_flush_does_not_wait_for_company(self) -> None:
        self.recorder.receive(block([1]), "a")
        flushed = self.recorder.flush()
        self.threads.finish()
        self.successResultOf(flushed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_flush_of_nothing_is_done(self) -> None:
        self.successResultOf(self.recorder.flush())

    def test_what_cannot_be_written_is_not_counted_and_can_come_again(self) -> None:
        self.number_log.room = 0
        self.recorder.receive(block([1]), "a")
        self.successResultOf(self._recorded())
        outcome, senders = self.outcomes.pop()
        self.assertEqual((outcome.unique, outcome.duplicates), (0, 0))
        self.assertIsInstance(outcome.error, OSError)
        self.assertEqual(senders, {"a"})
        self.number_log.room = 100
        self.recorder.receive(block([1]), "a")
        self.successResultOf(self._recorded())
        self.assertEqual(self.outcomes, [(Outcome(1, 0), frozenset("a"))])

    def test_a_bug_in_the_thread_is_logged_and_ends_nothing(self) -> None:
        self.recorder.receive(block([1]), "a")
        self.clock.advance(LINGER_S)
        waiting, _ = self.threads.work.pop()
        waiting.errback(MemoryError("out of memory"))
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)
        outcome, _ = self.outcomes.pop()
        self.assertIsNotNone(outcome.error)
        self.recorder.receive(block([1]), "a")
        self.successResultOf(self._recorded())
        self.assertEqual(self.number_log.text, b"1\n")

    def _recorded(self) -> Deferred[None]:
        flushed = self.recorder.flush()
        self.threads.finish()
        return flushed


def test_what_fits_before_the_disk_is_full_is_counted_exactly():
    log, ledger = Log(), Ledger()
    numbers = np.arange(2 * PIECE, dtype=np.uint32)
    log.room = len(block(range(PIECE)))
    outcome = record(ledger, log, numbers)
    assert outcome.unique == len(log.values()) == PIECE
    assert outcome.duplicates == 0
    assert outcome.error is not None


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5])
def test_pieces_of_any_size_are_recorded_whole(size):
    log, ledger = Log(), Ledger()
    values = np.random.default_rng(size).integers(0, 10**9, size, dtype=np.uint32)
    outcome = record(ledger, log, np.concatenate([values, values]))
    assert sorted(log.values()) == sorted(set(values.tolist()))
    assert outcome == Outcome(len(log.values()), 2 * size - len(log.values()))
