"""A client of the hash service that knows which jobs it was promised, over restarts."""

from __future__ import annotations

import itertools
import threading
import time
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha512
from typing import NamedTuple

from tests.system.http_clients import EndedError, HTTPClient, Place, Reply, request

FORM = "application/x-www-form-urlencoded"

HAIR_S = 0.005
"""How far the system's clock may be slewed between two starts of the daemon."""


class Job(NamedTuple):
    """A job that was answered with its id.

    :ivar sent: when it was sent, in seconds of this process's monotonic clock.
    :ivar answered: when its id had come.
    """

    number: int
    password: str
    sent: float
    answered: float

    @property
    def digest(self) -> bytes:
        """What its hash must be."""
        return b64encode(sha512(self.password.encode()).digest())


class Hasher:
    """Adds jobs one after another, reads them again, and finds what may not happen.

    :param place: where the daemons listen.
    :param name: of this client, in its passwords.
    :param delay_s: from a job's arrival until its hash can be read, seconds.
    :param pause_s: before each job.
    :ivar jobs: those that were answered.
    :ivar sent: how many may have arrived.
    :ivar wrong: replies that break a promise.
    """

    def __init__(self, place: Place, name: str, delay_s: float, pause_s: float = 0.0) -> None:
        self.jobs: list[Job] = []
        self.sent = 0
        self.wrong: list[str] = []
        self._place = place
        self._name = name
        self._delay_s = delay_s
        self._pause_s = pause_s
        self._serial = itertools.count()

    def run(self, stopped: threading.Event) -> None:
        """Add and read until someone says stop."""
        while not stopped.is_set():
            try:
                client = HTTPClient(self._place.address)
            except ConnectionError:
                time.sleep(0.01)
                continue
            try:
                while not stopped.wait(self._pause_s):
                    self._add(client)
                    self._read(client, self.jobs[-20:])
            except EndedError:
                pass
            finally:
                client.close()

    def all_ready(self, client: HTTPClient) -> bool:
        """Read all jobs; whether each of them is ready."""
        ready = True
        for batch in _batches(self.jobs, 200):
            ready = self._read(client, batch) and ready
        return ready

    def _add(self, client: HTTPClient) -> None:
        password = f"{self._name}-{next(self._serial)}"
        sent = time.monotonic()
        self.sent += 1
        reply = client.ask("POST", "/hash", f"password={password}".encode(), content_type=FORM)
        if reply.status == 200:
            self.jobs.append(Job(int(reply.body), password, sent, time.monotonic()))
        elif (reply.status, reply.fields.get("connection")) != (503, "close"):  # else it stops
            self.wrong.append(f"{password}: {reply}")

    def _read(self, client: HTTPClient, jobs: Sequence[Job]) -> bool:
        """Read jobs, pipelined; whether each of them is ready."""
        asked = time.monotonic()
        try:
            client.send(b"".join(request("GET", f"/hash/{job.number}") for job in jobs))
        except ConnectionError as error:
            raise EndedError from error
        replies = [client.reply() for _ in jobs]
        ended = time.monotonic()
        self.wrong += [
            f"{job}, asked at {asked} to {ended}: {reply}"
            for job, reply in zip(jobs, replies, strict=True)
            if not self._fits(job, reply, asked, ended)
        ]
        return all(reply.status == 200 for reply in replies)

    def _fits(self, job: Job, reply: Reply, asked: float, ended: float) -> bool:
        """Tell whether a reply about a job is a right one at some moment in between."""
        if reply.status == 202:
            return asked <= job.answered + self._delay_s + HAIR_S
        is_due = ended >= job.sent + self._delay_s - HAIR_S
        return (reply.status, reply.body) == (200, job.digest) and is_due


def _batches(jobs: Sequence[Job], size: int) -> list[Sequence[Job]]:
    return [jobs[at : at + size] for at in range(0, len(jobs), size)]
