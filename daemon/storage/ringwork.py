"""What a thread does for a ring: all that may block."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from daemon.storage.ringfiles import Piece, RingFiles

Place = tuple[Path, int]


@dataclass
class Done:
    """What a thread has done, for the ring's owner to take."""

    removed: list[Place] = field(default_factory=list)
    synced: list[tuple[Piece, int]] = field(default_factory=list)
    lost: list[Piece] = field(default_factory=list)
    made: Piece | None = None
    spare: Piece | None = None
    error: OSError | None = None


@dataclass(frozen=True)
class Work:
    """All that may block, to be done once by any thread while the ring goes on.

    :ivar passed: files to remove.
    :ivar held: pieces in files, and how many entries of each the disk should have.
    :ivar wanted: the piece in memory only that should get a file.
    :ivar spare: the piece that will be needed next, if it has no file yet.
    """

    files: RingFiles | None
    passed: list[Place]
    held: list[tuple[Piece, Place, int]]
    wanted: int | None
    spare: int | None

    def run(self) -> Done:
        """Do it. Raises nothing."""
        done = Done()
        if self.files is None:
            return done
        for place in self.passed:
            try:
                self.files.remove(*place)
                done.removed.append(place)
            except OSError as error:
                done.error = error
        for piece, place, count in self.held:
            try:
                if piece.synced < count:
                    self.files.sync(*place)
                    done.synced.append((piece, count))
                else:
                    self.files.check(*place)
            except OSError as error:
                done.lost.append(piece)
                done.error = error
        try:
            if self.wanted is not None:
                done.made = self.files.make(self.wanted)
            if self.spare is not None:
                done.spare = self.files.make(self.spare)
        except OSError as error:
            done.error = error
        return done
