"""Group commit: who shares a trip to the disk, and who hears what of it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase

from daemon.storage.commit import WAITER_BYTES, GroupCommit


class AccidentError(Exception):
    """Something that should not happen."""


class Ledger:
    """Stores numbers. The result of each is how many were stored with it."""

    def __init__(self) -> None:
        self.begun: list[list[int]] = []
        self.stored: list[list[int]] = []
        self.fault: dict[str, Exception] = {}
        self.results_short = 0
        self.threads: set[int] = set()

    def begin(self, items: Sequence[int]) -> list[int]:
        self.raise_for("begin")
        self.begun.append(list(items))
        return list(items)

    def store(self, batch: list[int]) -> int:
        self.threads.add(threading.get_ident())
        self.raise_for("store")
        self.stored.append(batch)
        return len(batch)

    def end(self, batch: list[int], outcome: int | Exception) -> list[int | Exception]:
        self.raise_for("end")
        if isinstance(outcome, Exception):
            return [type(outcome)(f"{item} is not stored") for item in batch]
        return [outcome] * (len(batch) - self.results_short)

    def raise_for(self, step: str) -> None:
        if step in self.fault:
            raise self.fault.pop(step)


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


class CommitTests(SynchronousTestCase):
    """Group commit with a thread that runs when the test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = Threads()
        self.ledger = Ledger()
        self.commit: GroupCommit[int, int] = GroupCommit(self.clock, self.threads.run, self.ledger)

    def turn(self) -> None:
        """End the turn of the reactor."""
        self.clock.advance(0)

    def test_all_of_one_turn_of_the_reactor_share_a_commit(self) -> None:
        settled = [self.commit.submit(item) for item in range(3)]
        self.assertEqual(self.threads.work, [])
        self.turn()
        self.threads.finish()
        self.assertEqual([self.successResultOf(result) for result in settled], [3, 3, 3])
        self.assertEqual(self.ledger.stored, [[0, 1, 2]])

    def test_nothing_is_settled_before_it_is_stored(self) -> None:
        settled = self.commit.submit(1)
        self.turn()
        self.assertNoResult(settled)

    def test_all_that_comes_during_a_commit_shares_the_next(self) -> None:
        self.commit.submit(1)
        self.turn()
        late = [self.commit.submit(item) for item in (2, 3)]
        self.turn()
        self.assertEqual(len(self.threads.work), 1)
        self.threads.finish()
        for result in late:
            self.assertNoResult(result)
        self.threads.finish()
        self.assertEqual([self.successResultOf(result) for result in late], [2, 2])
        self.assertEqual(self.ledger.stored, [[1], [2, 3]])

    def test_the_next_commit_is_on_its_way_before_results_are_given_out(self) -> None:
        under_way: list[int] = []
        first = self.commit.submit(1)
        first.addCallback(lambda _: under_way.append(len(self.threads.work)))
        self.turn()
        self.commit.submit(2)
        self.threads.finish()
        self.assertEqual(under_way, [1])

    def test_a_batch_begins_when_the_one_before_has_ended(self) -> None:
        self.commit.submit(1)
        self.turn()
        self.commit.submit(2)
        self.assertEqual(self.ledger.begun, [[1]])
        self.threads.finish()
        self.assertEqual(self.ledger.begun, [[1], [2]])

    def test_what_is_submitted_on_a_result_goes_with_a_later_batch(self) -> None:
        again: list[Deferred[int]] = []
        self.commit.submit(1).addCallback(lambda _: again.append(self.commit.submit(2)))
        self.turn()
        self.threads.finish()
        self.turn()
        self.threads.finish()
        self.successResultOf(again[0])
        self.assertEqual(self.ledger.stored, [[1], [2]])

    def test_it_works_on_after_having_been_idle(self) -> None:
        for item in range(3):
            settled = self.commit.submit(item)
            self.turn()
            self.threads.finish()
            self.successResultOf(settled)
        self.assertEqual(self.ledger.stored, [[0], [1], [2]])

    def test_each_hears_of_a_failed_store_by_an_exception_of_its_own(self) -> None:
        self.ledger.fault["store"] = OSError("no room")
        settled = [self.commit.submit(item) for item in (1, 2)]
        late = self.commit.submit(3)
        self.turn()
        self.threads.finish()
        errors = [str(self.failureResultOf(result, OSError).value) for result in settled]
        self.assertEqual(errors, ["1 is not stored", "2 is not stored"])
        self.failureResultOf(late, OSError)
        self.works()

    def test_a_bug_at_the_beginning_fails_its_batch_only(self) -> None:
        self.ledger.fault["begin"] = AccidentError()
        settled = [self.commit.submit(item) for item in (1, 2)]
        self.turn()
        self.turn()
        for result in settled:
            self.failureResultOf(result, AccidentError)
        self.assertEqual(len(self.flushLoggedErrors(AccidentError)), 1)
        self.works()

    def test_a_bug_at_the_beginning_does_not_keep_those_waiting_who_came_after(self) -> None:
        first = self.commit.submit(1)
        self.turn()
        self.ledger.fault["begin"] = AccidentError()
        second = self.commit.submit(2)
        self.threads.finish()
        third = self.commit.submit(3)
        self.successResultOf(first)
        self.turn()
        self.failureResultOf(second, AccidentError)
        self.threads.finish()
        self.successResultOf(third)
        self.flushLoggedErrors(AccidentError)

    def test_a_bug_at_the_end_fails_its_batch_only(self) -> None:
        self.ledger.fault["end"] = AccidentError()
        settled = self.commit.submit(1)
        self.turn()
        self.threads.finish()
        self.failureResultOf(settled, AccidentError)
        self.assertEqual(len(self.flushLoggedErrors(AccidentError)), 1)
        self.works()

    def test_too_few_results_are_a_bug_and_leave_nobody_waiting(self) -> None:
        self.ledger.results_short = 1
        settled = [self.commit.submit(item) for item in (1, 2)]
        self.turn()
        self.threads.finish()
        for result in settled:
            self.failureResultOf(result, RuntimeError)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.ledger.results_short = 0
        self.works()

    def test_a_thread_that_takes_no_work_is_a_failed_store(self) -> None:
        def no_thread(*_: Any) -> Deferred[Any]:
            raise OSError("can't start new thread")

        commit: GroupCommit[int, int] = GroupCommit(self.clock, no_thread, self.ledger)
        for item in range(2):
            settled = commit.submit(item)
            self.turn()
            self.failureResultOf(settled, OSError)

    def test_a_bug_in_a_callback_harms_nobody_else(self) -> None:
        first, second = self.commit.submit(1), self.commit.submit(2)
        first.addCallback(lambda _: 1 // 0)
        self.turn()
        self.threads.finish()
        self.successResultOf(second)
        self.failureResultOf(first, ZeroDivisionError)
        self.works()

    def test_cancelling_changes_nothing_for_the_item(self) -> None:
        waiting, under_way = self.commit.submit(1), self.commit.submit(2)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.turn()
        under_way.cancel()
        self.failureResultOf(under_way, CancelledError)
        self.threads.finish()
        self.assertEqual(self.ledger.stored, [[1, 2]])
        self.works()

    def test_nothing_is_logged_for_those_who_cancelled(self) -> None:
        self.ledger.fault["store"] = OSError("no room")
        self.commit.submit(1).addErrback(lambda failure: failure.trap(CancelledError)).cancel()
        self.turn()
        self.threads.finish()
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_it_knows_how_many_wait(self) -> None:
        self.assertEqual(self.commit.waiting, 0)
        self.commit.submit(1)
        self.assertEqual(self.commit.waiting, 1)
        self.turn()
        self.commit.submit(2)
        self.assertEqual(self.commit.waiting, 2)
        self.threads.finish()
        self.assertEqual(self.commit.waiting, 1)
        self.threads.finish()
        self.assertEqual(self.commit.waiting, 0)

    def test_it_is_full_when_what_waits_and_what_is_under_way_take_too_much(self) -> None:
        self.commit = GroupCommit(
            self.clock, self.threads.run, self.ledger, memory_bytes=3 * WAITER_BYTES + 10
        )
        self.commit.submit(1, 10)
        self.turn()
        self.commit.submit(2)
        self.assertFalse(self.commit.is_full)
        self.commit.submit(3)
        self.assertTrue(self.commit.is_full)
        self.threads.finish()
        self.assertFalse(self.commit.is_full)
        self.commit.submit(4, 1_000_000)
        self.threads.finish()
        self.assertTrue(self.commit.is_full)
        self.threads.finish()
        self.assertFalse(self.commit.is_full)

    def test_what_is_submitted_to_one_that_is_full_is_committed_all_the_same(self) -> None:
        self.commit.submit(1, 1 << 30)
        self.turn()
        self.assertTrue(self.commit.is_full)
        settled = self.commit.submit(2)
        self.threads.finish()
        self.threads.finish()
        self.successResultOf(settled)
        self.assertFalse(self.commit.is_full)

    def test_those_who_cancelled_make_no_room(self) -> None:
        self.commit.submit(1, 1 << 30).addErrback(lambda failure: failure.trap(CancelledError))
        self.commit.submit(2, 1 << 30).addErrback(
            lambda failure: failure.trap(CancelledError)
        ).cancel()
        self.turn()
        self.assertTrue(self.commit.is_full)
        self.threads.finish()
        self.assertFalse(self.commit.is_full)

    def test_a_flush_of_nothing_is_done(self) -> None:
        self.successResultOf(self.commit.flush())

    def test_a_flush_ends_when_everything_before_it_is_settled(self) -> None:
        self.commit.submit(1)
        waiting_flush = self.commit.flush()
        self.turn()
        first_flush = self.commit.flush()
        second = self.commit.submit(2)
        second_flush = self.commit.flush()
        second.addCallback(lambda _: self.assertNoResult(second_flush))
        self.threads.finish()
        self.successResultOf(waiting_flush)
        self.successResultOf(first_flush)
        self.assertNoResult(second_flush)
        self.threads.finish()
        self.successResultOf(second)
        self.successResultOf(second_flush)

    def test_a_flush_does_not_wait_for_what_comes_after_it(self) -> None:
        self.commit.submit(1)
        self.turn()
        flushed = self.commit.flush()
        self.commit.submit(2)
        self.threads.finish()
        self.successResultOf(flushed)

    def test_a_flush_ends_well_when_what_it_waits_for_fails(self) -> None:
        self.ledger.fault["store"] = OSError("no room")
        settled, flushed = self.commit.submit(1), self.commit.flush()
        self.turn()
        self.threads.finish()
        self.failureResultOf(settled, OSError)
        self.successResultOf(flushed)

    def works(self) -> None:
        """Check that the next item is stored."""
        settled = self.commit.submit(99)
        self.turn()
        self.threads.finish()
        self.successResultOf(settled)
        self.assertEqual(self.ledger.stored[-1], [99])


@pytest_twisted.ensureDeferred
async def test_with_real_threads_every_item_is_stored_once_and_in_order():
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    pool = ThreadPool(minthreads=0, maxthreads=1)
    pool.start()
    ledger = Ledger()

    def in_thread(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return deferToThreadPool(reactor, pool, function, *args)

    commit: GroupCommit[int, int] = GroupCommit(reactor, in_thread, ledger)

    async def client(number: int) -> None:
        for item in range(20):
            assert await commit.submit(100 * number + item) >= 1

    try:
        await gatherResults([Deferred.fromCoroutine(client(number)) for number in range(5)])
        assert commit.waiting == 0
    finally:
        pool.stop()
    stored = [item for batch in ledger.stored for item in batch]
    assert sorted(stored) == [100 * number + item for number in range(5) for item in range(20)]
    for number in range(5):
        mine = [item for item in stored if item // 100 == number]
        assert mine == sorted(mine)
    assert threading.get_ident() not in ledger.threads
