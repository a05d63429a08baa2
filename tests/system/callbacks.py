"""The callback service for system tests: its sender, its source, and the database behind it."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.postgres import FreshDatabase
from tests.system.conftest import Starter
from tests.system.http_clients import Place, WebDaemon, serve
from tests.system.running import ReservedPort

IMMEDIATE = ("--min-delay", "0", "--max-delay", "0")
LONG_S = 100_000
"""A lifespan that outlives every test."""

PATIENCE_S = 1.0
"""How long the real sender waits for a whole answer."""


def object_source(
    start: Starter, *flags: str, port: ReservedPort | None = None, callback: str | None = None
) -> WebDaemon:
    """Start an object source.

    :param port: where; a free one if None.
    :param callback: where it posts callbacks to; it posts none if None.
    """
    port = port or start.port()
    listen = f"tcp:{port.number}:interface={port.host}"
    posts = ["--no-callbacks"] if callback is None else ["--callback", callback]
    arguments = ["-n", "--pidfile=", "tsobjectsource", "--listen", listen, *posts, *flags]
    source = WebDaemon(start.folder(), arguments, (port.host, port.number))
    start.adopt(source)
    return source.wait_until_ready()


def url_of(port: ReservedPort) -> str:
    """Give the URL of a source's port."""
    return f"http://{port.host}:{port.number}"


class Database(NamedTuple):
    """What the daemon stores into.

    :ivar setting: ``callback.database``.
    :ivar ids: reads the ids of all rows, past the daemon.
    """

    setting: str
    ids: Callable[[], set[int]]


def sqlite_database(path: Path) -> Database:
    """Give a database that is a file."""

    def ids() -> set[int]:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return {number for (number,) in connection.execute("select id from objects")}

    return Database(f"sqlite:{path}", ids)


def postgres_database(database: FreshDatabase) -> Database:
    """Give a database of PostgreSQL."""

    def ids() -> set[int]:
        return {number for (number,) in database.query("select id from objects")}

    return Database(database.dsn(), ids)


def receiver(
    start: Starter,
    place: Place,
    folder: Path,
    source: ReservedPort,
    *flags: str | Path,
    wait: bool = True,
    **settings: object,
) -> WebDaemon:
    """Start a daemon that receives callbacks."""
    given: dict[str, object] = {"lifespan": LONG_S, "source": url_of(source)}
    return serve(
        start, "callback", *flags, place=place, folder=folder, wait=wait, **(given | settings)
    )


def body_of(ids: Iterable[int]) -> bytes:
    """Write a callback as the sender does."""
    return json.dumps({"object_ids": list(ids)}, separators=(",", ":")).encode()


def post(daemon: WebDaemon, ids: Iterable[int]) -> int:
    """Post one callback, and give the status."""
    return daemon.ask("POST", "/callback", body_of(ids)).status


def online(daemon: WebDaemon) -> set[int]:
    """Read all objects, page by page."""
    ids: set[int] = set()
    page: str | None = "/objects?limit=1000"
    while page is not None:
        reply = daemon.get(page)
        assert reply.status == 200, reply
        read: dict[str, Any] = json.loads(reply.body)
        ids.update(entry["id"] for entry in read["objects"])
        page = read["next"]
    return ids


def even(ids: Iterable[int]) -> set[int]:
    """Give the objects that the source says are online."""
    return {number for number in ids if number % 2 == 0}


class Sender:
    """Posts callbacks from a thread, each with ids that nobody has named before.

    As the real one does, it gives an exchange one second, and never repeats it.

    :param address: where to.
    :param serials: where ids come from; shared with other senders.
    :param keep: use a connection for as long as it is open; else one for each callback.
    :param pause_s: before each callback, beside some milliseconds.
    :ivar sent: all ids that may have reached the daemon.
    :ivar answered: those whose callback was answered 204.
    :ivar wrong: what may not happen: any other status.
    :ivar refused: how often nobody listened.
    """

    def __init__(
        self,
        address: tuple[str, int],
        serials: itertools.count[int],
        *,
        keep: bool,
        pause_s: float = 0.0,
    ) -> None:
        self._address = address
        self._serials = serials
        self._keep = keep
        self._pause_s = pause_s
        self._random = random.Random()  # noqa: S311
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.sent: set[int] = set()
        self.answered: set[int] = set()
        self.wrong: list[int] = []
        self.refused = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Post no more."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        connection = self._connection()
        while not self._stopped.wait(self._pause_s + self._random.uniform(0.001, 0.01)):
            ids = list(itertools.islice(self._serials, self._random.randint(1, 8)))
            if not self._keep or connection.sock is None:
                connection.close()
                connection = self._connection()
            self._post(connection, ids)
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self._address, timeout=PATIENCE_S)

    def _post(self, connection: http.client.HTTPConnection, ids: list[int]) -> None:
        try:
            if connection.sock is None:
                connection.connect()
        except ConnectionRefusedError:
            self.refused += 1
            return
        except OSError:
            return
        self.sent.update(ids)
        try:
            connection.request("POST", "/callback", body_of(ids))
            reply = connection.getresponse()
            reply.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return
        if reply.status == http.HTTPStatus.NO_CONTENT:
            self.answered.update(ids)
        else:
            self.wrong.append(reply.status)
