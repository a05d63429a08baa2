"""Numbered entries: added at the end, looked up by number, dropped from the front.

They are kept in pieces, each a stretch of numbers, in memory or in mapped files. What is in a file
outlives the process, however it ends. What the disk holds after a loss of power, and all that may
block, is the work of a thread: new files are made before they are needed, and old ones removed.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Final

import numpy as np

from daemon.storage.aside import set_aside
from daemon.storage.ringfiles import (
    Found,
    Piece,
    RingFiles,
    Shape,
    State,
    boot_id,
    in_memory,
    readable,
)
from daemon.storage.ringwork import Done, Place, Work
from daemon.storage.salvage import Trouble
from daemon.storage.segments import UnreadableError

CAPACITY: Final = 1 << 16
"""Entries in a piece: some MB, so that one is made and given back without a pause."""

SKIPPED: Final = 16
"""So many pieces of numbers are left out after a loss of power: more than are given away in the
second or two of which the disk may know nothing."""

STORING: Final = "ring"
"""The part that is in trouble while entries are in memory only."""


class Ring:
    """Entries with the numbers 1, 2, 3, …: each a stamp, an int64 that never falls, and a value.

    It is one thread's, its owner's. With a folder, the owner calls :meth:`work` once a second or
    so, has what that gives run by another thread, and hands the result to :meth:`take`; only one
    work is under way at a time. Where no file can be written, the ring goes on in memory, and what
    is in memory is written when that is possible again.

    :param folder: where the files are, the one above it exists; None: there are none.
    :param value_bytes: bytes of each value.
    :param capacity: entries in a piece.
    :param boot: tells one run of the machine from another.
    :ivar first: the number of the oldest entry; read only.
    :ivar next: the number that the next entry gets; read only.
    """

    def __init__(
        self,
        folder: Path | None,
        value_bytes: int,
        capacity: int = CAPACITY,
        boot: bytes | None = None,
    ) -> None:
        self.first = self.next = 1
        self._shape = Shape(value_bytes, capacity)
        self._size = value_bytes
        self._boot = boot or boot_id()
        self._files = None if folder is None else RingFiles(folder, self._shape, self._boot)
        self._pieces: dict[int, Piece] = {}
        self._passed: list[Place] = []
        self._spare: Piece | None = None
        self._trouble: Trouble | None = None
        self._tail: Piece | None = None
        self._at = self._room = 0
        self._values: memoryview[int]
        self._stamps: memoryview[int]
        self._closing = False

    def open(self) -> list[Trouble]:
        """Take up what the files hold. Nothing but a newer format keeps it from opening.

        :returns: what was not as it should be. That of :data:`STORING` goes by itself, as
            :meth:`take` tells.
        :raises NewerFormatError: a file is from a later version; nothing was changed.
        """
        if self._files is None:
            return []
        troubles: list[Trouble] = []
        found: list[Found] = []
        unreadable: list[tuple[int, Path, str]] = []
        try:
            for index, path in self._files.paths():
                try:
                    found.append(self._files.read(index, path))
                except (UnreadableError, OSError) as error:
                    unreadable.append((index, path, str(error)))
        except OSError as error:
            self._trouble = self._in_trouble(error)
            troubles.append(self._trouble)
        for _, path, why in unreadable:
            troubles.append(Trouble(path.name, _put_aside(path, why)))
        self._take_up(found, max([index + 1 for index, *_ in unreadable], default=0), troubles)
        return troubles

    def append(self, stamp: int, value: bytes) -> int:
        """Add an entry.

        :param stamp: positive, and not smaller than the last one; this is not checked.
        :param value: as long as the ring's values are, and not all zeros.
        :returns: its number.
        :raises OSError: files and memory are exhausted; nothing was added.
        """
        at = self._at
        if at == self._room:
            self._roll()
            at = self._at
        size = self._size
        self._values[at * size : (at + 1) * size] = value
        # The stamp is last: without it there is no entry, should the process end here.
        self._stamps[at] = stamp
        self._at = at + 1
        number = self.next
        self.next = number + 1
        return number

    def stamp(self, number: int) -> int:
        """Give the stamp of an entry; 0 if there is no such entry."""
        index, at = divmod(number - 1, self._shape.capacity)
        piece = self._pieces.get(index)
        return piece.stamps[at] if piece is not None and number >= self.first else 0

    def value(self, number: int) -> bytes:
        """Give the value of an entry that is there."""
        index, at = divmod(number - 1, self._shape.capacity)
        return bytes(self._pieces[index].values[at * self._size : (at + 1) * self._size])

    @property
    def newest(self) -> int:
        """The stamp of the last entry; 0 without any."""
        for piece in reversed(self._pieces.values()):
            count = self._count(piece)
            if count:
                return piece.stamps[count - 1]
        return 0

    def count(self, start: int = 1) -> int:
        """Count the entries from a number on; numbers that were left out are none."""
        start = max(start, self.first) - 1
        capacity = self._shape.capacity
        return sum(
            max(0, self._count(piece) - max(0, start - index * capacity))
            for index, piece in self._pieces.items()
        )

    def first_above(self, start: int, limit: int) -> int:
        """Give the first number, from a number on, whose stamp is greater than a limit.

        :returns: :attr:`next` if there is none.
        """
        number = max(start, self.first)
        while number < self.next:
            index, at = divmod(number - 1, self._shape.capacity)
            piece = self._pieces.get(index)
            if piece is not None:
                end = self._count(piece)
                found = bisect_right(piece.stamps, limit, min(at, end), end)
                if found < end:
                    return index * self._shape.capacity + found + 1
            number = (index + 1) * self._shape.capacity + 1
        return self.next

    def lower(self, limit: int) -> None:
        """Lower all stamps that are greater than a limit to it."""
        for piece in self._pieces.values():
            stamps = np.frombuffer(piece.stamps, np.int64)
            if stamps.max() > limit:
                np.minimum(stamps, limit, out=stamps)
                piece.synced = 0

    def drop_before(self, number: int) -> None:
        """Drop all entries with smaller numbers.

        The last piece stays, so that its file tells the next start where to go on.

        :param number: :attr:`next` at most.
        """
        if number <= self.first:
            return
        capacity = self._shape.capacity
        before, now = (self.first - 1) // capacity, (number - 1) // capacity
        self.first = number
        if before < now and self._tail is not None:
            for index in range(before, min(now, self._tail.index)):
                self._discard(self._pieces.pop(index, None))

    def work(self) -> Work:
        """Give what a thread should do now."""
        if self._tail is not None:
            self._tail.count = self._at
        pieces = list(self._pieces.values())
        wanted = next((piece.index for piece in pieces if not piece.kept), None)
        held = [
            (piece, (piece.path, piece.inode), piece.count)
            for piece in pieces
            if piece.kept and piece.path is not None
        ]
        spare = None
        if self._spare is None and not self._closing:
            after_tail = (self.next - 1) // self._shape.capacity
            spare = after_tail if self._tail is None else self._tail.index + 1
        return Work(self._files, list(self._passed), held, wanted, spare)

    def take(self, done: Done) -> Trouble | None:
        """Take over what a thread has done.

        :returns: why not everything is in files and on the disk; None when it is.
        """
        for place in done.removed:
            self._passed.remove(place)
        for piece, count in done.synced:
            piece.synced = count
        for piece in done.lost:
            piece.kept = False
        if done.made is not None:
            self._replace(done.made)
        if done.spare is not None:
            self._discard(self._spare)
            self._spare = done.spare
        if done.error:
            self._trouble = self._in_trouble(done.error)
        elif all(piece.kept for piece in self._pieces.values()):
            self._trouble = None
        return self._trouble if self._files is not None else None

    def close(self) -> Trouble | None:
        """Do all the work that is left, and let go of everything. Blocks as long as the disk does.

        No other work is under way, and the ring is not used any more.

        :returns: why entries may be missing at the next start; None when none will be.
        """
        self._closing = True
        self._discard(self._spare)
        error = None
        while not error:
            done = self.work().run()
            error = done.error
            trouble = self.take(done)
            if all(piece.kept for piece in self._pieces.values()):
                break
        if not trouble and self._tail is not None:
            # First the entries, then that they are complete.
            trouble = self.take(self.work().run())
            self._tail.mark(self._boot, State.CLOSED, self._tail.index)
            self._tail.synced = -1
            trouble = trouble or self.take(self.work().run())
        for piece in self._pieces.values():
            piece.release()
        return trouble

    # --- inside

    def _take_up(self, found: list[Found], beyond: int, troubles: list[Trouble]) -> None:
        """Go on where the files end.

        :param beyond: the first piece of whose numbers none was given away, as far as unreadable
            files tell.
        """
        last: Found | None = None
        for each in found:
            if each.state is State.SPARE:
                self._discard(each.piece)
            else:
                last = each
        whole = last is not None and not last.torn
        trusted = last is not None and (last.state is State.CLOSED or last.boot == self._boot)
        for each in found:
            if each.state is not State.SPARE:
                self._keep(each, troubles, thorough=not trusted or each.torn)
        if last is not None:
            self.first = next(iter(self._pieces)) * self._shape.capacity + 1
            index = last.piece.index
            beyond = max(beyond, last.reach + 1 if last.reach > index else 0)
            if not (whole and trusted):
                beyond = max(beyond, index + SKIPPED)
            if beyond <= index:
                piece = self._pieces[index]
                self.next = index * self._shape.capacity + piece.count + 1
                self._begin(piece, piece.count)
                return
        if beyond:
            self.next = beyond * self._shape.capacity + 1
            self.first = self.first if self._pieces else self.next
            # Before any number is given away: the next start has to know.
            self._roll()

    def _keep(self, each: Found, troubles: list[Trouble], *, thorough: bool) -> None:
        """Take in a file. Of two for one stretch, the one with more entries counts."""
        piece = each.piece
        piece.count = readable(piece, self._shape, thorough=thorough)
        if each.torn:
            why = f"{piece.path} was torn: {piece.count} entries of it are readable"
            troubles.append(Trouble(f"{piece.index:010}", why))
        other = self._pieces.get(piece.index)
        if other is None:
            self._pieces[piece.index] = piece
            return
        less, more = sorted((other, piece), key=_count)
        self._pieces[piece.index] = more
        if less.path is not None:
            why = _put_aside(less.path, "another file has these entries")
            troubles.append(Trouble(less.path.name, why))
        less.release()

    def _count(self, piece: Piece) -> int:
        return self._at if piece is self._tail else piece.count

    def _roll(self) -> None:
        """Begin the next piece."""
        index = (self.next - 1) // self._shape.capacity
        spare, self._spare = self._spare, None
        if spare is None or spare.index != index:
            self._discard(spare)
            spare = self._make(index)
        if self._tail is not None:
            self._tail.count = self._at
        self._pieces[index] = spare
        self._begin(spare, 0)

    def _begin(self, piece: Piece, at: int) -> None:
        self._tail = piece
        self._values = piece.values
        self._stamps = piece.stamps
        self._at = at
        self._room = self._shape.capacity
        piece.mark(self._boot, State.BEGUN, piece.index)
        if self._files is not None and not piece.kept:
            self._note_reach(piece.index)

    def _note_reach(self, index: int) -> None:
        """Let a file know that numbers are given away of which no file knows."""
        for piece in reversed(self._pieces.values()):
            if piece.kept:
                piece.mark(self._boot, State.BEGUN, index)
                return

    def _make(self, index: int) -> Piece:
        """Make a piece on the spot. A disk that is in trouble is left to the thread."""
        if self._files is not None and not self._trouble:
            try:
                return self._files.make(index)
            except OSError as error:
                self._trouble = self._in_trouble(error)
        return in_memory(index, self._shape)

    def _replace(self, fresh: Piece) -> None:
        """Let a file take the place of a piece in memory."""
        old = self._pieces.get(fresh.index)
        if old is None or old.kept:
            self._discard(fresh)
            return
        fresh.stamps[:] = old.stamps
        fresh.values[:] = old.values
        fresh.count = old.count
        fresh.mark(self._boot, State.BEGUN, fresh.index)
        self._pieces[fresh.index] = fresh
        if old is self._tail:
            self._tail, self._values, self._stamps = fresh, fresh.values, fresh.stamps
        old.release()

    def _discard(self, piece: Piece | None) -> None:
        """Give up a piece that holds nothing."""
        if piece is not None:
            if piece.path is not None:
                self._passed.append((piece.path, piece.inode))
            piece.release()
        if piece is self._spare:
            self._spare = None

    def _in_trouble(self, error: OSError) -> Trouble:
        # Without the file's name, which is another one each time.
        folder = self._files.folder if self._files is not None else ""
        return Trouble(STORING, f"{folder} does not take what it should: {error.strerror or error}")


def _put_aside(path: Path, why: str) -> str:
    try:
        done = f"it is now called {set_aside(path).name}"
    except OSError as error:
        done = f"it stays where it is: {error}"
    return f"{path} is not used: {why}; {done}"


def _count(piece: Piece) -> int:
    return piece.count
