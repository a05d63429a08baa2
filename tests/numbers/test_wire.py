"""The lines of the wire and of the log, against the plainest reading of the rules."""

import re

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.numbers import wire

LINES = re.compile(rb"(?:[0-9]{9}\n)*")

numbers = st.integers(0, 10**9 - 1)
regular_blocks = st.lists(numbers, max_size=60).map(
    lambda values: b"".join(b"%09d\n" % value for value in values)
)


def regular_prefix(block: bytes) -> bytes:
    """The reference: a regular expression that knows one line."""
    match = LINES.match(block)
    assert match is not None
    return match.group()


@st.composite
def spoiled_blocks(draw: st.DrawFn) -> bytes:
    """Regular lines in which some bytes were replaced, put in or taken out."""
    block = bytearray(draw(regular_blocks))
    for _ in range(draw(st.integers(0, 3))):
        where = draw(st.integers(0, len(block)))
        with_bytes = draw(st.binary(max_size=3) | st.sampled_from([b"\n", b"0", b"/", b":", b"\r"]))
        block[where : where + draw(st.integers(0, 2))] = with_bytes
    return bytes(block)


@given(spoiled_blocks() | st.binary(max_size=50))
@example(b"")
@example(b"000000000\n999999999\n")
@example(b"12345678\n0")
def test_both_readings_stop_at_the_first_byte_that_belongs_to_no_regular_line(block):
    expected = regular_prefix(block)
    assert wire.regular_bytes(block) == len(expected)
    assert wire.parse(block).tolist() == [int(line) for line in expected.split()]


def test_every_byte_at_every_place_of_a_line_is_judged_as_the_rules_say():
    line = b"123456789\n"
    for place in range(wire.LINE):
        for byte in range(256):
            block = line + line[:place] + bytes([byte]) + line[place + 1 :] + line
            expected = regular_prefix(block)
            assert wire.regular_bytes(block) == len(expected), (place, byte)
            assert len(wire.parse(block)) * wire.LINE == len(expected), (place, byte)


@given(st.lists(numbers, unique=True, max_size=200))
@example([0])
@example([0, 9, 10, 99, 100, 99_999, 100_000, 999_999_999])
def test_lines_of_the_log_have_no_leading_zeros(values):
    ascending = np.array(sorted(values), np.uint32)
    lines = b"".join(buffer.tobytes() for buffer in wire.log_lines(ascending))
    assert lines == b"".join(b"%d\n" % value for value in sorted(values))


def test_buffers_of_lines_can_be_written_as_they_are():
    for buffer in wire.log_lines(np.array([0, 5, 50, 123456789], np.uint32)):
        assert buffer.flags.c_contiguous


@given(st.binary(max_size=12) | st.from_regex(rb"[0-9]{0,11}", fullmatch=True))
@example(b"t")
@example(b"terminate")
@example(b"terminates")
@example(b"123456789")
@example(b"1234567890")
@example("٣".encode())  # a digit, but not of ASCII
def test_a_line_may_be_opened_by_digits_or_the_start_of_terminate_only(rest):
    as_number = any(re.fullmatch(rb"[0-9]{9}", rest + b"0" * n) for n in range(10))
    as_word = any(rest == b"terminate"[:n] for n in range(10))
    assert wire.may_open_a_line(rest) == (as_number or as_word)
