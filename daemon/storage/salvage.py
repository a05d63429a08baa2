"""What a start makes of the files that it finds: it keeps what is readable, whatever happened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from daemon.storage.aside import set_aside
from daemon.storage.segments import (
    FileSegment,
    SegmentFiles,
    Stretch,
    UnreadableError,
    cut,
    read,
    sync,
)


@dataclass(frozen=True)
class Trouble:
    """Something that someone should look at.

    :ivar part: what is in trouble, in a few words: the same for the same thing.
    :ivar why: what is wrong with it, in one line.
    """

    part: str
    why: str


@dataclass
class Salvage:
    """What was found.

    :ivar segments: what is readable, oldest first.
    :ivar end: how many entries the column ever got.
    :ivar future: how many entries were dropped because they cannot be true.
    :ivar troubles: what was not as it should be.
    """

    segments: list[FileSegment] = field(default_factory=list)
    end: int = 0
    future: int = 0
    troubles: list[Trouble] = field(default_factory=list)

    def take(self, files: SegmentFiles, latest: int) -> None:
        """Read all files of a column, bring them in order, and clean them.

        No file is changed before all were looked at.

        :param latest: greater entries cannot be true; they are taken out of the files.
        :raises NewerFormatError: a file is from a later version; nothing was changed.
        :raises OSError: the folder cannot be made or listed.
        """
        folder = files.folder
        if not folder.is_dir() and (folder.exists() or folder.is_symlink()):
            self._set_aside(folder, "it is no folder")
        stretches: list[Stretch] = []
        unreadable: list[tuple[Path, str]] = []
        for path in files.paths():
            try:
                stretches.append(read(path))
            except (UnreadableError, OSError) as error:
                unreadable.append((path, str(error)))
        for path, why in unreadable:
            self._set_aside(path, why)
        for stretch in self._in_order(stretches, latest):
            self._keep(stretch, _believable(stretch, latest))

    def _in_order(self, stretches: Iterable[Stretch], latest: int) -> Iterator[Stretch]:
        """Set aside what contradicts what came before it, and tell of gaps."""
        end = newest = 0
        before = ""
        last: Stretch | None = None
        for stretch in sorted(stretches, key=_best_first):
            path, values = stretch.path, stretch.values
            if len(values):
                believable = _believable(stretch, latest)
                if last is not None and not stretch.torn and _holds(last, stretch):
                    self._remove(path, last.path)
                    continue
                if stretch.anchor < end:
                    self._set_aside(path, f"{before} has the same entries")
                    continue
                if believable and values[0] < newest:
                    self._set_aside(path, f"its entries are older than those of {before}")
                    continue
                if before and stretch.anchor > end:
                    missing = f"{stretch.anchor - end} entries before those of {path} are missing"
                    self.troubles.append(Trouble(f"before {path.name}", missing))
                end = stretch.anchor + len(values)
                newest = int(values[believable - 1]) if believable else newest
                before = path.name
                last = stretch
            if stretch.torn:
                why = f"{path} was torn: {len(values)} entries of it are readable"
                self.troubles.append(Trouble(path.name, why))
            yield stretch

    def _keep(self, stretch: Stretch, count: int) -> None:
        """Add the first entries of a file, and leave no others in it."""
        values = stretch.values
        self.future += len(values) - count
        # What was dropped as untrue leaves no gap: the next entry takes its place.
        if count or not self.future:
            self.end = max(self.end, stretch.anchor + count)
        if stretch.torn or count < max(len(values), 1):
            try:
                cut(stretch, count)
            except OSError as error:
                # The next start finds them again: the anchors must not repeat theirs.
                self.end = max(self.end, stretch.anchor + len(values))
                why = f"{stretch.path} keeps entries that it should not have: {error}"
                self.troubles.append(Trouble(f"cut {stretch.path.name}", why))
        if count:
            self.segments.append(
                FileSegment(
                    memoryview(values.data).cast("B").cast("q"),
                    anchor=stretch.anchor,
                    count=count,
                    path=stretch.path,
                    inode=stretch.inode,
                )
            )

    def _remove(self, path: Path, other: Path) -> None:
        """Remove a file whose entries another one has: a crash between the two has left it.

        The disk may have refused one of them: first it has to take the other.
        """
        try:
            sync(other)
            path.unlink()
        except OSError as error:
            why = f"{path} has nothing that others do not have, and cannot be removed: {error}"
            self.troubles.append(Trouble(path.name, why))

    def _set_aside(self, path: Path, why: str) -> None:
        try:
            done = f"it is now called {set_aside(path).name}"
        except OSError as error:
            done = f"it stays where it is: {error}"
        self.troubles.append(Trouble(path.name, f"{path} is not used: {why}; {done}"))


def _believable(stretch: Stretch, latest: int) -> int:
    """Count the entries that are not greater than the latest that can be true."""
    return int(np.searchsorted(stretch.values, latest, side="right"))


def _best_first(stretch: Stretch) -> tuple[int, int, int]:
    """Order stretches; of those that begin with the same entry, the longest, then the newest.

    The newest is the one that was written because the disk had refused the other.
    """
    try:
        written_ns = stretch.path.stat().st_mtime_ns
    except OSError:
        written_ns = 0
    return stretch.anchor, -len(stretch.values), -written_ns


def _holds(one: Stretch, other: Stretch) -> bool:
    """Whether all entries of another stretch are in this one, at the same places."""
    start = other.anchor - one.anchor
    return np.array_equal(one.values[start : start + len(other.values)], other.values)
