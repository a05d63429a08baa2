"""Mixed load on the whole daemon, and what must hold of each service after a crash."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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

LOADED: Final = ("timestamp", "counter", "hash", "callback", "numbers")
"""Who is kept busy."""

ANSWERS: Final = 20
"""What each service gives in a round before the daemon may die."""


class MixedLoad:
    """Clients of all services, over the restarts of a daemon.

    :param whole: the daemon.
    :param delay_s: its ``hash.delay``.
    :param failures: statuses that a timestamp which is not stored may get.
    :param pause_s: of each client, between two requests.
    """

    def __init__(
        self,
        whole: Whole,
        delay_s: float,
        failures: frozenset[int] = frozenset(),
        pause_s: float = 0.0,
    ) -> None:
        self._whole = whole
        self._failures = failures
        self._pause_s = pause_s
        self._counted = [Counted(whole.places["counter"], pause_s) for _ in range(CLIENTS)]
        self._hashers = [
            Hasher(whole.places["hash"], f"client{number}", delay_s, pause_s)
            for number in range(CLIENTS)
        ]
        self._senders: list[Sender] = []
        self._serials = itertools.count(1)
        self._seeds = itertools.count()
        self._feeds: list[NumberFeed] = []
        self._recorders: list[Recorder] = []
        self._runs: list[Future[object]] = []
        self._count = 0
        self._etag: str | None = NOTHING
        self._tags: list[str] = []
        self._history: list[Operation] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ask all services again and again, and let go on when each of them has answered."""
        whole, stopped = self._whole, threading.Event()
        self._recorders = [
            Recorder(whole.places["timestamp"], next(self._seeds), self._failures, self._pause_s)
            for _ in range(CLIENTS)
        ]
        self._feeds = [
            NumberFeed(whole.places["numbers"], whole.log, self._pause_s) for _ in range(CLIENTS)
        ]
        clients_of_all: list[Callable[[threading.Event], object]] = []
        for clients in (self._counted, self._hashers, self._feeds, self._recorders):
            clients_of_all += [client.run for client in clients]
        with ThreadPoolExecutor(len(clients_of_all)) as pool, ExitStack() as stack:
            stack.callback(stopped.set)
            self._runs = [pool.submit(run, stopped) for run in clients_of_all]
            for _ in range(CLIENTS):
                sender = Sender(
                    whole.address("callback"), self._serials, keep=True, pause_s=self._pause_s
                )
                self._senders.append(stack.enter_context(sender))
            self.advance()
            yield
            stopped.set()
            for run in self._runs:
                run.result()
        self._history = [operation for each in self._recorders for operation in each.history]

    @property
    def senders(self) -> list[Sender]:
        """All that have posted callbacks so far."""
        return self._senders

    @property
    def failed_writes(self) -> int:
        """How many timestamps of this run the disk did not take."""
        return sum(recorder.failed for recorder in self._recorders)

    def answers(self) -> dict[str, int]:
        """Tell how much each service has done; in ``timestamp`` also what it has refused."""
        return {
            "counter": sum(client.answered for client in self._counted),
            "hash": sum(len(client.jobs) for client in self._hashers),
            "timestamp": sum(len(each.history) + each.failed for each in self._recorders),
            "callback": sum(len(sender.answered) for sender in self._senders),
            "numbers": sum(feed.seen.count(b"\n") for feed in self._feeds),
        }

    def advance(self, names: Iterable[str] = LOADED, answers: int = ANSWERS) -> None:
        """Wait until each of these services has given so many answers more."""
        daemon, before = self._whole.daemon, self.answers()

        def has_answered() -> bool:
            assert daemon.is_running, daemon.stderr
            for run in self._runs:
                if run.done():
                    run.result()
            now = self.answers()
            return all(now[name] - before[name] >= answers for name in names)

        eventually(has_answered)

    def require_log(self) -> None:
        """See that the log of numbers holds what it held, and nothing that was not sent."""
        content = self._whole.log.read_bytes()
        assert all(content.startswith(feed.seen) for feed in self._feeds)
        *numbers, rest = content.decode("ascii").split("\n")
        assert rest == "", "the last line is torn"
        assert len(set(numbers)) == len(numbers)
        sent = set().union(*(feed.sent for feed in self._feeds))
        assert set(numbers) <= set(map(str, sent))

    def require_kept(self, *troubled: str) -> None:
        """See what the services have kept; nobody else asks.

        :param troubled: services that have something to say about themselves.
        """
        troubles = self._whole.troubles()
        assert set(troubles) == set(troubled), troubles
        self.require_kept_but_callbacks()
        self._require_callbacks()

    def require_kept_but_callbacks(self) -> None:
        """See what the services other than callback have kept; nobody else asks."""
        self._require_count()
        self._require_timestamp()
        self._require_jobs()

    def require_jobs_to_be_ready(self) -> None:
        """Wait until all jobs are ready, and see that they are right."""
        client = HTTPClient(self._whole.places["hash"].address)
        for hasher in self._hashers:
            eventually(lambda: hasher.all_ready(client))  # noqa: B023
            assert not hasher.wrong, hasher.wrong[:3]
        client.close()

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
        self._history = []

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
