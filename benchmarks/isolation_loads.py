"""What saturates one service."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import callback_accepts
from benchmarks.callback_accepts import Posts
from benchmarks.clients import ClientProcesses
from benchmarks.hash_jobs import POST
from benchmarks.http_load import SAME, Load, run_wrk
from benchmarks.http_servers import JOBS, Job
from benchmarks.number_files import ClientFile, random_numbers, write_client_files
from benchmarks.whole_daemon import WholeDaemon

CONNECTIONS = 50
CALLBACK_IDS = 10
CALLBACK_RANGE = 100
NUMBER_CLIENTS = 5
SET_NUMBERS = 10_000_000
JOIN_SECONDS = 60.0


@dataclass(frozen=True)
class Aggressor:
    """One service under as much load as it takes.

    :ivar run: puts the load on for so many seconds; returns requests, or lines, a second.
    """

    name: str
    service: str
    run: Callable[[WholeDaemon, int], float]


def nothing(daemon: WholeDaemon, seconds: int) -> float:
    """Leave the daemon alone."""
    time.sleep(seconds)
    daemon.require_alive()
    return 0.0


def by_wrk(job: Job) -> Callable[[WholeDaemon, int], float]:
    """Return what asks for one thing over 50 connections."""

    def run(daemon: WholeDaemon, seconds: int) -> float:
        return run_wrk(daemon.at(job.service), job, Load(CONNECTIONS, SAME, seconds)).rate

    return run


def callbacks(daemon: WholeDaemon, seconds: int) -> float:
    """Post callbacks of ten ids over 50 connections."""
    posts = Posts(CONNECTIONS, seconds, CALLBACK_IDS, CALLBACK_RANGE)
    return callback_accepts.run_wrk(daemon.at("callback"), posts).rate


@dataclass(frozen=True)
class NumberSenders:
    """Client processes that send one set of files after another, and then all of them again.

    They send with sendfile: to read the files they would keep the probes' core busy.

    :ivar sets: a file for each client.
    """

    sets: Sequence[Sequence[ClientFile]]

    def run(self, daemon: WholeDaemon, seconds: int) -> float:
        """Send as fast as the server takes it."""
        view = daemon.at("numbers")
        began, lines = time.monotonic(), 0
        for files in itertools.cycle(self.sets):
            if (took := time.monotonic() - began) >= seconds:
                return lines / took
            with ClientProcesses(view, len(files)) as clients:
                for file in files:
                    clients.start_file_sender(file.path)
                clients.may_leave.set()
                clients.release()
                clients.join(JOIN_SECONDS)
            lines += sum(len(file.values) for file in files)
        return 0.0


def number_sets(folder: Path, count: int) -> list[list[ClientFile]]:
    """Write random numbers into files, in sets that take about a second each."""
    sets = []
    for seed in range(-(-count // SET_NUMBERS)):
        own = folder / f"set-{seed}"
        own.mkdir()
        sets.append(write_client_files(own, random_numbers(SET_NUMBERS, 0, seed), NUMBER_CLIENTS))
    return sets


def aggressors(sets: Sequence[Sequence[ClientFile]]) -> dict[str, Aggressor]:
    """Return all there are, by their names.

    :param sets: what the number server is sent.
    """
    found = (
        Aggressor("nothing", "", nothing),
        Aggressor("numbers", "numbers", NumberSenders(sets).run),
        Aggressor("counter", "counter", by_wrk(JOBS["counter"])),
        Aggressor("hash", "hash", by_wrk(POST)),
        Aggressor("timestamp", "timestamp", by_wrk(JOBS["put-disk"])),
        Aggressor("callback", "callback", callbacks),
    )
    return {aggressor.name: aggressor for aggressor in found}


NAMES = tuple(aggressors(()))
