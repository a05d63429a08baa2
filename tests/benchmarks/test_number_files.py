from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.number_files import ascending


@given(st.lists(st.integers(0, 20)))
def test_each_number_is_left_once_and_in_order(numbers: list[int]) -> None:
    found = ascending(np.array(numbers, dtype=np.int32))
    assert found.tolist() == sorted(set(numbers))
