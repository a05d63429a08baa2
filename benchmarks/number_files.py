"""The numbers which clients send, and the exact check of what a server logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int32]
DIGITS = 9
LINE_BYTES = DIGITS + 1
LIMIT = 10**DIGITS
CHUNK_LINES = 1_000_000
ZERO, NINE, NEWLINE = b"09\n"
EXAMPLES = 3


@dataclass(frozen=True)
class ClientFile:
    """The lines of one client, and the numbers in them in the same order."""

    path: Path
    values: Integers


def random_numbers(count: int, duplicates: float, seed: int) -> Integers:
    """Return ``count`` numbers, uniform over 0..999999999.

    ``duplicates`` is the percentage of them which repeat an earlier one.  0 means
    plain random with replacement: about 1 % of 20 million repeat by chance.
    """
    random = np.random.default_rng(seed)
    repeats = round(count * duplicates / 100)
    fresh = random.integers(0, LIMIT, count - repeats, dtype=np.int32)
    if not repeats:
        return fresh
    is_repeat = np.zeros(count, dtype=np.bool_)
    is_repeat[1 + random.choice(count - 1, repeats, replace=False)] = True
    fresh_before = np.cumsum(~is_repeat)
    source = fresh_before - 1
    earlier = random.random(repeats) * fresh_before[is_repeat]
    source[is_repeat] = earlier.astype(np.int64)
    numbers: Integers = fresh[source]
    return numbers


def ascending(numbers: Integers) -> Integers:
    """Return each of ``numbers`` once, ascending.

    Sorting takes a twentieth of the time of ``np.unique``, which hashes since NumPy 2.3.
    """
    found = np.sort(numbers)
    is_first = np.ones(len(found), dtype=np.bool_)
    np.not_equal(found[1:], found[:-1], out=is_first[1:])
    kept: Integers = found[is_first]
    return kept


def distinct_numbers(count: int, seed: int) -> Integers:
    """Return at most ``count`` numbers in random order, none of them twice."""
    numbers = ascending(random_numbers(count, 0, seed))
    np.random.default_rng(seed + 1).shuffle(numbers)
    return numbers


def write_client_files(folder: Path, numbers: Integers, clients: int) -> list[ClientFile]:
    """Write ``numbers`` as lines of nine digits, an equal part for each client."""
    files = []
    for index, part in enumerate(np.array_split(numbers, clients)):
        files.append(ClientFile(folder / f"client{index}.txt", part))
        with files[-1].path.open("wb") as stream:
            stream.writelines(
                number_lines(part[start : start + CHUNK_LINES])
                for start in range(0, len(part), CHUNK_LINES)
            )
    return files


def number_lines(numbers: Integers) -> bytes:
    """Return the numbers as lines of exactly nine digits."""
    lines = np.full((len(numbers), LINE_BYTES), NEWLINE, dtype=np.uint8)
    rest = numbers
    for column in reversed(range(DIGITS)):
        rest, digit = np.divmod(rest, 10)
        lines[:, column] = digit + ZERO
    return lines.tobytes()


def logged_sizes(numbers: Integers, keeps_zeros: bool) -> NDArray[np.int8]:
    """Return the bytes of each number's line in a log."""
    if keeps_zeros:
        return np.full(len(numbers), LINE_BYTES, dtype=np.int8)
    sizes = np.full(len(numbers), 2, dtype=np.int8)
    for power in range(1, DIGITS):
        sizes += numbers >= 10**power
    return sizes


def log_complaints(path: Path, expected: Integers, keeps_zeros: bool) -> list[str]:
    """Compare a log with the ``expected`` numbers (ascending, distinct).

    An empty list means that the log is exactly right: whole lines, every expected
    number once, nothing else.
    """
    values, complaints = _parse_log(path, keeps_zeros)
    values.sort()
    if np.array_equal(values, expected):
        return complaints
    distinct = np.unique(values)
    twice = np.unique(values[1:][values[1:] == values[:-1]])
    missing = np.setdiff1d(expected, distinct, assume_unique=True)
    strange = np.setdiff1d(distinct, expected, assume_unique=True)
    for what, which in (
        ("logged more than once", twice),
        ("missing", missing),
        ("never sent", strange),
    ):
        if len(which):
            complaints.append(f"{len(which):,} numbers {what}, as {_some(which)}")
    return complaints


def _some(numbers: Integers) -> str:
    return ", ".join(map(str, numbers[:EXAMPLES]))


def _parse_log(path: Path, keeps_zeros: bool) -> tuple[Integers, list[str]]:
    """Return the numbers of all well-formed lines, and what is wrong otherwise."""
    content = np.fromfile(path, dtype=np.uint8)
    ends = np.flatnonzero(content == NEWLINE)
    complaints = []
    whole = int(ends[-1]) + 1 if len(ends) else 0
    if whole != len(content):
        torn = content[whole:][:80].tobytes()
        complaints.append(f"the last line has no end: {torn!r}")
    starts = np.concatenate([ends[:0], [0], ends[:-1] + 1])[: len(ends)]
    wrong = _wrong_lines(content[:whole], starts, ends, keeps_zeros)
    if wrong.any():
        which = np.flatnonzero(wrong)[:EXAMPLES]
        lines = [content[starts[i] : ends[i]][:80].tobytes() for i in which]
        count = np.count_nonzero(wrong)
        complaints.append(f"{count:,} lines are not numbers, as {lines}")
    return _line_values(content, starts[~wrong], ends[~wrong]), complaints


def _wrong_lines(
    content: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    keeps_zeros: bool,
) -> NDArray[np.bool_]:
    """Tell for each line whether it is anything but a number in its one form."""
    lengths = ends - starts
    shortest = DIGITS if keeps_zeros else 1
    wrong: NDArray[np.bool_] = (lengths < shortest) | (lengths > DIGITS)
    if not keeps_zeros:
        wrong |= (content[starts] == ZERO) & (lengths > 1)
    strange = (content < ZERO) | (content > NINE)
    strange[ends] = False
    wrong[np.searchsorted(ends, np.flatnonzero(strange))] = True
    return wrong


def _line_values(
    content: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> Integers:
    lengths = ends - starts
    values = np.zeros(len(ends), dtype=np.int32)
    for place in range(DIGITS):
        has_digit = lengths > place
        digits = content[ends[has_digit] - 1 - place].astype(np.int32) - ZERO
        values[has_digit] += digits * np.int32(10**place)
    return values


def distinct_of(files: Sequence[ClientFile], lines: Sequence[int]) -> Integers:
    """Return, ascending, the distinct numbers in the first ``lines`` of each file."""
    parts = [file.values[:count] for file, count in zip(files, lines, strict=True)]
    return ascending(np.concatenate(parts))
