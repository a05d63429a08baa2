"""Numbered entries: added at the end, looked up by number, dropped from the front.

They are kept in pieces, each a stretch of numbers, in memory or in mapped files. What is in a file
outlives the process, however it ends. What the disk holds after a loss of power, and all that may
block, is the work of a thread: new files are made before they are needed, and old ones removed.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from daemon.storage.ringfiles import Piece, RingFiles, Shape, State, boot_id, in_memory
from daemon.storage.ringstart import Start, find
from daemon.storage.ringwork import Done, Place, Work
from daemon.storage.salvage import Trouble

CAPACITY: Final = 1 << 16
"""Entries in a piece: some MB, so that one is made and given back without a pause."""

SHED_AT_ONCE: Final = 16
"""So many pieces are given back in one call at most; those left over, in later ones."""

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
        self._at = self._room = self._lead = 0
        self._values: memoryview[int]
        self._stamps: memoryview[int]
        self._oldest: memoryview[int]
        self._closing = False

    def open(self) -> list[Trouble]:
        """Take up what the files hold. Nothing but a newer format keeps it from opening.

        :returns: what was not as it should be. That of :data:`STORING` goes by itself, as
            :meth:`take` tells.
        :raises NewerFormatError: a file is from a later version; nothing was changed.
        """
        if self._files is None:
            return []
        start = find(self._files)
        if start.error is not None:
            self._trouble = self._in_trouble(start.error)
            start.troubles.append(self._trouble)
        self._take_up(start)
        return start.troubles

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
    def pieces(self) -> int:
        """How many pieces are in use."""
        return len(self._pieces)

    @property
    def lead(self) -> int:
        """How far in the future stamps may lie: the most of what :meth:`lead_by` was told."""
        return max((piece.lead for piece in self._pieces.values()), default=self._lead)

    @property
    def newest(self) -> int:
        """The stamp of the last entry; 0 without any."""
        for piece in reversed(self._pieces.values()):
            count = self._count(piece)
            if count:
                return self.stamp(piece.index * self._shape.capacity + count)
        return 0

    def count(self, start: int = 1) -> int:
        """Count the entries from a number on; numbers that were left out are none."""
        start = max(start, self.first) - 1
        capacity = self._shape.capacity
        return sum(
            max(0, self._count(piece) - max(0, start - index * capacity))
            for index, piece in self._pieces.items()
        )

    def nth(self, older: int) -> int:
        """Give the number of the entry that has so many older ones.

        :returns: :attr:`next` if there is none.
        """
        capacity = self._shape.capacity
        for index, piece in self._pieces.items():
            dropped = max(0, self.first - 1 - index * capacity)
            count = max(0, self._count(piece) - dropped)
            if older < count:
                return index * capacity + dropped + older + 1
            older -= count
        return self.next

    def first_above(self, start: int, limit: int) -> int:
        """Give the first number, from a number on, whose stamp is greater than a limit.

        :returns: :attr:`next` if there is none.
        """
        index, at = divmod(max(start, self.first) - 1, self._shape.capacity)
        if index not in self._pieces:
            index, at = self._piece_after(index), 0
        while index >= 0:
            piece = self._pieces[index]
            end = self._count(piece)
            found = bisect_right(piece.stamps, limit, min(at, end), end)
            if found < end:
                return index * self._shape.capacity + found + 1
            index, at = self._piece_after(index), 0
        return self.next

    def lower(self, limit: int) -> None:
        """Lower all stamps that are greater than a limit to it."""
        for piece in self._pieces.values():
            stamps = np.frombuffer(piece.stamps, np.int64)
            if stamps.max() > limit:
                np.minimum(stamps, limit, out=stamps)
                piece.synced = 0

    def lead_by(self, lead: int) -> None:
        """Have the files keep how far in the future the stamps of coming entries may lie."""
        self._lead = lead
        if self._tail is not None:
            self._begin(self._tail, self._at)

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
        if self._tail is not None:
            self._oldest[0] = number
            if before < now:
                self._shed()

    def work(self) -> Work:
        """Give what a thread should do now."""
        self._shed()
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

    def _take_up(self, start: Start) -> None:
        for piece in start.spares:
            self._discard(piece)
        self._pieces = start.pieces
        self.first, self.next = start.first, start.next
        if start.tail is not None:
            self._begin(start.tail, start.tail.count)
        elif self.next > 1:
            # Before any number is given away: the next start has to know.
            self._roll()
        self._shed()

    def _piece_after(self, index: int) -> int:
        """Give the index of the next piece, -1 if there is none: any number may be left out."""
        if index + 1 in self._pieces:
            return index + 1
        return min((each for each in self._pieces if each > index), default=-1)

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
        self._shed()

    def _shed(self) -> None:
        """Give back pieces all of whose entries are dropped.

        The last one stays, and the last file: it tells the next start where to go on.
        """
        used = (self.first - 1) // self._shape.capacity
        passed = [
            piece for piece in islice(self._pieces.values(), SHED_AT_ONCE) if piece.index < used
        ]
        if not passed:
            return
        stay = self._tail, self._last_file()
        for piece in passed:
            if piece not in stay:
                self._discard(self._pieces.pop(piece.index))

    def _begin(self, piece: Piece, at: int) -> None:
        self._tail = piece
        self._values = piece.values
        self._stamps = piece.stamps
        self._oldest = piece.oldest
        self._oldest[0] = self.first
        self._at = at
        self._room = self._shape.capacity
        piece.lead = max(piece.lead, self._lead)
        piece.mark(self._boot, State.BEGUN, piece.index)
        if self._files is not None and not piece.kept:
            self._note_reach(piece.index)

    def _note_reach(self, index: int) -> None:
        """Let a file know that numbers are given away of which no file knows."""
        piece = self._last_file()
        if piece is not None:
            piece.mark(self._boot, State.BEGUN, index)

    def _last_file(self) -> Piece | None:
        return next((piece for piece in reversed(self._pieces.values()) if piece.kept), None)

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
        fresh.count, fresh.lead = old.count, old.lead
        fresh.oldest[0] = self.first
        fresh.mark(self._boot, State.BEGUN, fresh.index)
        self._pieces[fresh.index] = fresh
        if old is self._tail:
            self._tail, self._values, self._stamps = fresh, fresh.values, fresh.stamps
            self._oldest = fresh.oldest
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
