"""The rule of a file of numbers: where it may be cut, and where a server would end the client.

No sockets, no files: bytes come in, blocks of whole lines come out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

DIGITS: Final = b"0123456789"
LINE_BYTES: Final = 10
"""Nine digits and a line end."""

TERMINATE: Final = b"terminate\n"
LONGEST_LINE: Final = 4096
"""Bytes. A line without an end is bad long before it is so long; it is not waited for."""

_SHOWN: Final = 40


@dataclass(frozen=True)
class Place:
    """A line in the file.

    :ivar line: its number, from 1.
    :ivar offset: where it begins, in bytes.
    :ivar text: the line, or its beginning, made printable.
    """

    line: int
    offset: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line} (byte {self.offset}): {self.text}"


@dataclass(frozen=True)
class Block:
    """Some lines that go over one connection.

    :ivar lines: how many of them are numbers.
    :ivar bad: the last line, which is no number: a server ends the connection there.
    :ivar ends_all: it is ``terminate``, which ends the server.
    """

    data: bytes
    lines: int
    bad: Place | None = None
    ends_all: bool = False

    @property
    def is_last(self) -> bool:
        """Whether nothing is sent after it."""
        return self.ends_all or self.bad is not None


def are_numbers(data: bytes) -> bool:
    """Whether these are lines of nine digits and nothing else; 70 million a second."""
    lines = len(data) // LINE_BYTES
    return (
        len(data) == lines * LINE_BYTES
        and data[LINE_BYTES - 1 :: LINE_BYTES].count(b"\n") == lines
        and len(data.translate(None, DIGITS)) == lines
    )


class Cutter:
    """Cuts a stream at line ends, and stops for good at what is no number."""

    def __init__(self) -> None:
        self._rest = b""
        self._line = 1
        self._offset = 0
        self.has_stopped = False
        """Whether nothing of what follows is wanted: there was a bad line, or ``terminate``."""

    @property
    def lines(self) -> int:
        """How many numbers were cut off so far."""
        return self._line - 1

    def feed(self, data: bytes) -> Iterator[Block]:
        """Give the blocks of what has come; its unfinished last line waits for the rest."""
        if self.has_stopped:
            return
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        if are_numbers(data[:end]):
            yield from self._numbers(data[:end])
        else:
            yield from self._until_no_number(data[:end])
        if not self.has_stopped and len(self._rest) > LONGEST_LINE:
            yield self._bad(self._rest)

    def end(self) -> Iterator[Block]:
        """Give the last line, whose end is put there if it is missing."""
        if self._rest:
            yield from self.feed(b"\n")

    def _numbers(self, data: bytes) -> Iterator[Block]:
        lines = len(data) // LINE_BYTES
        if lines:
            self._line += lines
            self._offset += len(data)
            yield Block(data, lines)

    def _until_no_number(self, data: bytes) -> Iterator[Block]:
        start = 0
        while True:
            end = data.index(b"\n", start) + 1  # there is one: these are not all numbers
            line = data[start:end]
            if len(line) != LINE_BYTES or not line[:-1].isdigit():
                break
            start = end
        yield from self._numbers(data[:start])
        if line == TERMINATE:
            self.has_stopped = True
            yield Block(line, 0, ends_all=True)
        else:
            yield self._bad(line)

    def _bad(self, line: bytes) -> Block:
        self.has_stopped = True
        # An escape for each byte that is not printable ASCII, as in a literal of Python.
        shown = repr(line.removesuffix(b"\n")[:_SHOWN])[1:]
        if len(line) > _SHOWN:
            shown += " …"
        return Block(line[:LONGEST_LINE], 0, bad=Place(self._line, self._offset, shown))
