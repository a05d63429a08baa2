"""Which job a client means that says it may be asking again (the ``Idempotency-Key`` field).

Neither keys nor passwords are kept, but what a keyed hash makes of them: the key of that is of this
process, and random.
"""

from __future__ import annotations

import hmac
import os
from collections import deque
from hashlib import blake2b
from typing import Final, NamedTuple

from daemon.hash.jobs import seconds_up

MAX_KEY_BYTES: Final = 255
_MARK_BYTES: Final = 16
_SECRET_BYTES: Final = 32


class BadKeyError(Exception):
    """The field is no key."""


class OtherPasswordError(Exception):
    """The key came with another password before."""


class TooManyKeysError(Exception):
    """As many keys as may be are remembered; forgetting one of them early would break a promise.

    :ivar reply_fields: when to come again.
    """

    def __init__(self, wait_us: int) -> None:
        super().__init__("too many Idempotency-Keys are in use; without one this works")
        self.reply_fields = {"Retry-After": str(seconds_up(wait_us))}


class _Known(NamedTuple):
    job: int
    password: bytes


class Keys:
    """Remembers keys for a time.

    Times are microseconds since the epoch, and never fall from call to call.

    :param capacity: how many at most.
    :param lifetime_us: from the first use of a key until it is forgotten.
    """

    def __init__(self, capacity: int, lifetime_us: int) -> None:
        self._capacity = capacity
        self._lifetime_us = lifetime_us
        self._secret = os.urandom(_SECRET_BYTES)
        self._known: dict[bytes, _Known] = {}
        self._until: deque[tuple[int, bytes]] = deque()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: bytes, digest: bytes, now_us: int) -> int | None:
        """Give the job that was made with a key, None if it is new.

        :param digest: of the password.
        :raises BadKeyError: it is no key.
        :raises OtherPasswordError: it came with another password before.
        :raises TooManyKeysError: it is new, and there is no room for it.
        """
        if not 1 <= len(key) <= MAX_KEY_BYTES:
            raise BadKeyError(f"an Idempotency-Key has 1 to {MAX_KEY_BYTES} bytes")
        self._forget(now_us)
        known = self._known.get(self._mark(key))
        if known is None:
            if len(self._known) >= self._capacity:
                wait_us = self._until[0][0] - now_us if self._until else self._lifetime_us
                raise TooManyKeysError(wait_us)
            return None
        if not hmac.compare_digest(known.password, self._mark(digest)):
            raise OtherPasswordError("this Idempotency-Key came with another password before")
        return known.job

    def remember(self, key: bytes, digest: bytes, job: int, now_us: int) -> None:
        """Remember a key for which :meth:`find` has found nothing."""
        mark = self._mark(key)
        self._known[mark] = _Known(job, self._mark(digest))
        self._until.append((now_us + self._lifetime_us, mark))

    def _forget(self, now_us: int) -> None:
        while self._until and self._until[0][0] <= now_us:
            del self._known[self._until.popleft()[1]]

    def _mark(self, text: bytes) -> bytes:
        return blake2b(text, key=self._secret, digest_size=_MARK_BYTES).digest()
