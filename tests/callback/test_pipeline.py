"""The way of a callback from the inbox to the database, with a real inbox."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs

from daemon.callback import pipeline
from daemon.callback.inbox import RefusedError
from daemon.callback.lookups import STRIKES, Lookups
from daemon.callback.pipeline import AT_ONCE, MENTIONS, SOURCE, TICK_S, Pipeline
from daemon.callback.storing import BATCH_S, Storing
from daemon.callback.verdict import Says
from daemon.http.client import (
    AnswerTooLargeError,
    ConnectionFailedError,
    DeadlineExceededError,
    MalformedAnswerError,
)
from daemon.metrics import Histogram
from tests.callback.inboxes import Bench
from tests.callback.scripts import ScriptedSource, ScriptedStore

START_US = 1_000_000_000_000_000
LIFESPAN_S = 30


class Works(Bench):
    """An inbox with all that stands behind it."""

    def __init__(self, path: Path, concurrency: int = 256) -> None:
        super().__init__(path)
        self.source = ScriptedSource()
        self.store = ScriptedStore()
        self.told: list[tuple[str, str | None]] = []
        lifespan_us = LIFESPAN_S * 1_000_000
        self.lookups = Lookups(lifespan_us, concurrency, lambda: 0.999)
        self.storing = Storing(
            self.clock,
            self.now,
            self.store,
            lifespan_us,
            settle=self._settle,
            waits=self.lookups.waits,
            tell=self._tell,
            upsert_time=Histogram([1]),
        )
        self.lookup_time = Histogram([1])
        self.pipeline = Pipeline(
            self.clock,
            self.now,
            self.inbox,
            self.source,
            self.lookups,
            store=self.storing.add,
            tell=self._tell,
            lookup_time=self.lookup_time,
        )

    def now(self) -> int:
        return START_US + round(self.clock.seconds() * 1e6)

    def start(self) -> Works:
        self.pipeline.start()
        self.clock.advance(0)
        return self

    def receive(self, *ids: int) -> None:
        """Accept a callback, and have it worked on."""
        self.pipeline.arrived(self.accept(*ids, at=self.now()))

    def stop(self) -> None:
        """End everything in good order."""
        self.done(Deferred.fromCoroutine(self.pipeline.stop()))
        self.done(self.storing.stop())
        self.close()

    def _settle(self, callbacks: Iterable[int]) -> None:
        self.pipeline.settle(callbacks)

    def _tell(self, part: str, why: str | None) -> None:
        self.told.append((part, why))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.sqlite"


@pytest.fixture
def works(path: Path) -> Works:
    return Works(path).start()


def test_online_objects_are_stored_with_the_time_of_receipt(works):
    works.receive(1, 2)
    assert works.source.asked == [1, 2]
    works.pass_time(1)
    works.source.answer(2)
    works.source.answer(1, online=False)
    works.pass_time(BATCH_S)
    assert works.store.rows == {2: START_US}


def test_a_callback_leaves_the_inbox_when_all_it_names_is_settled(works):
    works.receive(1, 2)
    works.source.answer(1, online=False)
    works.source.answer(2)
    assert works.inbox.depth == 1
    works.pass_time(BATCH_S)
    assert works.inbox.depth == 0
    works.pass_time(1)
    assert works.numbers() == []


def test_an_empty_callback_leaves_the_inbox_at_once(works):
    works.receive()
    assert works.inbox.depth == 0


def test_what_was_left_by_a_process_that_was_killed_is_worked_on(path):
    before = Works(path).start()
    before.receive(1)
    before.receive(2)
    before.source.answer(2)
    left = path.parent / "left by a kill"
    left.mkdir()
    for each in path.parent.glob(f"{path.name}*"):
        shutil.copy(each, left)
    after = Works(left / path.name).start()
    assert after.source.asked == [1, 2]


def test_what_was_left_by_a_stop_is_worked_on_and_what_was_done_is_not(path):
    before = Works(path).start()
    before.receive(1)
    before.receive(2)
    before.source.answer(2)
    before.pass_time(BATCH_S)
    before.stop()
    assert before.source.closed
    assert Works(path).start().source.asked == [1]


def test_old_callbacks_come_before_new_ones(path):
    before = Works(path).start()
    before.receive(1)
    before.stop()
    after = Works(path, concurrency=1).start()
    after.receive(2)
    assert after.source.asked == [1]
    after.source.answer(1)
    assert after.source.asked == [2]


def test_a_callback_of_the_future_lives_no_longer_than_others(path):
    before = Works(path).start()
    before.accept(1, at=START_US + 3600 * 1_000_000)
    before.stop()
    after = Works(path).start()
    after.source.answer(1)
    after.pass_time(BATCH_S)
    assert after.store.rows == {1: START_US}


def test_one_turn_of_the_reactor_begins_few_lookups_and_the_next_ones_the_rest(works):
    works.receive(*range(3 * AT_ONCE + 1))
    assert works.source.asked == [*range(AT_ONCE)]
    works.source.answer(0)
    assert works.source.asked == [*range(1, AT_ONCE)]
    works.pass_time(0)
    assert works.source.asked == [*range(1, 3 * AT_ONCE + 1)]


def test_a_stop_within_a_turn_leaves_nothing_behind(works):
    works.receive(*range(AT_ONCE + 1))
    works.stop()
    assert works.source.asked == []
    assert works.clock.getDelayedCalls() == []


def test_callbacks_whose_time_was_over_at_the_start_are_settled_without_a_lookup(path):
    before = Bench(path)
    before.accept(1, at=START_US - LIFESPAN_S * 1_000_000 - 1)
    before.accept(2, at=START_US - LIFESPAN_S * 1_000_000)
    before.close()
    works = Works(path).start()
    assert works.source.asked == [2]
    assert works.inbox.depth == 1
    assert works.lookups.expired == 1


def test_a_backlog_is_worked_through_in_pieces_and_new_callbacks_wait_behind_it(path, monkeypatch):
    most = MENTIONS // 10
    monkeypatch.setattr(pipeline, "MENTIONS", most)
    ids_each = most // 10
    before = Bench(path)
    for first in range(0, 20 * ids_each, ids_each):
        before.accept(*range(first, first + ids_each), at=START_US)
    before.close()
    works = Works(path, concurrency=10**9).start()
    works.receive(-1)
    assert works.lookups.mentions <= most
    assert -1 not in works.source.asked
    asked = 0
    while answered := works.source.answer_all(online=False):
        asked += answered
        works.pass_time(0)
        assert works.lookups.mentions <= most
    assert asked == 20 * ids_each + 1
    works.pass_time(1)
    assert works.inbox.depth == 0


@pytest.mark.parametrize("status", [404, 410, 400, 403])
def test_an_object_that_the_source_does_not_tell_of_is_settled(works, status):
    works.receive(1)
    with capturedLogs() as events:
        works.source.answer_status(1, status)
    assert works.inbox.depth == 0
    says = Says.UNKNOWN if status in (404, 410) else Says.REFUSED
    assert works.pipeline.outcomes[says] == 1
    assert len(events) == (says is Says.REFUSED)


def test_a_flood_of_refusals_does_not_flood_the_log(works):
    works.receive(*range(200))
    works.pass_time(0)
    with capturedLogs() as events:
        for object_id in range(200):
            works.source.answer_status(object_id, 403)
    assert 0 < len(events) < 20


@pytest.mark.parametrize(
    "error",
    [
        ConnectionFailedError("reset"),
        DeadlineExceededError("late"),
        AnswerTooLargeError("large"),
        MalformedAnswerError("garbage"),
    ],
)
def test_a_request_that_failed_is_made_again(works, error):
    works.receive(1)
    works.source.fail(1, error)
    assert works.source.asked == []
    works.pass_time(TICK_S)
    assert works.source.asked == [1]
    assert works.lookup_time.buckets[-1] == ("+Inf", 1)


def test_a_bug_in_a_request_is_logged_and_the_request_made_again(works):
    works.receive(1)
    with capturedLogs() as events:
        works.source.fail(1, RuntimeError("a bug"))
    assert [event["log_failure"].value.args for event in events] == [("a bug",)]
    works.pass_time(TICK_S)
    assert works.source.asked == [1]


def test_retries_go_on_until_the_lifespan_is_over(works):
    works.receive(1)
    tries = 0
    while works.clock.seconds() < LIFESPAN_S - 1:
        for object_id in works.source.asked:
            tries += 1
            works.source.answer_status(object_id, 500)
        works.pass_time(0.05)
    assert tries > 5
    assert works.inbox.depth == 1
    works.pass_time(10)
    for object_id in works.source.asked:
        works.source.answer_status(object_id, 500)
    assert works.inbox.depth == 0


def test_a_lookup_that_hangs_does_not_keep_a_callback_beyond_its_time(works):
    works.receive(1)
    for _ in range(LIFESPAN_S + 1):
        works.pass_time(1)
    assert works.inbox.depth == 0
    works.source.answer(1)
    works.pass_time(1)
    assert works.store.rows == {}


def test_a_source_that_is_down_is_told_and_so_is_its_return(works):
    ids = range(STRIKES + 10)
    works.receive(*ids)
    works.pass_time(0)
    for object_id in ids:
        works.source.fail(object_id, ConnectionFailedError("connection refused"))
    assert works.told == [(SOURCE, "the source cannot be asked: connection refused")]
    works.pass_time(TICK_S)
    works.source.answer(works.source.asked[0])
    assert works.told[-1] == (SOURCE, None)


def test_after_a_stop_nothing_is_asked_and_answers_change_nothing(works):
    works.receive(1)
    works.stop()
    works.pipeline.settle([1])
    works.clock.advance(60)
    assert works.source.asked == []
    assert works.store.rows == {}


def test_a_client_that_raises_keeps_nothing_from_going_on(works, monkeypatch):
    def broken(_):
        raise ValueError("a bug")

    with monkeypatch.context() as patch, capturedLogs() as events:
        patch.setattr(works.source, "get", broken)
        works.receive(1)
    assert [event["log_failure"].value.args for event in events] == [("a bug",)]
    works.pass_time(TICK_S)
    assert works.source.asked == [1]


@pytest.mark.parametrize("error", [RefusedError("the disk fails"), RuntimeError("a bug")])
def test_an_inbox_that_cannot_be_read_is_read_again(path, monkeypatch, error):
    before = Bench(path)
    before.accept(1, at=START_US)
    before.close()
    works = Works(path)
    with monkeypatch.context() as patch, capturedLogs() as events:
        patch.setattr(works.inbox, "load", lambda *_: fail(error))
        works.start()
    assert works.source.asked == []
    assert len(events) == isinstance(error, RuntimeError)
    works.pass_time(TICK_S)
    assert works.source.asked == [1]
