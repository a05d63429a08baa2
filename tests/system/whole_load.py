"""Mixed load on the whole daemon, and what must hold of each service after a crash."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Final

from tests.system.callbacks import Sender, even
from tests.system.counted import Counted
from tests.system.hash_history import Hasher
from tests.system.http_clients import HTTPClient
from tests.system.number_feed import NumberFeed
from tests.system.running import eventually
from tests.system.timestamp_history import Recorder
from tests.system.whole import Whole
from tests.timestamp.linearizability import NOTHING, Operation, Read, Write, violation

CLIENTS: Final = 2
"""Of each service."""

ANSWERS: Final = 20
"""What each service gives in a round before the daemon may die."""


class MixedLoad:
    """Clients of all services, over the restarts of a daemon.

    :param whole: the daemon.
    :param delay_s: its ``hash.delay``.
    """

    def __init__(self, whole: Whole, delay_s: float) -> None:
        self._whole = whole
        self._counted = [Counted(whole.places["counter"]) for _ in range(CLIENTS)]
        self._hashers = [
            Hasher(whole.places["hash"], f"client{number}", delay_s) for number in range(CLIENTS)
        ]
        self._senders: list[Sender] = []
        self._serials = itertools.count(1)
        self._seeds = itertools.count()
        self._feeds: list[NumberFeed] = []
        self._count = 0
        self._etag: str | None = NOTHING
        self._tags: list[str] = []
        self._history: list[Operation] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask all services without a pause, and let go on when each of them has answered."""
        whole, stopped = self._whole, threading.Event()
        recorders = [Recorder(whole.places["timestamp"], next(self._seeds)) for _ in range(CLIENTS)]
        self._feeds = [NumberFeed(whole.places["numbers"], whole.log) for _ in range(CLIENTS)]
        before = self._answers(recorders)
        runs: list[Callable[[threading.Event], object]] = []
        for clients in (self._counted, self._hashers, self._feeds, recorders):
            runs += [client.run for client in clients]
        with ThreadPoolExecutor(len(runs)) as pool, ExitStack() as stack:
            stack.callback(stopped.set)
            under_way = [pool.submit(run, stopped) for run in runs]
            for _ in range(CLIENTS):
                sender = Sender(whole.address("callback"), self._serials, keep=True)
                self._senders.append(stack.enter_context(sender))

            def has_answered() -> bool:
                assert whole.daemon.is_running, whole.daemon.stderr
                now = self._answers(recorders)
                return all(now[name] - before[name] >= ANSWERS for name in now)

            eventually(has_answered)
            yield
            stopped.set()
            for each in under_way:
                each.result()
        self._history = [operation for each in recorders for operation in each.history]

    def require_log(self) -> None:
        """See that the log of numbers holds what it held, and nothing that was not sent."""
        content = self._whole.log.read_bytes()
        assert all(content.startswith(feed.seen) for feed in self._feeds)
        *numbers, rest = content.decode("ascii").split("\n")
        assert rest == "", "the last line is torn"
        assert len(set(numbers)) == len(numbers)
        sent = set().union(*(feed.sent for feed in self._feeds))
        assert set(numbers) <= set(map(str, sent))

    def require_kept(self) -> None:
        """See what the services have kept; the daemon has just been started, nobody else asks."""
        troubles = self._whole.troubles()
        assert not troubles, troubles
        self._require_count()
        self._require_timestamp()
        self._require_jobs()
        self._require_callbacks()

    def require_jobs_to_be_ready(self) -> None:
        """Wait until all jobs are ready, and see that they are right."""
        client = HTTPClient(self._whole.places["hash"].address)
        for hasher in self._hashers:
            eventually(lambda: hasher.all_ready(client))  # noqa: B023
            assert not hasher.wrong, hasher.wrong[:3]
        client.close()

    def _answers(self, recorders: list[Recorder]) -> dict[str, int]:
        return {
            "counter": sum(client.answered for client in self._counted),
            "hash": sum(len(client.jobs) for client in self._hashers),
            "timestamp": sum(len(recorder.history) for recorder in recorders),
            "callback": sum(len(sender.answered) for sender in self._senders),
            "numbers": sum(feed.seen.count(b"\n") for feed in self._feeds),
        }

    def _require_count(self) -> None:
        """Not one request that was answered is missing, and none is too many."""
        at_least = self._count + sum(client.answered for client in self._counted) + 1
        at_most = at_least + sum(client.lost for client in self._counted)
        count = int(self._whole.ask("counter", "GET", "/").body)
        assert at_least <= count <= at_most, f"{count}, not {at_least} to {at_most}"
        self._count = count
        for client in self._counted:
            client.answered = client.lost = 0

    def _require_timestamp(self) -> None:
        """What clients saw, and what is there now, is linearizable; no tag was given twice."""
        invoked = time.monotonic()
        reply = self._whole.ask("timestamp", "GET", "/timestamp")
        etag, text = (reply.etag, reply.body.decode()) if reply.status == 200 else (NOTHING, None)
        kept = Read(invoked=invoked, returned=time.monotonic(), etag=etag, text=text)
        found = violation([*self._history, kept], self._etag)
        assert found is None, found
        writes = (each for each in self._history if isinstance(each, Write))
        self._tags += [write.etag for write in writes if write.etag is not None]
        assert len(set(self._tags)) == len(self._tags)
        self._etag = etag

    def _require_jobs(self) -> None:
        """All jobs are there, right, not ready too early or too late; no id was given twice."""
        client = HTTPClient(self._whole.places["hash"].address)
        for hasher in self._hashers:
            hasher.all_ready(client)
            assert not hasher.wrong, hasher.wrong[:3]
        client.close()
        numbers = [job.number for hasher in self._hashers for job in hasher.jobs]
        assert len(set(numbers)) == len(numbers)
        assert max(numbers) <= sum(hasher.sent for hasher in self._hashers)

    def _require_callbacks(self) -> None:
        """Each callback that was answered is worked on to the end, and no other."""
        answered = even(itertools.chain(*(sender.answered for sender in self._senders)))
        sent = even(itertools.chain(*(sender.sent for sender in self._senders)))
        ids: Callable[[], set[int]] = self._whole.database.ids
        eventually(lambda: answered <= ids())
        assert ids() <= sent
        wrong = [sender.wrong for sender in self._senders if sender.wrong]
        assert not wrong, wrong
