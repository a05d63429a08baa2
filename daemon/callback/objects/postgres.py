"""The objects in PostgreSQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from daemon.callback.objects import schema
from daemon.callback.objects.pool import Pool
from daemon.callback.objects.seen import DatabaseUnavailableError, Seen, StoreError, latest
from daemon.callback.objects.session import Session

UPSERT_ROWS: Final = 10_000
"""Rows of one statement: its text is made in the reactor's thread, and must not take long."""

SWEEP_ROWS: Final = 5000
"""Rows that one statement of a sweep deletes at each end of time: who needs one of them waits for
it at the most."""

MIGRATE_S: Final = 300.0
"""Seconds for a step that changes the tables, as the server is told below: to index a large one
takes its time."""

SWEEP_LOCK: Final = 0x7473_7377
"""With the table's number, the advisory lock of who sweeps."""

MIGRATE_LOCK: Final = 0x7473_6D67
"""With the schema's number, the advisory lock of who changes the tables."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)

# PostgreSQL multiplies intervals as floats. The factors here are small enough to be exact.
_UPSERT: Final = """
insert into objects as stored (id, last_seen)
select seen.id, timestamptz 'epoch' + seen.us / 1000000 * interval '1 second'
    + seen.us %% 1000000 * interval '1 microsecond'
from unnest(%(ids)s::bigint[], %(moments_us)s::bigint[]) as seen (id, us)
on conflict (id) do update set last_seen = excluded.last_seen
where stored.last_seen < excluded.last_seen
"""
# With an array the rows are found by their ids; a join might become a scan of the whole table. Each
# end of the index is read by itself and as far as need be, since a bitmap of both would be of all.
# "is true" keeps the planner from that where a row is looked at once more.
_EXPIRE: Final = """
with turn as (
    select pg_try_advisory_xact_lock(
        %(lock)s, ('objects'::regclass::oid::bigint - 2147483648)::integer
    ) as is_ours
), expired as (
    select id from objects
    where last_seen < %(before)s and (select is_ours from turn)
    order by last_seen limit %(limit)s
    for update skip locked
), ahead as (
    select id from objects
    where last_seen > %(beyond)s and (select is_ours from turn)
    order by last_seen desc limit %(limit)s
    for update skip locked
), deleted as (
    delete from objects
    where id = any (array(select id from expired union all select id from ahead))
    and (last_seen < %(before)s or last_seen > %(beyond)s) is true
    returning 1
)
select (select is_ours from turn), (select count(*) from deleted)
"""
_GET: Final = "select id, last_seen from objects where id = %(id)s and last_seen >= %(since)s"
_FIRST_PAGE: Final = """
select id, last_seen from objects where last_seen >= %(since)s order by id limit %(limit)s
"""
_PAGE: Final = """
select id, last_seen from objects where id > %(after)s and last_seen >= %(since)s
order by id limit %(limit)s
"""

_BEGIN_TO_MIGRATE: Final = """
begin;
set local statement_timeout = '300s';
set local lock_timeout = '10s';
select pg_advisory_xact_lock(
    %s, (current_schema()::regnamespace::oid::bigint - 2147483648)::integer
)
"""
# to_regclass would go by what this session knew before it waited for its turn.
_HAS_VERSION: Final = """
select exists (
    select from pg_class where relname = 'objects_schema' and pg_table_is_visible(oid)
)
"""
_MAKE_VERSION: Final = """
create table objects_schema (
    is_the_only_row boolean primary key default true check (is_the_only_row),
    version integer not null
);
insert into objects_schema (version) values (0)
"""
_FOUND: Final = """
select
    (select array_agg(format_type(atttypid, null) order by attname) from pg_attribute
     where attrelid = found and attname in ('id', 'last_seen')),
    exists (
        select from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0]
        where indrelid = found and attname = 'id'
        and indisunique and indnkeyatts = 1 and indpred is null
    )
from to_regclass('objects') as found where found is not null
"""
_WANTED: Final = (["bigint", "timestamp with time zone"], True)
_UNDEFINED_TABLE: Final = "42P01"


class PostgresObjects:
    """An object store in PostgreSQL: see :class:`daemon.callback.objects.seen.ObjectStore`.

    Several daemons may share it. All of them store rows in the order of their ids, and a sweep
    passes over rows that somebody is storing: so nobody ever waits for each other in a circle.

    :param pool: lends sessions; is closed with the store.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._is_open = False

    def prepare(self) -> list[str]:
        """Have nothing to do before the reactor runs; see the interface."""
        return []

    async def open(self) -> None:
        """Make the tables, or bring them up to date; see the interface."""
        if not self._is_open:
            await self._pool.use(_migrate)
            self._is_open = True

    async def upsert(self, rows: Sequence[Seen]) -> None:
        """Store rows; see the interface."""
        await self.open()
        moments = list(latest(rows).items())
        for start in range(0, len(moments), UPSERT_ROWS):
            ids, moments_us = zip(*moments[start : start + UPSERT_ROWS], strict=True)
            await self._run(_UPSERT, ids=_array(ids), moments_us=_array(moments_us))

    async def sweep(self, before_us: int, beyond_us: int) -> int | None:
        """Delete what is older or newer; see the interface."""
        await self.open()
        deleted: int | None = None
        while True:
            [(is_ours, count)] = await self._run(
                _EXPIRE,
                lock=SWEEP_LOCK,
                before=_moment(before_us),
                beyond=_moment(beyond_us),
                limit=SWEEP_ROWS,
            )
            if not is_ours:
                return deleted
            deleted = (deleted or 0) + count
            if count < SWEEP_ROWS:
                return deleted

    async def get(self, object_id: int, since_us: int) -> Seen | None:
        """Give an object's row; see the interface."""
        await self.open()
        rows = await self._run(_GET, id=object_id, since=_moment(since_us))
        return _seen(*rows[0]) if rows else None

    async def page(self, after: int | None, limit: int, since_us: int) -> list[Seen]:
        """Give rows by id; see the interface."""
        await self.open()
        statement = _FIRST_PAGE if after is None else _PAGE
        rows = await self._run(statement, after=after, limit=limit, since=_moment(since_us))
        return [_seen(*row) for row in rows]

    async def close(self) -> None:
        """Close all sessions; see the interface."""
        await self._pool.close()

    async def _run(self, statement: str, **arguments: Any) -> list[tuple[Any, ...]]:
        try:
            return await self._pool.run(statement, arguments)
        except DatabaseUnavailableError as error:
            if getattr(error.__cause__, "pgcode", None) == _UNDEFINED_TABLE:
                # Somebody has put a new database in the place of the old one.
                self._is_open = False
            raise


def _array(numbers: Sequence[int]) -> str:
    """Write an array as a literal: a Python list would cost four times as much."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _moment(moment_us: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=moment_us)


def _seen(object_id: int, last_seen: dt.datetime) -> Seen:
    return Seen(object_id, (last_seen - _EPOCH) // _MICROSECOND)


async def _migrate(session: Session) -> None:
    """Bring the tables up to date; of several daemons one does it, and the others wait."""
    version = await _version(session)
    if version == schema.VERSION:
        return
    await session.run(_BEGIN_TO_MIGRATE, (MIGRATE_LOCK,))
    version = await _version(session)
    if version > schema.VERSION:
        raise StoreError("the tables in PostgreSQL are those of a later version of tsdaemon")
    if version == 0:
        for found in await session.run(_FOUND):
            if found != _WANTED:
                raise StoreError(
                    "PostgreSQL has a table objects that is not"
                    " (id bigint primary key, last_seen timestamptz not null)"
                )
        await session.run(_MAKE_VERSION)
    for number, statements in schema.steps("postgresql", version):
        await session.run(statements, limit_s=MIGRATE_S)
        await session.run("update objects_schema set version = %s", (number,))
    await session.run("commit")


async def _version(session: Session) -> int:
    [(has_version,)] = await session.run(_HAS_VERSION)
    if not has_version:
        return 0
    [(version,)] = await session.run("select version from objects_schema")
    return int(version)
