"""Pauses, and the end of all of them."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from daemon.objectsource.pauses import Pauses, StoppingError


class PausesTests(SynchronousTestCase):
    """Pauses on a clock in the test's hand."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.pauses = Pauses(self.clock)

    def test_a_pause_is_over_after_its_time(self) -> None:
        pause = self.pauses.wait(2.0)
        self.clock.advance(1.9)
        self.assertNoResult(pause)
        self.clock.advance(0.1)
        self.assertIsNone(self.successResultOf(pause))
        self.assertEqual(len(self.pauses), 0)

    def test_a_pause_without_a_time_is_never_over(self) -> None:
        pause = self.pauses.wait(None)
        self.clock.advance(1e9)
        self.assertNoResult(pause)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_pause_that_is_cancelled_leaves_nothing(self) -> None:
        for pause in (self.pauses.wait(2.0), self.pauses.wait(None)):
            pause.cancel()
            self.failureResultOf(pause, CancelledError)
        self.assertEqual(len(self.pauses), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_end_is_the_end_of_all_and_nothing_begins_after_it(self) -> None:
        pauses = [self.pauses.wait(seconds) for seconds in (1.0, 2.0, None)]
        self.pauses.end()
        for pause in (*pauses, self.pauses.wait(1.0), self.pauses.wait(None)):
            self.failureResultOf(pause, StoppingError)
        self.assertEqual(len(self.pauses), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_is_ended_may_cancel_others(self) -> None:
        pauses: list[Deferred[None]] = [self.pauses.wait(1.0) for _ in range(3)]

        def cancel_the_rest(_: object) -> None:
            for pause in pauses[1:]:
                pause.cancel()

        pauses[0].addErrback(cancel_the_rest)
        self.pauses.end()
        self.successResultOf(pauses[0])
        for pause in pauses[1:]:
            self.failureResultOf(pause, CancelledError)
