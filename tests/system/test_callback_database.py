"""Callbacks while the database fails, and several daemons on one database."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg2.errors
import pytest

from tests.postgres import FreshDatabase, PostgresServer
from tests.system.callbacks import (
    LONG_S,
    Sender,
    even,
    object_source,
    online,
    post,
    receiver,
)
from tests.system.conftest import Starter
from tests.system.http_clients import WebDaemon, tcp
from tests.system.running import ReservedPort, eventually

TROUBLES = ("Traceback", "Unhandled")
MEANWHILE = 30
"""Callbacks that must be answered while the database is in trouble."""


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[FreshDatabase]:
    database = postgres.fresh_database()
    yield database
    database.server.ensure_running()
    database.release()


@pytest.fixture
def source(start: Starter) -> ReservedPort:
    port = start.port()
    object_source(start, "--min-delay", "0", "--max-delay", "0.05", port=port)
    return port


def daemon_on(
    start: Starter, source: ReservedPort, database: FreshDatabase, lifespan: float = LONG_S
) -> WebDaemon:
    return receiver(
        start, tcp(start.port()), start.folder(), source, database=database.dsn(), lifespan=lifespan
    )


def ids_in(database: FreshDatabase) -> set[int]:
    """Read the ids of all rows, past the daemon."""
    try:
        return {number for (number,) in database.query("select id from objects")}
    except psycopg2.errors.UndefinedTable:
        return set()


@contextmanager
def stopped(database: FreshDatabase, mode: str) -> Iterator[None]:
    if mode == "kill":
        database.server.kill()
    else:
        database.server.stop(mode)
    yield
    database.server.start()


@contextmanager
def without_connections(database: FreshDatabase) -> Iterator[None]:
    """Take all connections, the daemon's own included."""
    with ExitStack() as stack:
        database.terminate()
        while True:
            try:
                stack.callback(database.connect().close)
            except psycopg2.OperationalError:
                break
        yield


@contextmanager
def terminated(database: FreshDatabase) -> Iterator[None]:
    for _ in range(20):
        database.terminate()
        time.sleep(0.01)  # the daemon connects again in between
    yield


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(lambda database: stopped(database, "fast"), id="stopped"),
        pytest.param(lambda database: stopped(database, "immediate"), id="stopped at once"),
        pytest.param(lambda database: stopped(database, "kill"), id="killed"),
        pytest.param(lambda database: database.locked(), id="a lock held"),
        pytest.param(without_connections, id="out of connections"),
        pytest.param(terminated, id="connections terminated"),
    ],
)
def test_a_database_in_trouble_holds_up_no_callback_and_loses_none(
    start, source, database, trouble
):
    daemon = daemon_on(start, source, database)
    assert post(daemon, [1_000_002]) == 204
    eventually(lambda: ids_in(database) == {1_000_002})
    serials = itertools.count(1)
    assert isinstance(daemon.address, tuple)
    with ExitStack() as stack:
        senders = [
            stack.enter_context(Sender(daemon.address, serials, keep=keep))
            for keep in (True, False)
        ]

        def answered() -> set[int]:
            return set().union(*(sender.answered.copy() for sender in senders))

        eventually(lambda: len(answered()) > MEANWHILE)
        with trouble(database):
            before = len(answered())
            eventually(lambda: len(answered()) > before + MEANWHILE)
    for sender in senders:
        assert sender.wrong == []
        assert sender.sent == sender.answered
    wanted = even(answered()) | {1_000_002}
    eventually(lambda: ids_in(database) == wanted)
    assert online(daemon) == wanted
    assert daemon.stop() == 0
    for word in TROUBLES:
        assert word not in daemon.stderr


def test_a_daemon_starts_without_its_database_and_uses_it_when_it_comes(start, source, database):
    database.server.stop()
    daemon = daemon_on(start, source, database)
    assert post(daemon, range(10)) == 204
    assert daemon.get("/objects").status == 503
    database.server.start()
    eventually(lambda: database.query("select to_regclass('objects')") != [(None,)])
    eventually(lambda: ids_in(database) == even(range(10)))
    assert daemon.stop() == 0


def test_a_daemon_stops_though_its_database_does_not_answer(start, source, database):
    daemon = daemon_on(start, source, database)
    assert post(daemon, [2]) == 204
    eventually(lambda: ids_in(database) == {2})
    with database.locked():
        assert post(daemon, [4]) == 204
        eventually(lambda: waits_for_a_lock(database))
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.stderr


def test_the_password_is_in_no_log(start, source, database):
    daemon = receiver(
        start,
        tcp(start.port()),
        start.folder(),
        source,
        database=database.dsn(password="correct-horse"),  # noqa: S106
    )
    assert post(daemon, [2]) == 204
    eventually(lambda: "authentication failed" in daemon.stderr)
    assert daemon.stop() == 0
    assert "correct-horse" not in daemon.stderr


def test_daemons_that_share_a_database_store_the_same_objects_and_one_sweeps(
    start, source, database
):
    daemons = [daemon_on(start, source, database, lifespan=2) for _ in range(2)]
    for _ in range(20):
        for daemon in daemons:
            assert post(daemon, range(100)) == 204
    eventually(lambda: ids_in(database) == even(range(100)))
    daemons[0].kill()
    eventually(lambda: ids_in(database) == set())
    assert database.query(
        "select deadlocks from pg_stat_database where datname = %s", database.name
    ) == [(0,)]
    assert daemons[1].stop() == 0
    for daemon in daemons:
        assert "Traceback" not in daemon.stderr


def waits_for_a_lock(database: FreshDatabase) -> bool:
    return bool(
        database.query(
            "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = %s",
            database.name,
        )
    )
