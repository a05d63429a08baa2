"""The objects in PostgreSQL: several daemons, tables that others made, and servers that fail."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from daemon.callback.objects.database import PostgresDatabase, parse_database
from daemon.callback.objects.pool import Pool
from daemon.callback.objects.postgres import PostgresObjects
from daemon.callback.objects.session import Limits
from daemon.callback.objects.store import DatabaseUnavailableError, Seen, StoreError
from tests.callback.objects.stores import (
    ALWAYS_US,
    NEVER_US,
    NOON_US,
    finish,
    nothing_unhandled,
    pause,
    until_available,
)
from tests.postgres import FreshDatabase, PostgresServer

SHORT = Limits(connect_s=5, statement_s=0.3)

SLOW_DELETES = """
create function wait() returns trigger language plpgsql as
$$ begin perform pg_advisory_xact_lock(42); return old; end $$;
create trigger waits before delete on objects for each row execute function wait()
"""
"""Whoever deletes a row waits for a lock."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with nothing_unhandled():
        yield


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[FreshDatabase]:
    database = postgres.fresh_database()
    yield database
    database.release()


@contextmanager
def stores_in(
    database: FreshDatabase, count: int, limits: Limits | None = None
) -> Iterator[list[PostgresObjects]]:
    """Give the stores of several daemons."""
    parsed = parse_database(database.dsn())
    assert isinstance(parsed, PostgresDatabase)
    yield [PostgresObjects(Pool(reactor, parsed.parameters, limits)) for _ in range(count)]


@pytest.fixture
def daemons(database: FreshDatabase) -> Iterator[list[PostgresObjects]]:
    with stores_in(database, 4) as stores:
        yield stores
        finish(close_all(stores))


@pytest.fixture
def store(daemons: list[PostgresObjects]) -> PostgresObjects:
    return daemons[0]


@pytest.fixture
def hasty(database: FreshDatabase) -> Iterator[PostgresObjects]:
    """A store that does not wait for long."""
    with stores_in(database, 1, SHORT) as stores:
        yield stores[0]
        finish(close_all(stores))


async def close_all(stores: list[PostgresObjects]) -> None:
    for store in stores:
        await store.close()


def together(*coroutines: Any) -> Deferred[list[Any]]:
    return gatherResults([Deferred.fromCoroutine(each) for each in coroutines], consumeErrors=True)


@pytest_twisted.ensureDeferred
async def test_the_table_is_what_the_contract_says(store, database):
    await store.upsert([Seen(7, NOON_US + 123_456)])
    assert database.query(
        "select column_name, data_type, is_nullable from information_schema.columns"
        " where table_name = 'objects' order by column_name"
    ) == [("id", "bigint", "NO"), ("last_seen", "timestamp with time zone", "NO")]
    assert database.query("select id, last_seen at time zone 'UTC' || '' from objects") == [
        (7, "2023-11-14 22:13:20.123456")
    ]
    with pytest.raises(Exception, match="duplicate key"):
        database.query("insert into objects values (7, now())")


@pytest_twisted.ensureDeferred
async def test_daemons_that_start_at_once_make_the_tables_once(daemons, database):
    await together(*(store.open() for store in daemons for _ in range(3)))
    assert database.query("select version from objects_schema") == [(1,)]
    await daemons[0].upsert([Seen(1, NOON_US)])
    assert await daemons[3].get(1, ALWAYS_US) == Seen(1, NOON_US)


@pytest_twisted.ensureDeferred
async def test_a_table_that_somebody_made_as_the_contract_says_is_taken_up(store, database):
    database.query("create table objects (id bigint primary key, last_seen timestamptz not null)")
    database.query("insert into objects values (1, to_timestamp(1700000000))")
    assert await store.get(1, ALWAYS_US) == Seen(1, NOON_US)
    await store.upsert([Seen(1, NOON_US + 1)])
    assert await store.sweep(NEVER_US, NEVER_US) == 1


@pytest.mark.parametrize(
    "columns",
    [
        "id integer primary key, last_seen timestamptz not null",
        "id bigint primary key, last_seen timestamp not null",
        "id bigint primary key",
        "id bigint, last_seen timestamptz",
        "id bigint, last_seen timestamptz, unique (id, last_seen)",
        "name text",
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_table_of_somebody_elses_is_left_as_it_is(store, database, columns):
    database.query(f"create table objects ({columns})")
    for _ in range(2):
        with pytest.raises(StoreError, match="has a table objects that is not"):
            await store.upsert([Seen(1, NOON_US)])
    assert database.query("select count(*) from objects") == [(0,)]
    assert database.query("select to_regclass('objects_schema')") == [(None,)]


@pytest_twisted.ensureDeferred
async def test_the_tables_of_a_later_version_are_left_as_they_are(daemons, database):
    await daemons[0].upsert([Seen(1, NOON_US)])
    database.query("update objects_schema set version = 2")
    with pytest.raises(StoreError, match="later version"):
        await daemons[1].upsert([Seen(1, NOON_US + 1)])
    assert await daemons[0].get(1, ALWAYS_US) == Seen(1, NOON_US)


@pytest_twisted.ensureDeferred
async def test_tables_that_vanish_are_made_again(store, database):
    await store.upsert([Seen(1, NOON_US)])
    database.query("drop table objects, objects_schema")
    with pytest.raises(DatabaseUnavailableError, match="does not exist"):
        await store.upsert([Seen(2, NOON_US)])
    await store.upsert([Seen(2, NOON_US)])
    assert await store.page(None, 9, ALWAYS_US) == [Seen(2, NOON_US)]


@pytest_twisted.ensureDeferred
async def test_daemons_that_store_the_same_ids_never_deadlock(daemons, database):
    """Each names them in an order of its own; sweeps go on meanwhile."""
    chance = random.Random(1)  # noqa: S311  # an order, no secret
    ids = list(range(2000))

    async def load(store: PostgresObjects) -> int:
        latest_us = 0
        for _ in range(15):
            chance.shuffle(ids)
            latest_us = NOON_US + chance.randrange(1000)
            await store.upsert([Seen(number, latest_us) for number in ids])
            await store.sweep(NOON_US + chance.randrange(500), NEVER_US)
        return latest_us

    await together(*map(load, daemons))
    wanted = [Seen(number, NOON_US + 2000) for number in range(2000)]
    await together(*(store.upsert(wanted) for store in daemons))
    assert await daemons[0].page(None, 9999, ALWAYS_US) == wanted
    assert database.query(
        "select deadlocks from pg_stat_database where datname = %s", database.name
    ) == [(0,)]


@pytest_twisted.ensureDeferred
async def test_one_daemon_sweeps_and_another_takes_over_when_it_dies(daemons, database):
    first, second = daemons[0], daemons[1]
    await first.upsert([Seen(number, NOON_US) for number in range(3)])
    database.query(SLOW_DELETES)
    with database.locked("select pg_advisory_xact_lock(42)"):
        sweeping = Deferred.fromCoroutine(first.sweep(NEVER_US, NEVER_US))
        await until_waits(database)
        assert await second.sweep(NEVER_US, NEVER_US) is None
        assert await second.get(1, ALWAYS_US) == Seen(1, NOON_US)
        for sweeper in waiting(database):
            database.query("select pg_terminate_backend(%s)", sweeper)
        with pytest.raises(DatabaseUnavailableError):
            await sweeping
    assert await second.sweep(NEVER_US, NEVER_US) == 3


@pytest_twisted.ensureDeferred
async def test_a_sweep_passes_over_rows_that_somebody_is_storing(daemons, database):
    await daemons[0].upsert([Seen(1, NOON_US), Seen(2, NOON_US)])
    with database.locked("update objects set last_seen = now() where id = 1"):
        assert await daemons[1].sweep(NEVER_US, NEVER_US) == 1
    assert await daemons[1].page(None, 9, ALWAYS_US) == [Seen(1, NOON_US)]
    assert await daemons[1].sweep(NEVER_US, NEVER_US) == 1


@pytest_twisted.ensureDeferred
async def test_rows_that_are_locked_for_long_are_stored_once_they_are_free(hasty, database):
    await hasty.upsert([Seen(1, NOON_US)])
    with database.locked():
        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError, match="took too long"):
                await hasty.upsert([Seen(1, NOON_US + 1)])
    await hasty.upsert([Seen(1, NOON_US + 1)])
    assert await hasty.get(1, ALWAYS_US) == Seen(1, NOON_US + 1)


@pytest.mark.parametrize("how", ["fast", "immediate", "kill"])
@pytest_twisted.ensureDeferred
async def test_whatever_was_stored_is_there_after_the_server_came_back(store, database, how):
    """What was told to be stored, that is; the rest is stored again."""
    told: set[int] = set()
    refusals: list[str] = []

    async def load() -> None:
        for number in range(300):
            if number == 100:
                database.server.kill() if how == "kill" else database.server.stop(how)
            if number == 101:
                database.server.start()
            try:
                await store.upsert([Seen(number, NOON_US)])
            except DatabaseUnavailableError as error:
                refusals.append(str(error))
            else:
                told.add(number)

    await load()
    kept, _ = await until_available(store.page, None, 9999, ALWAYS_US)
    assert told <= {row.id for row in kept}
    assert 100 not in told
    assert len(told) > 200, refusals


def waiting(database: FreshDatabase) -> list[int]:
    """Give the daemons' backends that wait for a lock."""
    rows = database.query(
        "select pid from pg_stat_activity where wait_event_type = 'Lock'"
        " and application_name = 'tsdaemon' and datname = %s",
        database.name,
    )
    return [pid for (pid,) in rows]


async def until_waits(database: FreshDatabase) -> None:
    for _ in range(500):
        if waiting(database):
            return
        await pause()
    raise AssertionError("nobody waits")
