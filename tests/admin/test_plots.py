"""Lines for SVG, read back as a browser reads them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from daemon.admin.history import LENGTH
from daemon.admin.plots import HEIGHT, STRIP_HEIGHT, line, strip

COMMAND = re.compile(r"M(\d+) (\d+)|h(\d+)|l1 (-?\d+)")


def points(path: str) -> dict[int, int]:
    """Give the height of a path at each place it covers."""
    found: dict[int, int] = {}
    x = y = 0
    rest = path
    while rest:
        command = COMMAND.match(rest)
        assert command is not None, rest
        rest = rest[command.end() :]
        if command[1] is not None:
            x, y = int(command[1]), int(command[2])
            found[x] = y
        elif command[3] is not None:
            for _ in range(int(command[3])):
                x += 1
                found[x] = y
        else:
            x, y = x + 1, y + int(command[4])
            found[x] = y
    return found


values = st.lists(st.none() | st.floats(0, 1000), max_size=LENGTH)


@given(values, st.floats(0, 1000))
def test_each_sample_has_its_height_the_newest_at_the_right(samples, top):
    expected = {}
    for place, sample in enumerate(samples, LENGTH - len(samples)):
        if sample is not None:
            share = min(sample / top, 1.0) if top > 0 else 0.0
            expected[place] = HEIGHT - round(HEIGHT * share)
    assert points(line(samples, top)) == expected


@given(st.lists(st.sampled_from([0, 1, 2, None]), max_size=LENGTH))
def test_the_lines_of_a_strip_cover_each_sample_once(samples):
    covered: list[tuple[int, int]] = []
    for level in range(3):
        for start, height, length in re.findall(r"M(\d+) (\d+)h(\d+)", strip(samples, level)):
            assert int(height) == STRIP_HEIGHT
            covered += [(int(start) + step, level) for step in range(int(length))]
    first = LENGTH - len(samples)
    assert sorted(covered) == [
        (place, level) for place, level in enumerate(samples, first) if level is not None
    ]


def test_a_steady_line_takes_no_more_room_than_it_says():
    assert line([5.0] * LENGTH, 5.0) == "M0 0h0h299"
