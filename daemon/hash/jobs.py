"""The hash service's rule: which jobs there are, and from when on each can be read.

The delay is the same for all, so jobs become ready in the order of their ids: they are one queue,
and which of them are ready is one number, found when someone asks. No timer decides it.
"""

from __future__ import annotations

from typing import Final

from daemon.storage.ring import Ring

DIGEST_BYTES: Final = 64
"""Of a SHA-512."""

_US: Final = 1_000_000


class NoSuchJobError(Exception):
    """No job ever had this id."""


class EvictedError(Exception):
    """A job had this id, and has made room for a later one."""


class AllPendingError(Exception):
    """No job is finished that could make room for another.

    :ivar reply_fields: when to come again.
    """

    def __init__(self, wait_us: int) -> None:
        super().__init__("as many jobs as there is room for are pending")
        self.reply_fields = {"Retry-After": str(seconds_up(wait_us))}


class Jobs:
    """The jobs, numbered 1, 2, 3, … in the order in which they came.

    Times are microseconds since the epoch, and never fall from call to call.

    :param ring: open; belongs to the jobs from now on. Values are of :data:`DIGEST_BYTES`.
    :param capacity: how many jobs are kept.
    :param delay_us: from a job's arrival until it is ready.
    :param now_us: jobs that the ring holds already are ready when they were to be, but in the
        longest delay that they had at the latest: later ones are due to a clock that was set back.
    :ivar accepted: how many were added.
    :ivar evicted: how many have made room for others.
    :ivar refused: how many were not added, because all jobs were pending.
    :ivar last_due_us: when the last job is ready; 0 without any.
    """

    def __init__(self, ring: Ring, capacity: int, delay_us: int, now_us: int) -> None:
        self.accepted = self.evicted = self.refused = 0
        self._ring = ring
        self._append = ring.append
        self._delay_us = delay_us
        self._capacity = capacity
        self._room = capacity - ring.count()
        ring.lead_by(delay_us)
        ring.lower(now_us + ring.lead)
        self.last_due_us = ring.newest
        self._head = ring.first_above(1, now_us)
        self._evict(0, now_us)

    def add(self, digest: bytes, now_us: int) -> int:
        """Add a job that comes now.

        :returns: its id.
        :raises AllPendingError: there is no room, and nothing can make room.
        :raises OSError: memory is exhausted; nothing was added.
        """
        if self._room < 1:
            self._evict(1, now_us)
            if self._room < 1:
                self.refused += 1
                raise AllPendingError(self._ring.stamp(self._ring.nth(-self._room)) - now_us)
        due = now_us + self._delay_us
        if due < self.last_due_us:  # noqa: PLR1730  # max() takes its time
            due = self.last_due_us  # of a longer delay, before the last start: one order for all
        number = self._append(due, digest)
        self.last_due_us = due
        self._room -= 1
        self.accepted += 1
        return number

    def due_us(self, number: int) -> int:
        """Give the time from which on a job can be read.

        :raises NoSuchJobError: there was none of that id.
        :raises EvictedError: it is not there any more.
        """
        if number < self._ring.first:
            raise EvictedError("this job has made room for later ones")
        due = self._ring.stamp(number)
        if not due or number >= self._ring.next:
            raise NoSuchJobError("there is no such job")
        return due

    def digest(self, number: int) -> bytes:
        """Give the digest of a job that is there."""
        return self._ring.value(number)

    def pending(self, now_us: int) -> int:
        """Count the jobs that are not ready yet."""
        self._head = self._ring.first_above(self._head, now_us)
        return 0 if self._head == self._ring.next else self._ring.count(self._head)

    def ready(self, now_us: int) -> int:
        """Count the jobs that can be read."""
        return self._ring.count() - self.pending(now_us)

    def _evict(self, room: int, now_us: int) -> None:
        """Let the oldest jobs go, as far as they are ready, until there is so much room."""
        ring = self._ring
        wanted = room - self._room
        if wanted < 1 or ring.first == ring.next or ring.stamp(ring.first) > now_us:
            return
        following = ring.first + 1
        if wanted == 1 and ring.stamp(following):
            gone = 1
        else:
            following = min(ring.nth(wanted), ring.first_above(self._head, now_us))
            gone = ring.count() - ring.count(following)
        ring.drop_before(following)
        self._room += gone
        self.evicted += gone


def seconds_up(us: int) -> int:
    """Give microseconds as whole seconds, rounded up, at least one."""
    return max(1, -(-us // _US))
