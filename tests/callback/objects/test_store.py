"""What every store of objects does, whichever database is behind it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from daemon.callback.objects import file
from daemon.callback.objects.sqlite import FILE_NAME
from daemon.callback.objects.store import DatabaseUnavailableError, ObjectStore, Seen
from tests.callback.objects.stores import (
    ALWAYS_US,
    NEVER_US,
    NOON_US,
    finish,
    for_all,
    make_store,
    nothing_unhandled,
)

MIN_ID, MAX_ID = -(2**63), 2**63 - 1
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
SECOND_US = 1_000_000
MANY = 12_345
"""Rows that no single statement takes."""

ids = st.integers(-3, 3) | st.integers(MIN_ID, MAX_ID)
moments = st.integers(NOON_US - 3, NOON_US + 3) | st.integers(FIRST_US, LAST_US)
rows = st.lists(st.builds(Seen, ids, moments), max_size=20)
steps = st.lists(
    st.tuples(st.just("upsert"), rows)
    | st.tuples(moments, moments).map(lambda ends: ("sweep", *sorted(ends)))
    | st.tuples(st.just("get"), ids, moments)
    | st.tuples(st.just("page"), st.none() | ids, st.integers(0, 5), moments),
    max_size=20,
)


class Model:
    """A store that is a dictionary."""

    def __init__(self) -> None:
        self.moments: dict[int, int] = {}

    def upsert(self, rows: list[Seen]) -> None:
        for row in rows:
            self.moments[row.id] = max(row.last_seen_us, self.moments.get(row.id, FIRST_US))

    def sweep(self, before_us: int, beyond_us: int) -> int:
        gone = [
            key
            for key, moment_us in self.moments.items()
            if moment_us < before_us or moment_us > beyond_us
        ]
        for key in gone:
            del self.moments[key]
        return len(gone)

    def get(self, object_id: int, since_us: int) -> Seen | None:
        moment_us = self.moments.get(object_id)
        if moment_us is None or moment_us < since_us:
            return None
        return Seen(object_id, moment_us)

    def page(self, after: int | None, limit: int, since_us: int) -> list[Seen]:
        found = [
            Seen(key, moment_us)
            for key, moment_us in sorted(self.moments.items())
            if (after is None or key > after) and moment_us >= since_us
        ]
        return found[:limit]


async def all_of(store: ObjectStore) -> list[Seen]:
    return await store.page(None, 1_000_000, FIRST_US)


class StoreContract:
    """What holds for both."""

    @pytest.fixture(autouse=True)
    def _quiet(self) -> Iterator[None]:
        with nothing_unhandled():
            yield

    @pytest.fixture
    def setting(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def store(self, setting: str, tmp_path: Path) -> Iterator[ObjectStore]:
        store = make_store(setting, tmp_path)
        yield store
        finish(store.close())

    @pytest_twisted.ensureDeferred
    async def test_nothing_is_there_at_first(self, store):
        await store.open()
        assert await all_of(store) == []
        assert await store.get(1, ALWAYS_US) is None
        assert await store.sweep(NEVER_US, LAST_US) == 0

    @pytest_twisted.ensureDeferred
    async def test_rows_are_stored_also_when_nobody_has_opened_the_store(self, store):
        await store.upsert([Seen(2, NOON_US), Seen(1, NOON_US + 1)])
        assert await all_of(store) == [Seen(1, NOON_US + 1), Seen(2, NOON_US)]
        assert await store.get(2, NOON_US) == Seen(2, NOON_US)

    @pytest_twisted.ensureDeferred
    async def test_no_rows_are_stored_without_ado(self, store):
        await store.upsert([])
        assert await all_of(store) == []

    @pytest_twisted.ensureDeferred
    async def test_the_latest_of_several_counts_and_nothing_moves_back(self, store):
        await store.upsert([Seen(1, 20), Seen(1, 30), Seen(1, 10), Seen(2, 40)])
        await store.upsert([Seen(1, 29), Seen(2, 41)])
        assert await all_of(store) == [Seen(1, 30), Seen(2, 41)]

    @pytest_twisted.ensureDeferred
    async def test_ids_and_moments_are_exact_to_their_ends(self, store):
        wanted = [
            Seen(MIN_ID, FIRST_US),
            Seen(MIN_ID + 1, -1),
            Seen(-1, 0),
            Seen(0, 1),
            Seen(1, NOON_US + 123_457),
            Seen(2**53 + 1, 2**53 + 1),
            Seen(MAX_ID, LAST_US),
        ]
        await store.upsert(wanted)
        assert await all_of(store) == wanted

    @pytest_twisted.ensureDeferred
    async def test_a_sweep_deletes_what_is_older_and_no_more(self, store):
        await store.upsert([Seen(1, NOON_US - 1), Seen(2, NOON_US), Seen(3, NOON_US + 1)])
        assert await store.sweep(NOON_US, LAST_US) == 1
        assert await all_of(store) == [Seen(2, NOON_US), Seen(3, NOON_US + 1)]

    @pytest_twisted.ensureDeferred
    async def test_large_batches_are_stored_and_swept_to_the_end(self, store):
        await store.upsert([Seen(number, NOON_US + number) for number in range(MANY)])
        assert len(await all_of(store)) == MANY
        assert await store.sweep(NOON_US + MANY - 1, LAST_US) == MANY - 1
        assert await all_of(store) == [Seen(MANY - 1, NOON_US + MANY - 1)]

    @pytest_twisted.ensureDeferred
    async def test_a_sweep_deletes_what_no_right_clock_can_have_seen_and_no_more(self, store):
        later_us = NOON_US + 30 * SECOND_US
        await store.upsert([Seen(1, NOON_US), Seen(2, later_us), Seen(3, later_us + 1)])
        assert await store.sweep(NOON_US, later_us) == 1
        assert await all_of(store) == [Seen(1, NOON_US), Seen(2, later_us)]
        await store.upsert([Seen(3, NOON_US)])
        assert await store.get(3, NOON_US) == Seen(3, NOON_US)

    @pytest_twisted.ensureDeferred
    async def test_both_ends_of_a_large_table_are_swept_to_the_end(self, store):
        await store.upsert([Seen(number, NOON_US + number) for number in range(2 * MANY + 1)])
        assert await store.sweep(NOON_US + MANY, NOON_US + MANY) == 2 * MANY
        assert await all_of(store) == [Seen(MANY, NOON_US + MANY)]

    @pytest_twisted.ensureDeferred
    async def test_pages_follow_each_other_without_gap_or_overlap(self, store):
        await store.upsert([Seen(number, NOON_US + number % 2) for number in range(-10, 10)])
        found: list[Seen] = []
        after = None
        while page := await store.page(after, 3, NOON_US + 1):
            found += page
            after = page[-1].id
        assert [row.id for row in found] == [-9, -7, -5, -3, -1, 1, 3, 5, 7, 9]

    @pytest_twisted.ensureDeferred
    async def test_what_has_run_out_is_not_shown_though_it_is_there(self, store):
        await store.upsert([Seen(1, NOON_US)])
        assert await store.get(1, NOON_US + 1) is None
        assert await store.page(None, 9, NOON_US + 1) == []
        assert await store.get(1, NOON_US) == Seen(1, NOON_US)

    @pytest_twisted.ensureDeferred
    async def test_many_may_ask_at_once(self, store):
        batches = [[Seen(number, NOON_US + batch) for number in range(100)] for batch in range(20)]
        await gatherResults(
            [Deferred.fromCoroutine(store.upsert(batch)) for batch in batches], consumeErrors=True
        )
        assert await all_of(store) == batches[-1]

    @pytest_twisted.ensureDeferred
    async def test_who_no_longer_wants_an_answer_may_cancel(self, store):
        await store.upsert([Seen(1, NOON_US)])
        for _ in range(5):
            asked = Deferred.fromCoroutine(store.get(1, ALWAYS_US))
            asked.cancel()
            with pytest.raises(CancelledError):
                await asked
        assert await store.get(1, ALWAYS_US) == Seen(1, NOON_US)

    @pytest_twisted.ensureDeferred
    async def test_opening_twice_changes_nothing(self, store):
        await store.open()
        await store.upsert([Seen(1, NOON_US)])
        await store.open()
        assert await all_of(store) == [Seen(1, NOON_US)]

    @pytest_twisted.ensureDeferred
    async def test_after_the_end_nothing_is_taken(self, store):
        await store.upsert([Seen(1, NOON_US)])
        await store.close()
        await store.close()
        with pytest.raises(DatabaseUnavailableError, match="closed"):
            await store.upsert([Seen(2, NOON_US)])

    @pytest_twisted.ensureDeferred
    async def test_a_store_that_was_never_used_is_closed(self, store):
        await store.close()

    @pytest_twisted.ensureDeferred
    async def test_it_does_what_a_dictionary_does(self, store):
        async def play(given_steps: list[tuple[Any, ...]]) -> None:
            await store.sweep(NOON_US, NOON_US)
            model = Model()
            model.upsert(await all_of(store))
            for name, *arguments in given_steps:
                found: Any = await getattr(store, name)(*arguments)
                assert found == getattr(model, name)(*arguments)
            assert await all_of(store) == model.page(None, 1_000_000, FIRST_US)

        await for_all(steps, play)


class Kept(StoreContract):
    """What holds for those that outlive the process."""

    def hold_writes(self, setting: str, folder: Path) -> AbstractContextManager[object]:
        """Let no write end."""
        raise NotImplementedError

    @pytest_twisted.ensureDeferred
    async def test_reads_do_not_wait_for_a_write_and_see_what_was_before_it(
        self, store, setting, tmp_path, monkeypatch
    ):
        monkeypatch.setattr(file, "BUSY_MS", 60_000)
        await store.upsert([Seen(1, NOON_US)])
        with self.hold_writes(setting, tmp_path):
            storing = Deferred.fromCoroutine(store.upsert([Seen(2, NOON_US)]))
            for _ in range(20):
                assert await store.get(2, ALWAYS_US) is None
                assert await all_of(store) == [Seen(1, NOON_US)]
            assert not storing.called
        await storing
        assert await store.get(2, ALWAYS_US) == Seen(2, NOON_US)

    @pytest_twisted.ensureDeferred
    async def test_what_was_stored_is_there_after_the_end(self, setting, tmp_path):
        for number in range(3):
            store = make_store(setting, tmp_path)
            await store.upsert([Seen(number, NOON_US)])
            await store.close()
        store = make_store(setting, tmp_path)
        assert [row.id for row in await all_of(store)] == [0, 1, 2]
        await store.close()


class TestSQLite(Kept):
    @pytest.fixture
    def setting(self) -> str:
        return "sqlite:"

    @contextmanager
    def hold_writes(self, setting: str, folder: Path) -> Iterator[None]:  # noqa: ARG002
        path = folder / FILE_NAME
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("begin immediate")
            yield


class TestSQLiteInMemory(StoreContract):
    @pytest.fixture
    def setting(self) -> str:
        return "sqlite::memory:"

    @pytest_twisted.ensureDeferred
    async def test_no_file_is_made(self, store, tmp_path):
        await store.upsert([Seen(1, NOON_US)])
        assert list(tmp_path.iterdir()) == []


class TestPostgres(Kept):
    @pytest.fixture
    def setting(self, postgres) -> Iterator[str]:
        database = postgres.fresh_database()
        yield str(database.dsn())
        database.release()

    @contextmanager
    def hold_writes(self, setting: str, folder: Path) -> Iterator[None]:  # noqa: ARG002
        with closing(psycopg2.connect(setting)) as connection:
            connection.cursor().execute("lock table objects in exclusive mode")
            yield


class TestPostgresOverASocketFile(StoreContract):
    @pytest.fixture
    def setting(self, postgres) -> Iterator[str]:
        database = postgres.fresh_database()
        yield str(database.dsn(host=str(postgres.folder)))
        database.release()
