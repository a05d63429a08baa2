"""A column of int64 in mapped files: what was appended outlives the process, however it ends.

An entry is stored in a mapped page and by that is the system's: no call, nothing to flush. What the
disk holds after a loss of power is another matter, and the work of a thread, together with all that
may block: new files are made before they are needed, and files that are done with are removed.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from daemon.storage.salvage import Salvage, Trouble
from daemon.storage.segments import (
    ENTRY_BYTES,
    HEADER,
    FileSegment,
    Segment,
    SegmentFiles,
    in_memory,
)

CAPACITY: Final = ((4 << 20) - HEADER.size) // ENTRY_BYTES
"""Entries in one file of 4 MiB: a second's work of the thread lasts for many seconds."""

NOTHING: Final = (1 << 63) - 1
"""The oldest entry of an empty column: greater than any limit."""

STORING: Final = "column"
"""The part that is in trouble while entries are in memory only."""


@dataclass(frozen=True)
class Opened:
    """What an opening has found.

    :ivar count: entries that are in the column now.
    :ivar future: entries that were dropped because they cannot be true.
    :ivar troubles: what was not as it should be. That of :data:`STORING` goes by itself, as
        :meth:`Column.take` tells; the others remain as they are.
    """

    count: int
    future: int
    troubles: list[Trouble]


@dataclass
class Done:
    """What a thread has done, for the column's owner to take.

    :ivar removed: segments that no longer exist.
    :ivar synced: segments the disk has, and how many entries of each.
    :ivar lost: segments that are not held by their file any more, if they ever were.
    :ivar stored: segments that had no file, and what takes their place.
    :ivar spare: a new file.
    :ivar error: what went wrong.
    """

    removed: list[Segment] = field(default_factory=list)
    synced: list[tuple[FileSegment, int]] = field(default_factory=list)
    lost: list[FileSegment] = field(default_factory=list)
    stored: list[tuple[Segment, FileSegment]] = field(default_factory=list)
    spare: FileSegment | None = None
    error: OSError | None = None


@dataclass(frozen=True)
class Work:
    """All that may block, to be done once by any thread while the column goes on.

    :ivar files: where the column is stored.
    :ivar capacity: entries in a new file.
    :ivar passed: segments to remove.
    :ivar held: segments in files, and how many entries of each the disk should have.
    :ivar loose: segments in memory only.
    :ivar spare_wanted: whether a new file is to be made.
    """

    files: SegmentFiles
    capacity: int
    passed: list[Segment]
    held: list[tuple[FileSegment, int]]
    loose: list[Segment]
    spare_wanted: bool

    def run(self) -> Done:
        """Do it. Raises nothing."""
        done = Done()
        for segment in self.passed:
            try:
                segment.discard()
                done.removed.append(segment)
            except OSError as error:
                done.error = error
        for kept, count in self.held:
            try:
                if kept.synced < count:
                    self.files.sync(kept)
                    done.synced.append((kept, count))
                else:
                    self.files.check(kept)
            except OSError as error:
                done.lost.append(kept)
                done.error = error
        try:
            if self.spare_wanted:
                done.spare = self.files.make(self.capacity)
            for loose in self.loose:
                done.stored.append((loose, self.files.store(loose)))
        except OSError as error:
            done.error = error
        return done


class Column:
    """Positive int64 that never fall: appended at the end, dropped from the front.

    It is one thread's, its owner's. Once a second or so the owner calls :meth:`work`, has what that
    gives run by another thread, and hands the result to :meth:`take`. While that is under way the
    owner goes on as always; only one work is under way at a time.

    Where no file can be written, the column goes on in memory, and what is in memory is written
    when that is possible again.

    :param folder: where the files are; made when it is opened, the one above it exists.
    :param capacity: entries in a file.
    :ivar count: how many entries there are; read only.
    :ivar oldest: the first of them, or :data:`NOTHING`; read only.
    """

    def __init__(self, folder: Path, capacity: int = CAPACITY) -> None:
        self.count = 0
        self.oldest = NOTHING
        self._files = SegmentFiles(folder)
        self._capacity = capacity
        self._segments: deque[Segment] = deque()
        self._passed: list[Segment] = []
        self._spare: FileSegment | None = None
        self._trouble: Trouble | None = None
        self._tail: memoryview[int]
        self._at = self._room = 0
        self._head: memoryview[int]
        self._head_at = self._head_end = 0

    def open(self, latest: int) -> Opened:
        """Take up what the files hold. Nothing but a newer format keeps it from opening.

        :param latest: greater entries cannot be true, and are dropped from the files too.
        :raises NewerFormatError: a file is from a later version; no file was changed.
        """
        found = Salvage()
        try:
            found.take(self._files, latest)
        except OSError as error:
            self._trouble = self._in_trouble(error)
        self._segments.extend(found.segments)
        self.count = sum(segment.count for segment in found.segments)
        self._begin(self._make(), found.end)
        troubles = [*found.troubles, *([self._trouble] if self._trouble else [])]
        return Opened(self.count, found.future, troubles)

    @property
    def newest(self) -> int:
        """The last entry, or 0."""
        if not self.count:
            return 0
        if self._at:
            return self._tail[self._at - 1]
        sealed = self._segments[-2]
        return sealed.entries[sealed.count - 1]

    @property
    def end(self) -> int:
        """The place behind the newest entry: it rises by one with each that is appended."""
        return self._segments[-1].anchor + self._at

    def append(self, value: int, limit: int = 0) -> int:
        """Add an entry, and drop all that are not greater than a limit.

        Both in one call, since under load the call is what costs.

        :param value: positive, and not smaller than the newest; this is not checked.
        :param limit: smaller than the value.
        :returns: how many entries there are.
        :raises OSError: files and memory are exhausted; nothing was added or dropped.
        """
        at = self._at
        if at == self._room:
            self._roll(self._spare or self._make())
            self._spare = None
            at = 0
        self._tail[at] = value
        self._at = at + 1
        if self.oldest <= limit:
            # One that comes for one that goes is the rule under load.
            at = self._head_at + 1
            if at < self._head_end:
                oldest = self._head[at]
                if oldest > limit:
                    self._head_at = at
                    self.oldest = oldest
                    return self.count
            self.count += 1
            self._drop_many(limit)
            return self.count
        self.count = count = self.count + 1
        if count == 1:
            self.oldest = value
        return count

    def drop_through(self, limit: int) -> None:
        """Drop all entries that are not greater than a limit."""
        if self.oldest <= limit:
            self._drop_many(limit)

    def work(self) -> Work:
        """Give what a thread should do now."""
        sealed = [(segment, segment.count) for segment in self._segments]
        sealed[-1] = (self._segments[-1], self._at)
        return Work(
            self._files,
            self._capacity,
            list(self._passed),
            [
                (segment, count)
                for segment, count in sealed
                if isinstance(segment, FileSegment) and segment.kept
            ],
            [segment for segment, _ in sealed[:-1] if not segment.kept],
            self._spare is None,
        )

    def take(self, done: Done) -> Trouble | None:
        """Take over what a thread has done.

        :returns: why not everything is in files and on the disk; None when it is.
        """
        for removed in done.removed:
            self._passed.remove(removed)
        for segment, count in done.synced:
            segment.synced = count
        for lost in done.lost:
            lost.kept = False
        for old, new in done.stored:
            self._replace(old, new)
        self._spare = done.spare or self._spare
        if self._spare and not self._segments[-1].kept:
            self._roll(self._spare)
            self._spare = None
        if done.error:
            self._trouble = self._in_trouble(done.error)
        elif all(segment.kept for segment in self._segments):
            self._trouble = None
        return self._trouble

    def close(self) -> Trouble | None:
        """Do all the work that is left, and let go of the files. Blocks as long as the disk does.

        No other work is under way, and the column is not used any more.

        :returns: why entries may be missing at the next start; None when none will be.
        """
        # The first turn may end what was in memory only, and the second store it.
        self.take(self.work().run())
        trouble = self.take(self.work().run())
        for segment in self._segments:
            segment.release()
        for unused in [*self._passed, *([self._spare] if self._spare else [])]:
            with contextlib.suppress(OSError):
                unused.discard()
        return trouble

    def _drop_many(self, limit: int) -> None:
        segments = self._segments
        while len(segments) > 1 and segments[0].entries[segments[0].count - 1] <= limit:
            passed = segments.popleft()
            self.count -= passed.count - self._head_at
            self._head_at = 0
            self._passed.append(passed)
        end = segments[0].count if len(segments) > 1 else self._at
        at = bisect_right(segments[0].entries, limit, self._head_at, end)
        self.count -= at - self._head_at
        self._head_at = at
        self._look_at_head()

    def _make(self) -> Segment:
        """Make a segment on the spot. A disk that is in trouble is left to the thread."""
        if not self._trouble:
            try:
                return self._files.make(self._capacity)
            except OSError as error:
                self._trouble = self._in_trouble(error)
        return in_memory(self._capacity)

    def _roll(self, fresh: Segment) -> None:
        """End the last segment, and append to another."""
        tail = self._segments[-1]
        tail.count = self._at
        if not self.count:
            self._head_at = 0
        if not (self.count and tail.count):
            self._passed.append(self._segments.pop())
        self._begin(fresh, tail.anchor + tail.count)

    def _begin(self, fresh: Segment, anchor: int) -> None:
        fresh.begin(anchor)
        self._segments.append(fresh)
        self._tail = fresh.entries
        self._room = len(fresh.entries)
        self._at = 0
        self._look_at_head()

    def _replace(self, old: Segment, new: FileSegment) -> None:
        """Let a segment that was written to a file take the place of that in memory."""
        try:
            at = self._segments.index(old)
        except ValueError:
            self._passed.append(new)
            return
        self._segments[at] = new
        self._passed.append(old)
        self._look_at_head()

    def _look_at_head(self) -> None:
        head = self._segments[0]
        self._head = head.entries
        self._head_end = head.count if len(self._segments) > 1 else self._room
        self.oldest = self._head[self._head_at] if self.count else NOTHING

    def _in_trouble(self, error: OSError) -> Trouble:
        # Without the file's name, which is another one each second.
        what = error.strerror or error
        return Trouble(STORING, f"{self._files.folder} does not take what it should: {what}")
