"""Batches made of many reads and clients."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from daemon.numbers.intake import SMALL_BLOCK, Intake
from tests.numbers.test_wire import regular_prefix, spoiled_blocks


def test_a_batch_holds_what_was_added_and_who_sent_it():
    intake: Intake[str] = Intake()
    assert intake.add(b"000000001\n0000", "a") == 10
    assert intake.add(b"000000002\n000000001\n", "b") == 20
    assert intake.add(b"x", "c") == 0
    assert intake.count == 3
    batch = intake.take()
    assert sorted(batch.numbers.tolist()) == [1, 1, 2]
    assert batch.senders == {"a", "b"}


def test_after_a_batch_it_is_empty():
    intake: Intake[str] = Intake()
    intake.add(b"000000001\n", "a")
    intake.take()
    assert intake.count == 0
    intake.add(b"000000002\n", "b")
    batch = intake.take()
    assert batch.numbers.tolist() == [2]
    assert batch.senders == {"b"}


@given(st.lists(st.tuples(spoiled_blocks(), st.integers(0, 600)), min_size=1, max_size=6))
def test_small_and_large_blocks_are_read_alike(cases):
    intake: Intake[int] = Intake()
    expected: Counter[int] = Counter([5])
    intake.add(b"000000005\n", -1)
    for sender, (spoiled, repeats) in enumerate(cases):
        block = b"123456789\n" * repeats + spoiled
        regular = regular_prefix(block)
        assert intake.add(block, sender) == len(regular)
        expected.update(int(line) for line in regular.split())
    assert intake.count == expected.total()
    assert Counter(intake.take().numbers.tolist()) == expected
    assert SMALL_BLOCK < 6000  # so both kinds come up
