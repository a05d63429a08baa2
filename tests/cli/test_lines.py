"""Cutting a file of numbers, against what a person would do by hand."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli.lines import LONGEST_LINE, Block, Cutter, are_numbers

numbers = st.integers(0, 10**9 - 1).map(lambda number: b"%09d\n" % number)
noise = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([b"terminate\n", b"terminate", b"\n", b"12345678\n", b"0123456789\n", b"+1"]),
    st.text("0123456789\n", max_size=30).map(str.encode),
)
files = st.lists(st.one_of(numbers, numbers, numbers, noise), max_size=12).map(b"".join)


def cut(data: bytes, sizes: list[int]) -> list[Block]:
    """Cut data that comes in pieces of some sizes, the last of which repeats."""
    cutter = Cutter()
    blocks: list[Block] = []
    start = 0
    for size in [*sizes, *[max(sizes[-1:], default=7)] * len(data)]:
        if start < len(data):
            blocks += cutter.feed(data[start : start + size])
            start += size
    return [*blocks, *cutter.end()]


def by_hand(data: bytes) -> tuple[bytes, int, bytes | None]:
    """Give the numbers at the start, how many there are, and the line that ends them."""
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    good = 0
    for line in lines:
        if not re.fullmatch(rb"[0-9]{9}", line):
            return b"".join(one + b"\n" for one in lines[:good]), good, line
        good += 1
    return b"".join(one + b"\n" for one in lines), good, None


@given(files, st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_blocks_are_the_numbers_up_to_what_is_none(data: bytes, sizes: list[int]) -> None:
    wanted, good, last = by_hand(data)
    blocks = cut(data, sizes)
    numbers = [block for block in blocks if not block.is_last]
    assert b"".join(block.data for block in numbers) == wanted
    assert sum(block.lines for block in blocks) == good
    assert all(block.data.endswith(b"\n") for block in numbers)
    if last is None:
        assert numbers == blocks
    else:
        assert blocks[-1].is_last
        assert [block for block in blocks if block.is_last] == blocks[-1:]
        assert blocks[-1].data == last + b"\n"
        assert blocks[-1].ends_all == (last == b"terminate")
        if not blocks[-1].ends_all:
            place = blocks[-1].bad
            assert place is not None
            assert (place.line, place.offset) == (good + 1, good * 10)
            assert place.text.isascii()
            assert place.text.isprintable()


@given(st.binary(max_size=60) | files)
def test_the_quick_look_agrees_with_a_pattern(data: bytes) -> None:
    assert are_numbers(data) == bool(re.fullmatch(rb"(?:[0-9]{9}\n)*", data))


def test_an_endless_line_is_not_waited_for() -> None:
    cutter = Cutter()
    blocks = [block for _ in range(LONGEST_LINE) for block in cutter.feed(b"12")]
    (block,) = blocks
    assert block.bad is not None
    assert len(block.data) <= LONGEST_LINE
    assert cutter.has_stopped
    assert list(cutter.feed(b"000000001\n")) == list(cutter.end()) == []


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"abc\n", "'abc'"),
        (b"000000001\r\n", r"'000000001\r'"),
        (b"\x1b[2J\n", r"'\x1b[2J'"),
        (b"x" * 50 + b"\n", "'" + "x" * 40 + "' …"),
        (b"\n", "''"),
    ],
)
def test_a_bad_line_is_shown_as_it_is_and_harmless(line: bytes, shown: str) -> None:
    (first, block) = Cutter().feed(b"000000001\n" + line)
    assert first.lines == 1
    assert block.bad is not None
    assert str(block.bad) == f"line 2 (byte 10): {shown}"
