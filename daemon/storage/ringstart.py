"""What a start finds in the files of a ring: which of them count, and where numbers go on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from daemon.storage.aside import set_aside
from daemon.storage.ringfiles import Found, Piece, RingFiles, State, readable
from daemon.storage.salvage import Trouble
from daemon.storage.segments import UnreadableError

SKIPPED: Final = 16
"""So many pieces of numbers are left out after a loss of power: more than are given away in the
second or two of which the disk may know nothing."""


@dataclass
class Start:
    """What was found.

    :ivar pieces: those that hold entries, by their index, lowest first.
    :ivar spares: pieces that were never used.
    :ivar tail: the piece to go on in; None: a new one is to be begun.
    :ivar first: the number of the oldest entry.
    :ivar next: the number that the next entry gets.
    :ivar troubles: what was not as it should be.
    :ivar error: why the folder cannot be used.
    """

    pieces: dict[int, Piece] = field(default_factory=dict)
    spares: list[Piece] = field(default_factory=list)
    tail: Piece | None = None
    first: int = 1
    next: int = 1
    troubles: list[Trouble] = field(default_factory=list)
    error: OSError | None = None


def find(files: RingFiles) -> Start:
    """Read the files.

    :raises NewerFormatError: one is from a later version; nothing was changed.
    """
    start = Start()
    found: list[Found] = []
    unreadable: list[tuple[int, Path, str]] = []
    try:
        paths = files.paths()
        for _, path in paths:
            with suppress(OSError):
                files.require_known(path)
        for index, path in paths:
            try:
                found.append(files.read(index, path))
            except (UnreadableError, OSError) as error:
                unreadable.append((index, path, str(error)))
    except OSError as error:
        start.error = error
    for _, path, why in unreadable:
        start.troubles.append(Trouble(path.name, _put_aside(path, why)))
    named = (index + 1 for index, *_ in unreadable if index <= files.shape.max_index)
    beyond = max(named, default=0)
    start.spares = [each.piece for each in found if each.state is State.SPARE]
    _sort_out(files, start, [each for each in found if each.state is not State.SPARE], beyond)
    return start


def _sort_out(files: RingFiles, start: Start, found: list[Found], beyond: int) -> None:
    """See where numbers begin, and go on.

    :param beyond: the first piece of whose numbers none was given away, as far as unreadable
        files tell.
    """
    capacity = files.shape.capacity
    if found:
        last = found[-1]
        trusted = last.state is State.CLOSED or last.boot == files.boot
        for each in found:
            _keep(files, start, each, thorough=not trusted or each.torn)
        index = last.piece.index
        # Two files may be there for one stretch, and only one of them know of numbers behind it.
        reach = max(each.reach for each in found)
        beyond = max(beyond, reach + 1 if reach > index else 0)
        if last.torn or not trusted:
            beyond = max(beyond, index + SKIPPED)
        start.first = max(
            next(iter(start.pieces)) * capacity + 1,
            *(piece.oldest[0] for piece in start.pieces.values()),
        )
        tail = start.pieces[index]
        follows = index * capacity + tail.count + 1
        if start.first > follows:
            # Numbers up to it were given away, whatever has become of their entries. What is added
            # now must not lie among those that this file takes for dropped.
            beyond = max(beyond, index + 1)
        if beyond <= index:
            start.tail = tail
            start.next = follows
    if beyond and start.tail is None:
        start.next = beyond * capacity + 1
        start.first = start.first if start.pieces else start.next
    start.first = min(start.first, start.next)


def _keep(files: RingFiles, start: Start, each: Found, *, thorough: bool) -> None:
    """Take in a file. Of two for one stretch, the one with more entries counts."""
    piece = each.piece
    piece.count = readable(piece, files.shape, thorough=thorough)
    if each.torn:
        why = f"{piece.path} was torn: {piece.count} entries of it are readable"
        start.troubles.append(Trouble(f"{piece.index:010}", why))
    other = start.pieces.get(piece.index)
    if other is None:
        start.pieces[piece.index] = piece
        return
    less, more = sorted((other, piece), key=_count)
    start.pieces[piece.index] = more
    if less.path is not None and _holds(more, less, files.shape.value_bytes):
        # A crash has left it, between its copy and its removal. It goes when the disk has the copy.
        with suppress(OSError):
            if more.path is not None:
                files.sync(more.path, more.inode)
            less.path.unlink()
    elif less.path is not None:
        why = _put_aside(less.path, "another file has these entries")
        start.troubles.append(Trouble(less.path.name, why))
    less.release()


def _holds(one: Piece, other: Piece, value_bytes: int) -> bool:
    """Whether all entries of another piece are in this one, none of them behind a damaged place."""
    count, size = other.count, other.count * value_bytes
    if other.values[size:].tobytes().strip(b"\0"):
        return False
    return one.stamps[:count] == other.stamps[:count] and one.values[:size] == other.values[:size]


def _put_aside(path: Path, why: str) -> str:
    try:
        done = f"it is now called {set_aside(path).name}"
    except OSError as error:
        done = f"it stays where it is: {error}"
    return f"{path} is not used: {why}; {done}"


def _count(piece: Piece) -> int:
    return piece.count
