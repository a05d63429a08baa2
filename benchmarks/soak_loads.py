"""Moderate load on each service, and what it must have led to."""

from __future__ import annotations

import itertools
import json
import time
from abc import ABC, abstractmethod
from base64 import b64encode
from collections import deque
from hashlib import sha512
from multiprocessing.synchronize import Event

import numpy as np

from benchmarks.callback_servers import body_of
from benchmarks.clients import connect
from benchmarks.hash_jobs import FORM, Asker
from benchmarks.http_servers import MEDIA_TYPE, require
from benchmarks.isolation_probes import request
from benchmarks.load import POLL_SECONDS
from benchmarks.number_files import LIMIT, Integers, log_complaints, number_lines
from benchmarks.whole_daemon import WholeDaemon

COUNTER_WINDOW_SECONDS = 60.0
HASH_DELAY_SECONDS = 5.0
HASH_CAPACITY = 10_000
LIFESPAN_SECONDS = 60
LOOKUP_SECONDS = 5.0
"""By then a callback must have been worked on."""

CHECK_SECONDS = 15.0
"""The longest time between two checks: no object may run out unseen."""

IDS = 5
PAGE = 1_000
PACKET_LINES = 20
SPREAD = 3**18
"""Has no divisor in common with 10**9: its multiples are all different numbers of nine digits."""


def settings(pace: int) -> tuple[str, ...]:
    """Return the settings of the daemon.

    :param pace: how many times as fast as usual it is asked.
    """
    return (
        f"counter.window={COUNTER_WINDOW_SECONDS}",
        f"hash.delay={HASH_DELAY_SECONDS}",
        # None may be evicted that is still to be read.
        f"hash.capacity={HASH_CAPACITY * pace}",
        f"callback.lifespan={LIFESPAN_SECONDS}",
    )


class SteadyLoad(ABC):
    """Asks one service at a steady pace.

    :ivar period_s: from one request to the next, seconds.
    :ivar done: how many were answered as they should be.
    :ivar stopped_s: when it stopped to ask.
    """

    period_s: float

    def __init__(self, daemon: WholeDaemon) -> None:
        self.daemon = daemon
        self.done = 0
        self.stopped_s = 0.0

    def run(self, stopped: Event) -> None:
        """Ask until someone says stop, and look now and then; raise at a wrong reply."""
        due = checked = time.monotonic()
        while not stopped.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            self.ask()
            self.done += 1
            # After a pause of its own it goes on from there: it has not to make up for it.
            due = max(due + self.period_s, time.monotonic() - self.period_s)
            if due - checked >= CHECK_SECONDS:
                checked = due
                self.check()
        self.stopped_s = time.monotonic()
        self.finish()

    def require_right(self, what: bool, complaint: str) -> None:
        """Raise unless something holds."""
        require(self.daemon, what, complaint)

    @abstractmethod
    def ask(self) -> None:
        """Ask once."""

    @abstractmethod
    def check(self) -> None:
        """Raise unless what was asked for so far is there; called now and then."""

    def finish(self) -> None:
        """Raise unless all that was asked for is there; nothing is asked any more."""
        self.check()


class Counting(SteadyLoad):
    """Requests to the counter, and whether its number is one of those it can be."""

    period_s = 0.01

    def __init__(self, daemon: WholeDaemon) -> None:
        super().__init__(daemon)
        self._asker = Asker(daemon.at("counter"))
        self._request = request("GET", "/")
        self._times: deque[tuple[float, float]] = deque()

    def ask(self) -> None:
        """Count one, and compare."""
        sent = time.monotonic()
        reply = self._asker.ask(self._request)
        answered = time.monotonic()
        head, _, body = reply.partition(b"\r\n\r\n")
        self.require_right(head.startswith(b"HTTP/1.1 200 ") and body.isdigit(), repr(reply))
        self._times.append((sent, answered))
        while self._times[0][1] <= sent - COUNTER_WINDOW_SECONDS:
            self._times.popleft()
        # What is left may be in the window; what was sent after its latest beginning is.
        at_most = len(self._times)
        latest = answered - COUNTER_WINDOW_SECONDS
        doubtful = itertools.takewhile(lambda each: each[0] <= latest, self._times)
        at_least = at_most - sum(1 for _ in doubtful)
        count = int(body)
        self.require_right(at_least <= count <= at_most, f"{count}, not {at_least} to {at_most}")

    def check(self) -> None:
        """Nothing is left to see: each reply was compared."""


class Writing(SteadyLoad):
    """Timestamps, stored and read back."""

    period_s = 0.02

    def __init__(self, daemon: WholeDaemon) -> None:
        super().__init__(daemon)
        self._asker = Asker(daemon.at("timestamp"))

    def ask(self) -> None:
        """Store one, and read it."""
        text = str(1_000_000_000 + self.done)
        reply = self._asker.ask(request("PUT", "/timestamp", text, MEDIA_TYPE))
        self.require_right(reply.startswith(b"HTTP/1.1 204 "), repr(reply))
        reply = self._asker.get("/timestamp")
        self.require_right(reply.endswith(b"\r\n\r\n" + text.encode()), repr(reply))

    def check(self) -> None:
        """Nothing is left to see: each one was read."""


class Hashing(SteadyLoad):
    """Jobs, each read when it has been ready for a second."""

    period_s = 0.01

    def __init__(self, daemon: WholeDaemon) -> None:
        super().__init__(daemon)
        self._asker = Asker(daemon.at("hash"))
        self._jobs: deque[tuple[float, int, str]] = deque()

    def ask(self) -> None:
        """Add one, and read the one that is due."""
        password = f"soak{self.done}"
        reply = self._asker.ask(request("POST", "/hash", f"password={password}", FORM))
        head, _, body = reply.partition(b"\r\n\r\n")
        expected = str(self.done + 1).encode()
        self.require_right(head.startswith(b"HTTP/1.1 200 ") and body == expected, repr(reply))
        self._jobs.append((time.monotonic() + HASH_DELAY_SECONDS + 1, int(body), password))
        if self._jobs[0][0] <= time.monotonic():
            self._read()

    def check(self) -> None:
        """See that all were counted."""
        before = self.done
        total = int(json.loads(self.daemon.get("hash", "/stats")[1])["total"])
        self.require_right(before <= total <= self.done + 1, f"{total} jobs, not {before}")

    def finish(self) -> None:
        """Read what is left."""
        self.check()
        while self._jobs:
            time.sleep(max(0.0, self._jobs[0][0] - time.monotonic()))
            self._read()

    def _read(self) -> None:
        _, number, password = self._jobs.popleft()
        reply = self._asker.get(f"/hash/{number}")
        digest = b64encode(sha512(password.encode()).digest())
        self.require_right(reply.endswith(b"\r\n\r\n" + digest), f"job {number}: {reply!r}")


class Calling(SteadyLoad):
    """Callbacks that name objects that nobody else has named; the source says all are online."""

    period_s = 0.05

    def __init__(self, daemon: WholeDaemon) -> None:
        super().__init__(daemon)
        self._asker = Asker(daemon.at("callback"))
        self._posted: deque[tuple[float, int]] = deque()

    def ask(self) -> None:
        """Post one."""
        first = self.done * IDS
        body = body_of(range(first, first + IDS)).decode()
        reply = self._asker.ask(request("POST", "/callback", body, "application/json"))
        self.require_right(reply.startswith(b"HTTP/1.1 204 "), repr(reply))
        self._posted.append((time.monotonic(), first))

    def check(self) -> None:
        """See that all objects of callbacks that are old enough are stored, before they expire."""
        latest = time.monotonic() - LOOKUP_SECONDS
        expected: list[int] = []
        while self._posted and self._posted[0][0] < latest:
            first = self._posted.popleft()[1]
            expected += range(first, first + IDS)
        if not expected:
            return
        found: set[int] = set()
        page: str | None = f"/objects?limit={PAGE}&after={expected[0] - 1}"
        while page is not None:
            reply = json.loads(self.daemon.get("callback", page)[1])
            found.update(entry["id"] for entry in reply["objects"])
            page = reply["next"]
        lost = [number for number in expected if number not in found]
        self.require_right(not lost, f"{len(lost)} objects of callbacks are lost: {lost[:5]}")

    def finish(self) -> None:
        """Wait for the last ones."""
        time.sleep(LOOKUP_SECONDS)
        self.check()
        metrics = self.daemon.metrics()
        accepted = metrics["tsdaemon_callback_accepted_total"]
        self.require_right(accepted == self.done, f"{accepted:,.0f} of {self.done:,} accepted")
        for name in ("inbox_depth", "expired_callbacks_total"):
            count = metrics[f"tsdaemon_callback_{name}"]
            self.require_right(count == 0, f"{name} is {count:,.0f} at the end")


class Numbering(SteadyLoad):
    """Numbers, none of them twice, from one client."""

    period_s = 0.01

    def __init__(self, daemon: WholeDaemon) -> None:
        super().__init__(daemon)
        self._connection = connect(daemon.ports["numbers"])

    def numbers(self, first: int, last: int) -> Integers:
        """Give the numbers from one place in the sequence to before another."""
        serials = np.arange(first, last, dtype=np.int64)
        numbers: Integers = (serials * SPREAD % LIMIT).astype(np.int32)
        return numbers

    def ask(self) -> None:
        """Send some."""
        first = self.done * PACKET_LINES
        self._connection.sendall(number_lines(self.numbers(first, first + PACKET_LINES)))

    def check(self) -> None:
        """Nothing is to be seen before the end: the log grows."""

    def finish(self) -> None:
        """Wait until all have been read, and compare the log."""
        expected = np.sort(self.numbers(0, self.done * PACKET_LINES))
        deadline = time.monotonic() + LOOKUP_SECONDS
        complaints = ["not looked at"]
        while complaints and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS * 100)
            complaints = log_complaints(self.daemon.log, expected, keeps_zeros=False)
        self.require_right(not complaints, f"the log of numbers is wrong: {complaints}")
        self._connection.close()


LOADS: tuple[type[SteadyLoad], ...] = (Counting, Writing, Hashing, Calling, Numbering)
