"""Clients that write down what a timestamp service answers them, over its restarts."""

from __future__ import annotations

import itertools
import random
import threading
import time

from tests.system.http_clients import TEXT, EndedError, HTTPClient, Place, Reply
from tests.timestamp.linearizability import ANY, Operation, Read, Write


class Recorder:
    """Asks a daemon at random, over its restarts too, and writes down what it answers.

    :param place: where the daemons listen.
    :param seed: of the random choices.
    :param failures: statuses of writes that the disk may not take; nobody may ever see them.
    :param pause_s: before each request.
    :ivar failed: how many had one of these.
    """

    def __init__(
        self,
        place: Place,
        seed: int,
        failures: frozenset[int] = frozenset(),
        pause_s: float = 0.0,
    ) -> None:
        self.history: list[Operation] = []
        self.failed = 0
        self._failures = failures
        self._pause_s = pause_s
        self._place = place
        self._random = random.Random(seed)  # noqa: S311
        self._seed = seed
        self._client: HTTPClient | None = None
        self._known: list[str] = []
        self._serial = itertools.count()

    def run(self, stopped: threading.Event) -> list[Operation]:
        """Ask until someone says stop."""
        while not stopped.wait(self._pause_s):
            try:
                self._client = self._client or HTTPClient(self._place.address)
            except ConnectionError:
                time.sleep(0.01)
                continue
            if self._random.random() < 0.4:
                self._read(self._client)
            else:
                self._write(self._client)
        if self._client is not None:
            self._client.close()
        return self.history

    def _ask(
        self, client: HTTPClient, method: str, body: bytes | None = None, **fields: str
    ) -> Reply | None:
        try:
            return client.ask(method, "/timestamp", body, **fields)
        except EndedError:
            client.close()
            self._client = None
            return None

    def _read(self, client: HTTPClient) -> None:
        fields = {}
        if self._known and self._random.random() < 0.3:
            fields["if_none_match"] = self._known[-1]
        invoked = time.monotonic()
        reply = self._ask(client, "GET", None, **fields)
        returned = time.monotonic()
        if reply is None:
            return
        etag, text = None, None
        if reply.status == 200:
            etag, text = reply.etag, reply.body.decode()
        elif reply.status == 304:
            etag = reply.etag
        else:
            assert reply.status == 404
        self._know(etag)
        self.history.append(Read(invoked=invoked, returned=returned, etag=etag, text=text))

    def _write(self, client: HTTPClient) -> None:
        text = f"{self._seed + 1}{next(self._serial):06}"
        if_match = if_none_match = None
        choice = self._random.random()
        if choice < 0.4 and self._known:
            if_match = self._known[-1]
        elif choice < 0.5:
            if_none_match = self._random.choice([ANY, *self._known[-1:]])
        fields = {"content_type": TEXT}
        fields |= {"if_match": if_match} if if_match else {}
        fields |= {"if_none_match": if_none_match} if if_none_match else {}
        invoked = time.monotonic()
        reply = self._ask(client, "PUT", text.encode(), **fields)
        returned = time.monotonic()
        if reply is not None and reply.status in self._failures:
            self.failed += 1
            return
        assert reply is None or reply.status in {204, 412}, reply
        etag = reply.etag if reply is not None and reply.status == 204 else None
        self._know(etag)
        write = Write(
            invoked=invoked,
            returned=float("inf") if reply is None else returned,
            text=text,
            etag=etag,
            refused=reply is not None and reply.status == 412,
            if_match=frozenset([if_match]) if if_match else None,
            if_none_match=frozenset([if_none_match]) if if_none_match else None,
        )
        self.history.append(write)

    def _know(self, etag: str | None) -> None:
        if etag is not None:
            self._known = [*self._known[-3:], etag]
