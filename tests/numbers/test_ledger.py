"""The ledger against a set."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from daemon.numbers.ledger import SIZE, Ledger

# Neighbours share bytes of the bitmap; the ends of the range are where an index goes wrong.
close_numbers = st.integers(0, 40) | st.integers(SIZE - 20, SIZE - 1) | st.integers(0, SIZE - 1)


@given(st.lists(st.lists(close_numbers, min_size=1, max_size=80), max_size=8))
def test_it_tells_new_numbers_as_a_set_would_inside_and_across_batches(batches):
    ledger = Ledger()
    seen: set[int] = set()
    for batch in batches:
        unseen = ledger.unseen(np.array(batch, np.uint32))
        assert unseen.tolist() == sorted(set(batch) - seen)
        ledger.add(unseen)
        seen.update(batch)


def test_what_was_not_added_is_still_unseen():
    ledger = Ledger()
    assert ledger.unseen(np.array([7, 7], np.uint32)).tolist() == [7]
    assert ledger.unseen(np.array([7], np.uint32)).tolist() == [7]


def test_a_full_byte_and_a_dense_range_are_kept_exactly():
    ledger = Ledger()
    everything = np.arange(100_000, dtype=np.uint32)
    ledger.add(ledger.unseen(everything[::2].copy()))
    assert ledger.unseen(everything.copy()).tolist() == list(range(1, 100_000, 2))
