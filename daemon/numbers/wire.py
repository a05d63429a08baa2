"""The lines of the wire and of the log, as bytes and as numbers.

A line is exactly nine ASCII digits and a line feed (the challenge's rule on input); a line of the
log has no leading zeros. Nothing here keeps state. Blocks of lines are converted as a whole:
numpy sees the ten bytes of each line as one 64-bit and one 16-bit word, and works on all lines
at once.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint32]

DIGITS: Final = 9
LINE: Final = DIGITS + 1
"""Bytes of a line, its line feed included."""

TERMINATE: Final = b"terminate"

LINE_FEED: Final = 0x0A

_NINE: Final = np.uint16(9)
_ASCII_ZEROS: Final = np.uint64(0x3030303030303030)
_OVER_NINE: Final = np.uint64(0x7676767676767676)
_HIGH_BITS: Final = np.uint64(0x8080808080808080)
_ZERO_AND_LINE_FEED: Final = np.uint16(0x0A30)

# Lines of the log are put together from two tables: the first four digits, and the other five
# with the line feed, which lie at the end of their eight bytes.
_FIRST_FOUR: Final = np.frombuffer(b"".join(b"%04d" % n for n in range(10**4)), "<u4")
_LAST_FIVE: Final = np.frombuffer(b"".join(b"\0\0%05d\n" % n for n in range(10**5)), "<u8")
_WIDTH_EDGES: Final = 10 ** np.arange(1, DIGITS, dtype=np.uint32)


def regular_bytes(block: bytes) -> int:
    """Tell how many bytes at the start of a block are whole regular lines.

    Works with the methods of ``bytes`` alone, which beat numpy's fixed cost on small blocks.

    :param block: what a client sent, from the start of a line on; may end anywhere.
    :returns: a multiple of ten.
    """
    count = len(block) // LINE
    lines = block[: count * LINE]
    digits = lines.replace(b"\n", b"")
    if (
        digits.isdigit()
        and len(digits) == count * DIGITS
        and lines[DIGITS::LINE].count(b"\n") == count
    ):
        return len(lines)
    for start in range(0, len(lines), LINE):
        if lines[start + DIGITS] != LINE_FEED or not lines[start : start + DIGITS].isdigit():
            return start
    return 0


def parse(block: bytes) -> Numbers:
    """Read the regular lines at the start of a block.

    :param block: what a client sent, from the start of a line on; may end anywhere.
    :returns: the numbers of the lines before the first byte that is no part of a regular line.
    """
    count = len(block) // LINE
    if not count:
        return np.empty(0, np.uint32)
    words, tails = _words(block, count)
    words -= _ASCII_ZEROS
    regular = _regular(words, tails)
    if not regular.all():
        first_wrong = int(regular.argmin())
        words, tails = words[:first_wrong], tails[:first_wrong]
    numbers = _eight_digits(words).astype(np.uint32)
    numbers *= np.uint32(10)
    numbers += tails & np.uint16(0x0F)
    return numbers


def may_open_a_line(rest: bytes) -> bool:
    """Tell whether an unfinished line can still become a number or ``terminate``.

    :param rest: what follows the last whole line; may be empty.
    """
    if not rest:
        return True
    return len(rest) <= DIGITS and (rest.isdigit() or TERMINATE.startswith(rest))


def log_lines(numbers: Numbers) -> list[NDArray[np.uint8]]:
    """Write numbers as lines of the log: no leading zeros, ``0`` for zero, a line feed each.

    :param numbers: in ascending order, so that all of one width lie together.
    :returns: none to nine buffers, one for each width, which together are the lines.
    """
    if not len(numbers):
        return []
    table = np.empty((len(numbers), LINE), np.uint8)
    first = numbers // np.uint32(10**5)
    last = numbers - first * np.uint32(10**5)
    # The wide column first: its two spare bytes fall where the narrow one then goes.
    np.ndarray(len(numbers), "<u8", table, 2, (LINE,))[:] = _LAST_FIVE.take(last)
    np.ndarray(len(numbers), "<u4", table, 0, (LINE,))[:] = _FIRST_FOUR.take(first)
    edges = [0, *numbers.searchsorted(_WIDTH_EDGES).tolist(), len(numbers)]
    return [
        np.ascontiguousarray(table[start:end, DIGITS - width :])
        for width, (start, end) in enumerate(pairwise(edges), start=1)
        if end > start
    ]


def _words(block: bytes, count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint16]]:
    """Give the first eight and the last two bytes of each line, as little-endian words."""
    words = np.ndarray(count, "<u8", block, 0, (LINE,)).astype(np.uint64)
    tails = np.ndarray(count, "<u2", block, LINE - 2, (LINE,)).astype(np.uint16)
    return words, tails


def _regular(words: NDArray[np.uint64], tails: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Tell which lines are regular.

    A byte less ``0`` is a digit's value exactly if neither it nor it plus 118 has its high bit
    set; a borrow or carry from a neighbour can only come from a byte that is itself wrong.

    :param words: the first eight bytes of each line, less ``0`` each.
    :param tails: the ninth digit and the line feed.
    """
    wrong = (words + _OVER_NINE) | words
    wrong &= _HIGH_BITS
    regular: NDArray[np.bool_] = wrong == 0
    regular &= (tails - _ZERO_AND_LINE_FEED) <= _NINE
    return regular


def _eight_digits(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Turn eight digit values, the first in the lowest byte, into the number they stand for.

    Neighbours are joined to pairs, then two multiplications weigh all pairs at once. Destroys
    ``words``.
    """
    pairs = words * np.uint64(10)
    words >>= np.uint64(8)
    pairs += words
    upper = pairs >> np.uint64(16)
    pairs &= np.uint64(0x000000FF000000FF)
    upper &= np.uint64(0x000000FF000000FF)
    pairs *= np.uint64(100 + (1_000_000 << 32))
    upper *= np.uint64(1 + (10_000 << 32))
    pairs += upper
    pairs >>= np.uint64(32)
    return pairs
