"""The objects in a file: its troubles, and what is made of them."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from daemon.callback.objects import sqlite
from daemon.callback.objects.database import SQLiteDatabase
from daemon.callback.objects.file import ObjectsFile
from daemon.callback.objects.reader import CannotReadError, ObjectsReader
from daemon.callback.objects.sqlite import FILE_NAME, SQLiteObjects
from daemon.callback.objects.store import DatabaseUnavailableError, Seen, StoreError
from tests.callback.objects.stores import (
    ALWAYS_US,
    NEVER_US,
    NOON_US,
    make_store,
)

ROW = Seen(1, NOON_US)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


@pytest.fixture
def file(path: Path) -> Iterator[ObjectsFile]:
    """A file that holds a row, and is closed."""
    file = ObjectsFile(path)
    file.upsert([ROW])
    file.close()
    yield file
    file.close()


def rows_of(file: ObjectsFile) -> list[Seen]:
    return file.page(None, 1_000_000, ALWAYS_US)


def asides(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir() if "aside" in found.name)


@pytest.mark.usefixtures("file")
def test_the_table_is_what_the_contract_says(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select id, last_seen from objects").fetchall() == [ROW]
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            connection.execute("insert into objects values (1, 2)")
        with pytest.raises(sqlite3.IntegrityError, match="NOT NULL"):
            connection.execute("insert into objects values (2, null)")


def test_the_file_and_what_lies_beside_it_is_private(file, path):
    file.open()
    file.upsert([Seen(2, NOON_US)])
    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    assert modes == {FILE_NAME: 0o600, f"{FILE_NAME}-wal": 0o600, f"{FILE_NAME}-shm": 0o600}


def test_others_may_read_while_it_is_in_use(file, path):
    file.upsert([Seen(2, NOON_US)])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) from objects").fetchone() == (2,)


def test_an_empty_file_is_new(path):
    path.touch()
    file = ObjectsFile(path)
    file.upsert([ROW])
    assert rows_of(file) == [ROW]
    assert file.troubles == []
    file.close()


def damage_all(path: Path) -> None:
    path.write_bytes(b"not a database, though long enough to be taken for one" * 100)


def damage_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def cut_off(path: Path) -> None:
    os.truncate(path, 4096)


def drop_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("drop table objects")


def make_foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table customers (name text)")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "damage", [damage_all, damage_pages, cut_off, drop_table, make_foreign, make_folder]
)
def test_a_file_that_cannot_be_used_is_put_aside_and_told(file, path, damage):
    damage(path)
    file.open()
    assert rows_of(file) == []
    file.upsert([ROW])
    assert rows_of(file) == [ROW]
    assert asides(path) == [f"{FILE_NAME}.aside-1"]
    (trouble,) = file.troubles
    assert str(path) in trouble
    assert trouble.endswith(f"; it is now {FILE_NAME}.aside-1")


def test_what_belongs_to_a_damaged_file_goes_with_it(file, path):
    damage_all(path)
    (path.parent / f"{FILE_NAME}-wal").write_bytes(b"its log")
    file.open()
    file.upsert([ROW])
    assert asides(path)[0] == f"{FILE_NAME}.aside-1"
    file.close()
    file.open()
    assert rows_of(file) == [ROW]


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("damage", [damage_all, make_foreign, make_folder])
def test_somebody_elses_file_that_was_named_by_mistake_is_left(path, damage):
    damage(path)
    before = path.is_dir() or path.read_bytes()
    named = ObjectsFile(path, is_ours=False)
    for _ in range(2):
        with pytest.raises(StoreError, match="it was left as it is"):
            named.open()
    assert asides(path) == []
    assert (path.is_dir() or path.read_bytes()) == before


@pytest.mark.usefixtures("file")
def test_a_named_file_that_is_ours_and_damaged_is_put_aside(path):
    damage_pages(path)
    named = ObjectsFile(path, is_ours=False)
    named.open()
    assert asides(path) == [f"{FILE_NAME}.aside-1"]
    named.close()


def test_the_file_of_a_later_version_is_left(file, path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma user_version = 2")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="later version"):
        file.open()
    assert path.read_bytes() == before
    assert asides(path) == []


def test_damage_that_shows_later_is_refused_once_and_then_put_aside(file, path):
    file.open()
    drop_table(path)
    with pytest.raises(DatabaseUnavailableError, match="no such table"):
        file.upsert([ROW])
    file.upsert([ROW])
    assert rows_of(file) == [ROW]
    assert len(file.troubles) == 1


def test_a_file_that_somebody_locks_is_refused_until_it_is_free(file, path):
    file.open()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        with pytest.raises(DatabaseUnavailableError, match="locked"):
            file.upsert([Seen(2, NOON_US)])
    file.upsert([Seen(2, NOON_US)])
    assert len(rows_of(file)) == 2


def test_a_folder_that_is_not_there_is_refused_until_it_is(tmp_path):
    path = tmp_path / "later" / FILE_NAME
    file = ObjectsFile(path)
    with pytest.raises(DatabaseUnavailableError, match="No such file"):
        file.open()
    path.parent.mkdir()
    file.open()
    file.close()


@contextmanager
def full_disk(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_is_refused_and_loses_nothing(file):
    file.open()
    many = [Seen(number, NOON_US) for number in range(20_000)]
    with full_disk(100_000):
        for _ in range(2):
            with pytest.raises(DatabaseUnavailableError):
                file.upsert(many)
        assert rows_of(file) == [ROW]
    file.upsert(many)
    assert len(rows_of(file)) == 20_000
    assert file.troubles == []


KILLED = """
import sys
from pathlib import Path
from daemon.callback.objects.file import ObjectsFile
from daemon.callback.objects.seen import Seen
file = ObjectsFile(Path(sys.argv[1]))
for number in range(10**9):
    file.upsert([Seen(number * 10 + one, 1) for one in range(10)])
    print(number, flush=True)
"""


def test_what_was_stored_is_there_after_a_kill(path):
    told = -1
    for _ in range(3):
        path.unlink(missing_ok=True)
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _ in range(50):
                told = int(process.stdout.readline())
            process.kill()
            rest = process.stdout.read().split()
        told = max([told, *map(int, rest)])
        file = ObjectsFile(path)
        found = {row.id for row in rows_of(file)}
        assert file.troubles == []
        file.close()
        assert set(range(told * 10 + 10)) <= found
        assert len(found) % 10 == 0


IS_LOCKED = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0)
try:
    connection.execute("pragma journal_mode = delete")
except sqlite3.OperationalError as error:
    print("locked" in str(error))
else:
    print(False)
"""


def store_in(folder: Path) -> SQLiteObjects:
    return SQLiteObjects(SQLiteDatabase(), reactor=reactor, folder=lambda: folder)


@pytest_twisted.ensureDeferred
async def test_what_is_put_aside_at_the_start_is_told(path, tmp_path):
    damage_all(path)
    store = store_in(tmp_path)
    with capturedLogs() as events:
        assert store.prepare() == store.troubles
        assert len(store.troubles) == 1
        await store.upsert([ROW])
    assert list(events) == []
    await store.close()


@pytest_twisted.ensureDeferred
async def test_what_is_put_aside_later_is_logged_once(path, tmp_path):
    store = store_in(tmp_path)
    assert store.prepare() == []
    drop_table(path)
    with capturedLogs() as events:
        with pytest.raises(DatabaseUnavailableError):
            await store.upsert([ROW])
        await store.upsert([ROW])
        await store.get(1, ALWAYS_US)
    assert [event["trouble"] for event in events] == store.troubles
    assert len(store.troubles) == 1
    await store.close()


@pytest.mark.usefixtures("file")
@pytest_twisted.ensureDeferred
async def test_a_file_that_is_locked_at_the_start_does_not_stop_it(path, tmp_path):
    store = store_in(tmp_path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma locking_mode = exclusive")
        connection.execute("begin exclusive")
        assert store.prepare() == []
    assert await store.get(1, ALWAYS_US) == ROW
    await store.close()


@pytest_twisted.ensureDeferred
async def test_the_file_of_a_later_version_stops_the_start(file, path, tmp_path):
    file.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma user_version = 2")
    store = store_in(tmp_path)
    with pytest.raises(StoreError, match="later version"):
        store.prepare()
    await store.close()


@pytest_twisted.ensureDeferred
async def test_the_state_folder_is_not_asked_for_in_vain(tmp_path):
    def folder() -> Path:
        raise AssertionError

    store = SQLiteObjects(SQLiteDatabase(tmp_path / "mine"), reactor=reactor, folder=folder)
    await store.upsert([ROW])
    await store.close()
    assert (tmp_path / "mine").exists()


@pytest_twisted.ensureDeferred
async def test_a_state_folder_that_cannot_be_had_is_tried_again(tmp_path):
    troubles = [OSError(errno.EACCES, os.strerror(errno.EACCES))]

    def folder() -> Path:
        if troubles:
            raise troubles.pop()
        return Path(tmp_path)

    store = SQLiteObjects(SQLiteDatabase(), reactor=reactor, folder=folder)
    with pytest.raises(DatabaseUnavailableError, match="Permission denied"):
        await store.open()
    await store.open()
    await store.close()


@pytest_twisted.ensureDeferred
async def test_the_end_finishes_what_was_begun(tmp_path):
    store = make_store("sqlite:", tmp_path)
    rows = [[Seen(number, NOON_US)] for number in range(20)]
    storing = [Deferred.fromCoroutine(store.upsert(each)) for each in rows]
    await store.close()
    for each in storing:
        await each
    store = make_store("sqlite:", tmp_path)
    assert len(await store.page(None, 99, ALWAYS_US)) == 20
    await store.close()


@pytest_twisted.ensureDeferred
async def test_the_end_interrupts_what_takes_long(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "CLOSE_S", 0.1)
    store = make_store("sqlite:", tmp_path)
    storing = Deferred.fromCoroutine(
        store.upsert([Seen(number, NOON_US) for number in range(1_000_000)])
    )
    await store.close()
    with pytest.raises(DatabaseUnavailableError):
        await storing


@pytest_twisted.ensureDeferred
async def test_a_sweep_ends_with_the_store(tmp_path):
    store = make_store("sqlite:", tmp_path)
    await store.upsert([Seen(number, NOON_US) for number in range(100_000)])
    sweeping = Deferred.fromCoroutine(store.sweep(NEVER_US, NEVER_US))
    await store.close()
    with pytest.raises(DatabaseUnavailableError, match="closed"):
        await sweeping


@pytest.mark.parametrize("hung", [ObjectsFile, ObjectsReader])
@pytest_twisted.ensureDeferred
async def test_a_disk_that_hangs_does_not_hold_up_the_end(tmp_path, monkeypatch, hung):
    hangs = threading.Event()
    reads = hung is ObjectsReader
    monkeypatch.setattr(hung, "get" if reads else "upsert", lambda *_: hangs.wait(60))
    with capturedLogs() as events:
        store = make_store("sqlite:", tmp_path)
        await store.open()
        asking: Coroutine[Any, Any, Any] = store.get(1, ALWAYS_US) if reads else store.upsert([ROW])
        asked = Deferred.fromCoroutine(asking)
        await store.close()
        with pytest.raises(DatabaseUnavailableError, match="closed"):
            await asked
    assert any("left behind" in str(event.get("log_format")) for event in events)
    hangs.set()


@pytest_twisted.ensureDeferred
async def test_who_has_read_before_reads_what_took_the_place_of_a_damaged_file(path, tmp_path):
    store = make_store("sqlite:", tmp_path)
    await store.upsert([ROW])
    assert await store.page(None, 9, ALWAYS_US) == [ROW]
    drop_table(path)
    with pytest.raises(DatabaseUnavailableError):
        await store.upsert([Seen(2, NOON_US)])
    await store.upsert([Seen(3, NOON_US)])
    for _ in range(2):
        assert await store.page(None, 9, ALWAYS_US) == [Seen(3, NOON_US)]
        assert await store.get(1, ALWAYS_US) is None
    assert asides(path)[0] == f"{FILE_NAME}.aside-1"
    await store.close()


@pytest_twisted.ensureDeferred
async def test_damage_that_a_reader_meets_is_refused_once_and_then_put_aside(path, tmp_path):
    store = make_store("sqlite:", tmp_path)
    await store.upsert([ROW])
    drop_table(path)
    with pytest.raises(DatabaseUnavailableError, match="no such table"):
        await store.page(None, 9, ALWAYS_US)
    assert await store.page(None, 9, ALWAYS_US) == []
    await store.close()


@pytest_twisted.ensureDeferred
async def test_nothing_is_left_beside_the_file_after_the_end(tmp_path):
    store = make_store("sqlite:", tmp_path)
    await store.upsert([ROW])
    assert await store.get(1, ALWAYS_US) == ROW
    await store.close()
    assert [found.name for found in tmp_path.iterdir()] == [FILE_NAME]


def test_a_file_in_use_stays_locked_whatever_its_reader_does(file, path):
    """Who opens and closes a file beside SQLite takes all its locks away; nobody may here."""
    file.open()
    for _ in range(3):
        assert file.reader.get(1, ALWAYS_US) == ROW
        file.reader.close()
        drop_table(path)
        with pytest.raises(DatabaseUnavailableError):
            file.get(1, ALWAYS_US)
        file.upsert([ROW])
        assert file.reader.get(1, ALWAYS_US) == ROW
        ended = subprocess.run(
            [sys.executable, "-c", IS_LOCKED, path], capture_output=True, text=True, check=True
        )
        assert ended.stdout == "True\n"


@pytest.mark.usefixtures("file")
def test_a_reader_leaves_a_file_that_is_not_open_to_the_writer(path):
    file = ObjectsFile(path)
    assert not file.is_shared
    with pytest.raises(CannotReadError):
        file.reader.get(1, ALWAYS_US)
    file.open()
    assert file.reader.get(1, ALWAYS_US) == ROW
    file.close()
    with pytest.raises(CannotReadError):
        file.reader.get(1, ALWAYS_US)
