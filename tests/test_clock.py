"""The clock for decisions: it starts with the wall's time, and goes its own way."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from daemon.clock import anchored_clock

moments = st.integers(0, 2**62)


@given(moments, moments, st.lists(st.tuples(st.integers(0, 10**12), moments), max_size=8))
def test_only_the_time_that_passes_moves_it(since_boot_ns, wall_ns, steps):
    times = {"since boot": since_boot_ns, "wall": wall_ns}
    now = anchored_clock(lambda: times["since boot"], lambda: times["wall"])
    assert now() == wall_ns // 1000
    passed_ns = 0
    for step_ns, wall in steps:
        times["since boot"] += step_ns
        times["wall"] = wall
        passed_ns += step_ns
        assert now() == (wall_ns + passed_ns) // 1000


def test_it_tells_microseconds_since_the_epoch():
    before = time.time_ns() // 1000
    now = anchored_clock()
    first = now()
    second = now()
    assert before - 1 <= first <= second
    assert isinstance(first, int)
