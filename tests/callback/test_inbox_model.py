"""The inbox against a dictionary, with a disk that fills up and processes that are killed."""

from __future__ import annotations

import shutil
import tempfile
from array import array
from contextlib import ExitStack
from itertools import takewhile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.callback.inboxes import PLENTY, Bench, after_a_kill, shown
from tests.storage.columns import full_disk

IDS = st.lists(st.integers(-(1 << 63), (1 << 63) - 1), max_size=4, unique=True)
TIMES = st.integers(0, 1 << 60)


class Comparison(RuleBasedStateMachine):
    """Does the same to an inbox and to a dictionary.

    ``callbacks`` has what is accepted and not settled; ``durable`` the numbers that a kill must
    leave; ``settled`` those that it may leave all the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp())
        self.path = self.place / "0" / "inbox"
        self.path.parent.mkdir()
        self.kills = 0
        self.bench = Bench(self.path)
        self.full = ExitStack()
        self.is_full = False
        self.callbacks: dict[int, tuple[int, list[int]]] = {}
        self.durable: set[int] = set()
        self.settled: set[int] = set()
        self.rejected: list[str] = []
        self.last_number = 0

    def teardown(self) -> None:
        self.full.close()
        self.bench.close()
        shutil.rmtree(self.place)

    @rule(given=st.lists(st.tuples(TIMES, IDS), min_size=1, max_size=5))
    def accept(self, given: list[tuple[int, list[int]]]) -> None:
        answers = [self.bench.inbox.accept(at, array("q", ids)) for at, ids in given]
        for answer, (at, ids) in zip(answers, given, strict=True):
            self.last_number += 1
            callback = self.bench.done(answer)
            assert shown([callback]) == [(self.last_number, at, ids)]
            self.callbacks[self.last_number] = at, ids
            if not self.is_full:
                self.durable.add(self.last_number)

    @rule(reason=st.text(max_size=3), body=st.binary(max_size=3))
    def reject(self, reason: str, body: bytes) -> None:
        self.bench.reject(reason, body)
        if not self.is_full:
            self.rejected.append(reason)

    @precondition(lambda self: self.callbacks)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        numbers = data.draw(st.lists(st.sampled_from(sorted(self.callbacks)), max_size=9))
        self.bench.inbox.settle(numbers)
        for number in numbers:
            self.callbacks.pop(number, None)
            self.durable.discard(number)
            self.settled.add(number)

    @rule(seconds=st.sampled_from([0.05, 0.1, 1]))
    def wait(self, seconds: float) -> None:
        self.bench.pass_time(seconds)
        if seconds == 1 and not self.is_full:
            self.durable |= set(self.callbacks)
            self.settled.clear()
            assert self.bench.says is None

    @rule(after=st.integers(0, 40), limit=st.integers(1, 6), mentions=st.integers(0, 12))
    def load(self, after: int, limit: int, mentions: int) -> None:
        later = sorted(number for number in self.callbacks if number > after)[:limit]
        sums = {
            number: sum(len(self.callbacks[each][1]) for each in later[: place + 1])
            for place, number in enumerate(later)
        }
        expected = list(
            takewhile(lambda number: number == later[0] or sums[number] <= mentions, later)
        )
        loaded = self.bench.done(self.bench.inbox.load(after, limit, mentions))
        # Fewer come where others that were read are settled; none only when there are none.
        assert bool(loaded) == bool(expected)
        wanted = [(number, *self.callbacks[number]) for number in expected[: len(loaded)]]
        assert shown(loaded) == wanted

    @rule(before=st.none() | st.integers(1, 9), limit=st.integers(1, 4))
    def look_at_rejected(self, before: int | None, limit: int) -> None:
        page = self.bench.done(self.bench.inbox.page_of_rejected(before, limit, PLENTY)).rows
        numbers = [each.number for each in page]
        assert numbers == sorted(numbers, reverse=True)
        assert all(before is None or number < before for number in numbers)
        if before is None:
            assert [each.reason for each in page] == self.rejected[::-1][:limit]

    @precondition(lambda self: not self.is_full)
    @rule()
    def fill_disk(self) -> None:
        self.full.enter_context(full_disk())
        self.is_full = True

    @precondition(lambda self: self.is_full)
    @rule()
    def free_disk(self) -> None:
        self.full.close()
        self.is_full = False

    @rule()
    def restart(self) -> None:
        self.bench.close()
        self.take_up(self.callbacks if not self.is_full else None)

    @precondition(lambda self: not self.is_full)
    @rule()
    def kill(self) -> None:
        self.kills += 1
        later = self.place / str(self.kills) / "inbox"
        after_a_kill(self.path, later.parent).close()
        self.bench.close()
        self.path = later
        self.take_up(None)

    def take_up(self, expected: dict[int, tuple[int, list[int]]] | None) -> None:
        """Start anew; expected is None when what is not durable may be missing."""
        self.bench = Bench(self.path)
        assert self.bench.troubles == []
        loaded = self.bench.done(self.bench.inbox.load(0, 1 << 40, 1 << 40))
        found = {number: (at, ids) for number, at, ids in shown(loaded)}
        if expected is not None:
            assert found == expected
        assert self.durable <= found.keys() <= self.durable | self.settled | self.callbacks.keys()
        for number in self.durable:
            assert found[number] == self.callbacks[number]
        self.callbacks = found
        self.durable = set(found)
        self.settled.clear()
        assert self.bench.inbox.last_number == max(found, default=0)
        self.last_number = self.bench.inbox.last_number

    @invariant()
    def its_depth_and_its_oldest_are_right(self) -> None:
        inbox = self.bench.inbox
        assert inbox.depth == len(self.callbacks)
        assert inbox.last_number == self.last_number
        oldest = self.callbacks[min(self.callbacks)][0] if self.callbacks else None
        assert self.bench.done(inbox.oldest_received_us()) == oldest


TestInboxIsADictionary = Comparison.TestCase
TestInboxIsADictionary.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
