"""The database and the source, gone or standing still, while all services are under load."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.postgres import FreshDatabase, PostgresServer
from tests.system.callbacks import postgres_database
from tests.system.conftest import Starter
from tests.system.faults.shaky import LONG, POLL_S, Shaky, Source, started_source
from tests.system.running import eventually

MEANWHILE = 50 if LONG else 20
"""Answers of each service while there is trouble."""


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[FreshDatabase]:
    """A database of this test's."""
    database = postgres.fresh_database()
    yield database
    database.server.ensure_running()
    database.release()


@pytest.fixture
def source(start: Starter) -> Source:
    """A source of objects that this test may end."""
    return started_source(start)


@contextmanager
def gone(database: FreshDatabase) -> Iterator[None]:
    """Let the server end as in a crash."""
    database.server.kill()
    yield
    database.server.start()


@contextmanager
def standing_still(database: FreshDatabase) -> Iterator[None]:
    """Let the processes that work for the daemon stand still."""
    pids = eventually(database.backends)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("trouble", [gone, standing_still] if LONG else [standing_still])
def test_a_database_in_trouble_is_noticed_by_no_client(
    shaky: Shaky,
    database: FreshDatabase,
    trouble: Callable[[FreshDatabase], AbstractContextManager[None]],
):
    whole, load = shaky, shaky.load
    whole.database = postgres_database(database)
    whole.add(f"callback.database={whole.database.setting}")
    whole.live()
    eventually(lambda: database.query("select to_regclass('objects')") != [(None,)])
    with load.running():
        with trouble(database):
            load.advance(answers=MEANWHILE)
            assert whole.ask("admin", "GET", "/readyz").status == 200
        load.advance()
    load.require_log()
    whole.require_all_callbacks()
    eventually(lambda: whole.troubles() == {}, pause_s=POLL_S)
    load.require_kept()
    assert whole.daemon.stop() == 0
    assert "Traceback" not in whole.daemon.stderr


def test_a_source_that_stands_still_or_is_gone_is_noticed_by_no_client(
    shaky: Shaky, start: Starter
):
    whole, load = shaky, shaky.load
    whole.add("callback.lookup_timeout=0.5")
    whole.live()
    with load.running():
        with whole.source.daemon.frozen():
            load.advance(answers=MEANWHILE)
            whole.wait_for_troubles("callback")
            load.advance()
        whole.source.daemon.kill()
        load.advance(answers=MEANWHILE)
        whole.wait_for_troubles("callback")
        started_source(start, whole.source.port)
        load.advance()
    load.require_log()
    whole.require_all_callbacks()
    eventually(lambda: whole.troubles() == {}, pause_s=POLL_S)
    load.require_kept()
    assert whole.daemon.stop() == 0
    assert "Traceback" not in whole.daemon.stderr
