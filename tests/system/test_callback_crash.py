"""Callbacks and ``kill -9``: what was answered 204 is worked on to the end."""

from __future__ import annotations

import itertools
import os
import random
import time
from contextlib import ExitStack
from pathlib import Path

from tests.postgres import PostgresServer
from tests.system.callbacks import (
    Database,
    Sender,
    even,
    object_source,
    postgres_database,
    receiver,
    sqlite_database,
)
from tests.system.conftest import Starter
from tests.system.http_clients import WebDaemon, tcp
from tests.system.running import ReservedPort, eventually

ROUNDS = 100 if os.environ.get("LONG_TESTS", "") not in {"", "0"} else 10
LIFE_S = 0.3
"""How long a daemon lives at most, from its first 204 on."""

SENDERS = 3


class Victim:
    """A daemon that is killed and started again and again, and those who post to it meanwhile.

    :param source: where objects are looked up.
    """

    def __init__(
        self, start: Starter, stack: ExitStack, database: Database, source: ReservedPort
    ) -> None:
        self._start = start
        self._place = tcp(start.port())
        self._folder: Path = start.folder()
        self._source = source
        self.database = database
        assert isinstance(self._place.address, tuple)
        serials = itertools.count(1)
        self.senders = [
            stack.enter_context(Sender(self._place.address, serials, keep=number % 2 == 0))
            for number in range(SENDERS)
        ]

    def live(self) -> None:
        """Start it, without waiting."""
        self.before = len(self.answered)
        self.daemon: WebDaemon = receiver(
            self._start,
            self._place,
            self._folder,
            self._source,
            wait=False,
            database=self.database.setting,
        )

    def has_answered(self) -> bool:
        """Whether there was a 204 since the start."""
        assert self.daemon.is_running, self.daemon.stderr
        return len(self.answered) > self.before

    @property
    def answered(self) -> set[int]:
        """The objects that are online, and whose callbacks were answered 204."""
        return even(itertools.chain(*(sender.answered.copy() for sender in self.senders)))

    @property
    def sent(self) -> set[int]:
        """The objects that are online, and whose callbacks may have arrived."""
        return even(itertools.chain(*(sender.sent for sender in self.senders)))

    @property
    def wrong(self) -> list[int]:
        """What was answered and is no 204."""
        return [status for sender in self.senders for status in sender.wrong]


def test_no_callback_that_was_answered_is_lost_whenever_the_daemon_is_killed(
    start: Starter, postgres: PostgresServer
):
    """Side by side with SQLite and with PostgreSQL; every fourth time while it starts."""
    source_port, chance = start.port(), random.Random()  # noqa: S311
    object_source(start, "--min-delay", "0", "--max-delay", "0.2", port=source_port)
    databases = [
        sqlite_database(start.folder() / "objects.sqlite"),
        postgres_database(postgres.fresh_database()),
    ]
    with ExitStack() as stack:
        victims = [Victim(start, stack, database, source_port) for database in databases]
        for number in range(ROUNDS):
            for victim in victims:
                victim.live()
            for victim in victims:
                if number % 4 != 1:
                    eventually(victim.has_answered)
            for victim in chance.sample(victims, len(victims)):
                time.sleep(chance.uniform(0, LIFE_S))  # a crash comes at any moment
                victim.daemon.kill()
                assert "Traceback" not in victim.daemon.stderr
        for victim in victims:
            victim.live()
            eventually(victim.has_answered)
    for victim in victims:
        eventually(lambda: victim.answered <= victim.database.ids())  # noqa: B023
        assert victim.daemon.stop() == 0
        assert victim.answered <= victim.database.ids() <= victim.sent
        assert victim.wrong == []
