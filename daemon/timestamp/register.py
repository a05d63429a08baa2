"""The register: one timestamp, one order of writes, and an entity tag for each of them.

A write is decided in :meth:`Register.begin`, against what was written before it, and shows in
:meth:`Register.end`, when it is stored. In between, its batch is on its way to the disk.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from daemon.http.conditions import UNCONDITIONAL, Conditions
from daemon.timestamp.text import NotATimestampError, parse

TAG_BYTES: Final = 120
"""What an entity tag of a condition takes in memory beside its characters."""

_REFUSED: Final = "the conditions of the request do not hold: nothing written"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class PreconditionFailedError(Exception):
    """The conditions of a write do not hold; nothing was written."""


class NotStoredError(Exception):
    """A write was not stored. The value before it stays, and so does its entity tag."""


class StorageFullError(NotStoredError):
    """There was no room to store it."""


class Stored(NamedTuple):
    """A timestamp that was written.

    :ivar text: the timestamp, as it was sent.
    :ivar revision: names this write and no other, ever; the opaque tag of its entity tag.
    """

    text: str
    revision: str

    @property
    def etag(self) -> str:
        """The entity tag, as it stands in ``ETag``."""
        return f'"{self.revision}"'

    def encode(self) -> bytes:
        """Give it as bytes, for :meth:`decode`."""
        return f"{self.revision} {self.text}".encode("ascii")

    @classmethod
    def decode(cls, value: bytes) -> Stored:
        """Read what :meth:`encode` gave.

        :raises ValueError: the bytes are nothing of the kind.
        """
        revision, _, text = value.decode("ascii").partition(" ")
        if not revision or parse(text.encode()) != text:
            raise NotATimestampError(f"no revision and timestamp: {value!r}")
        return cls(text, revision)


class Write(NamedTuple):
    """A request to write.

    :ivar text: a timestamp that :func:`daemon.timestamp.text.parse` gave.
    :ivar conditions: must hold when its turn comes.
    """

    text: str
    conditions: Conditions = UNCONDITIONAL

    @property
    def size_bytes(self) -> int:
        """What its conditions take in memory, about."""
        fields = (self.conditions.if_match, self.conditions.if_none_match)
        tags = [tag for each in fields if each for tag in (*each.strong, *each.weak)]
        return sum(map(len, tags)) + TAG_BYTES * len(tags)


class Batch(NamedTuple):
    """Writes that were decided together and are to be stored together.

    :ivar outcomes: what becomes of each once the batch is stored; None stands for a refusal.
    :ivar last: the last that was accepted, if any was: all that needs storing.
    """

    outcomes: list[Stored | None]
    last: Stored | None


def _keep_nothing(_value: bytes) -> None:
    """Store in memory only."""


def _tell_nobody() -> None:
    """Leave the change unsaid."""


class Register:
    """Holds the timestamp. Its owner calls it from one thread, but for :meth:`store`.

    With a disk, :class:`daemon.storage.commit.GroupCommit` calls ``begin``, ``store`` and ``end``
    for each batch; in memory, :meth:`write` does it all at once.

    Revisions are the name of this run of the daemon and a number. So none is used twice even if
    the disk lost the value, or an older copy of it was put back.

    :param boot: the name of this run: random, of 64 bits at least, of ASCII letters and digits.
    :param stored: what an earlier run left.
    :param keep: stores a value for good; called in a thread, and may block and raise.
    :param on_change: called when the value that readers see has changed.
    :ivar current: what readers see.
    :ivar writes: how many writes were accepted in this run, stored or not.
    """

    def __init__(
        self,
        boot: str,
        stored: Stored | None = None,
        *,
        keep: Callable[[bytes], None] = _keep_nothing,
        on_change: Callable[[], None] = _tell_nobody,
    ) -> None:
        self._boot = boot
        self._keep = keep
        self._on_change = on_change
        self.writes = 0
        self.current = stored

    def write(self, write: Write) -> Stored:
        """Write at once: for a register in memory, of which no batch is ever under way.

        :raises PreconditionFailedError: its conditions do not hold.
        """
        batch = self.begin((write,))
        if batch.last is None:
            raise PreconditionFailedError(_REFUSED)
        self._show(batch.last)
        return batch.last

    def begin(self, items: Sequence[Write]) -> Batch:
        """Decide writes in their order, each as if those before it were stored.

        Nothing of it may be seen before :meth:`end`.
        """
        current = self.current
        last = None
        outcomes: list[Stored | None] = []
        for text, conditions in items:
            if conditions is not UNCONDITIONAL and conditions.refusal(
                current.revision if current else None, reading=False
            ):
                outcomes.append(None)
                continue
            self.writes += 1
            current = last = Stored(text, f"{self._boot}-{self.writes}")
            outcomes.append(last)
        return Batch(outcomes, last)

    def store(self, batch: Batch) -> None:
        """Store the outcome of a batch; in a thread.

        :raises OSError: it is not stored.
        """
        if batch.last is not None:
            self._keep(batch.last.encode())

    def end(self, batch: Batch, outcome: Exception | None) -> list[Stored | Exception]:
        """Show a batch that was stored, or drop one that was not.

        :param outcome: None when it was stored, else why it was not.
        :returns: for each write what was stored or why it was not. When the batch was not stored,
            a refused write fails as well: it may have been refused for one that never happened.
        """
        if outcome is not None:
            return [_failure(outcome) for _ in batch.outcomes]
        if batch.last is not None:
            self._show(batch.last)
        return [stored or PreconditionFailedError(_REFUSED) for stored in batch.outcomes]

    def _show(self, stored: Stored) -> None:
        """Let readers see what is stored."""
        self.current = stored
        self._on_change()


def _failure(error: Exception) -> Exception:
    """Say what a failed store means for one write."""
    if not isinstance(error, OSError):
        return error
    kind = StorageFullError if error.errno in _FULL else NotStoredError
    failure = kind(f"the timestamp could not be stored: {error.strerror or error}")
    failure.__cause__ = error
    return failure
