"""The pool, and what can happen to a server."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg2
import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults

from daemon.callback.objects.database import PostgresDatabase, parse_database
from daemon.callback.objects.pool import Pool
from daemon.callback.objects.seen import DatabaseUnavailableError
from daemon.callback.objects.session import Limits, Session
from tests.callback.objects.stores import finish, nothing_unhandled, pause, until_available
from tests.postgres import PASSWORD, FreshDatabase, PostgresServer

ONE = [(1,)]
SHORT = Limits(connect_s=0.4, statement_s=0.4, grace_s=0.4)
PATIENT = Limits(connect_s=20, statement_s=60)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with nothing_unhandled():
        yield


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[FreshDatabase]:
    database = postgres.fresh_database()
    yield database
    database.release()


MakePool = Callable[..., Pool]


@pytest.fixture
def pool_of() -> Iterator[MakePool]:
    """Makes pools that are closed with the test."""
    pools: list[Pool] = []

    def make(dsn: str, limits: Limits = PATIENT) -> Pool:
        database = parse_database(dsn)
        assert isinstance(database, PostgresDatabase)
        pools.append(Pool(reactor, database.parameters, limits))
        return pools[-1]

    yield make
    for pool in pools:
        finish(pool.close())


def ask(pool: Pool, statement: str = "select 1") -> Deferred[list[tuple[Any, ...]]]:
    return Deferred.fromCoroutine(pool.run(statement))


async def refusal(asked: Any) -> str:
    """Give the text of a refusal, which is for logs: one line, and no password."""
    with pytest.raises(DatabaseUnavailableError) as refused:
        await asked
    text = str(refused.value)
    assert "\n" not in text
    assert PASSWORD not in text
    assert text.startswith("PostgreSQL: ")
    return text


async def until(condition: Callable[[], object]) -> None:
    """Wait for something, which must come within 5 s."""
    for _ in range(500):
        if condition():
            return
        await pause()
    raise AssertionError("it did not come")


@pytest_twisted.ensureDeferred
async def test_a_statement_gives_its_rows(pool_of, database):
    pool = pool_of(database.dsn())
    assert await pool.run("select %s + 1, 'two'", (1,)) == [(2, "two")]
    assert await pool.run("create table numbers (number integer)") == []
    assert await pool.run("insert into numbers values (%(it)s) returning number", {"it": 7}) == [
        (7,)
    ]


@pytest_twisted.ensureDeferred
async def test_connections_are_made_on_demand_used_again_and_few(pool_of, database):
    pool = pool_of(database.dsn())
    assert database.backends() == []
    for _ in range(5):
        await pool.run("select 1")
    assert len(database.backends()) == 1
    asked = [ask(pool, "select pg_sleep(0.01)") for _ in range(20)]
    await gatherResults(asked)
    assert len(database.backends()) == 3


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_down_at_first_is_used_once_it_is_up(pool_of, database):
    pool = pool_of(database.dsn())
    database.server.stop()
    for _ in range(3):
        assert "Connection refused" in await refusal(pool.run("select 1"))
    database.server.start()
    assert await pool.run("select 1") == ONE


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
@pytest_twisted.ensureDeferred
async def test_after_a_restart_the_first_statement_works(pool_of, database, mode):
    """The reactor has had no chance to notice that its connections are dead."""
    pool = pool_of(database.dsn())
    await gatherResults([ask(pool), ask(pool), ask(pool)])
    if mode == "kill":
        database.server.kill()
    else:
        database.server.stop(mode)
    database.server.start()
    assert await gatherResults([ask(pool), ask(pool), ask(pool)]) == [ONE, ONE, ONE]


@pytest.mark.parametrize("mode", ["fast", "immediate", "kill"])
@pytest_twisted.ensureDeferred
async def test_idle_connections_may_die_under_the_reactors_eyes(pool_of, database, mode):
    pool = pool_of(database.dsn())
    await gatherResults([ask(pool), ask(pool), ask(pool)])
    if mode == "kill":
        database.server.kill()
    else:
        database.server.stop(mode)
    await pause(0.05)
    await refusal(pool.run("select 1"))
    database.server.start()
    assert await pool.run("select 1") == ONE


@pytest.mark.parametrize("is_noticed", [True, False])
@pytest_twisted.ensureDeferred
async def test_terminated_idle_connections_are_not_handed_out(pool_of, database, is_noticed):
    pool = pool_of(database.dsn())
    await gatherResults([ask(pool), ask(pool), ask(pool)])
    assert database.terminate() == 3
    while database.backends():
        pass
    if is_noticed:
        await pause(0.05)
    assert await gatherResults([ask(pool), ask(pool), ask(pool)]) == [ONE, ONE, ONE]


@pytest.mark.parametrize("how", ["terminate", "fast", "immediate", "kill"])
@pytest_twisted.ensureDeferred
async def test_a_connection_that_dies_with_its_statement_is_told_and_forgotten(
    pool_of, database, how
):
    pool = pool_of(database.dsn())
    asked = ask(pool, "select pg_sleep(60)")
    await until(lambda: is_sleeping(database))
    if how == "terminate":
        assert database.terminate() == 1
    elif how == "kill":
        database.server.kill()
    else:
        database.server.stop(how)
    await refusal(asked)
    database.server.ensure_running()
    result, _ = await until_available(pool.run, "select 1")
    assert result == ONE


@pytest_twisted.ensureDeferred
async def test_a_crash_in_the_middle_of_a_transaction_leaves_nothing_of_it(pool_of, database):
    pool = pool_of(database.dsn())
    await pool.run("create table numbers (number integer)")

    async def work(session: Session) -> None:
        await session.run("begin")
        await session.run("insert into numbers values (1)")
        database.server.kill()
        await session.run("commit")

    await refusal(pool.use(work))
    database.server.start()
    assert (await until_available(pool.run, "select * from numbers"))[0] == []


@pytest_twisted.ensureDeferred
async def test_the_server_ends_a_statement_that_waits_for_a_lock_too_long(pool_of, database):
    database.query("create table objects (id integer)")
    pool = pool_of(database.dsn(), Limits(statement_s=0.2))
    await pool.run("select 1")
    (backend,) = database.backends()
    with database.locked():
        text = await refusal(pool.run("insert into objects values (1)"))
    assert "took too long" in text
    assert await pool.run("insert into objects values (2) returning id") == [(2,)]
    assert database.backends() == [backend]


@pytest_twisted.ensureDeferred
async def test_a_server_that_does_not_mind_the_time_is_asked_to_cancel(pool_of, database):
    pool = pool_of(database.dsn(), Limits(statement_s=0.2, grace_s=1))

    async def work(session: Session) -> None:
        await session.run("set statement_timeout = 0")
        await session.run("select pg_sleep(60)")

    assert "took too long" in await refusal(pool.use(work))
    await until(lambda: not is_sleeping(database))
    assert await pool.run("select 1") == ONE


@pytest_twisted.ensureDeferred
async def test_a_server_that_stands_still_is_left(pool_of, database):
    pool = pool_of(database.dsn(), SHORT)
    asked = ask(pool, "select pg_sleep(0.3)")
    await until(lambda: is_sleeping(database))
    (backend,) = database.backends()
    os.kill(backend, signal.SIGSTOP)
    try:
        assert "lost" in await refusal(asked)
        assert await pool.run("select 1") == ONE
    finally:
        os.kill(backend, signal.SIGCONT)


@pytest_twisted.ensureDeferred
async def test_a_server_that_takes_connections_and_never_answers_is_left(pool_of):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        pool = pool_of(f"postgresql://someone@127.0.0.1:{port}/it", SHORT)
        assert "no answer" in await refusal(pool.run("select 1"))
        asked = [ask(pool) for _ in range(4)]
        await pause(0.05)
        await pool.close()
        for one in asked:
            assert "closed" in await refusal(one)


@pytest_twisted.ensureDeferred
async def test_a_server_that_talks_nonsense_is_left(pool_of):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def talk() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
                    connection.close()

        threading.Thread(target=talk, daemon=True).start()
        port = listener.getsockname()[1]
        pool = pool_of(f"postgresql://someone@127.0.0.1:{port}/it", SHORT)
        for _ in range(3):
            await refusal(pool.run("select 1"))
        listener.shutdown(socket.SHUT_RDWR)


class Deceiver:
    """Says that it speaks TLS, and hangs up; whoever comes again gets through to a server.

    :param port: the server's.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                first, _ = self._listener.accept()
                with first:
                    first.recv(8)
                    first.sendall(b"S")
                    first.recv(1)
                second, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                for one, other in ((second, server), (server, second)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError), one, other:
            while content := one.recv(4096):
                other.sendall(content)
            other.shutdown(socket.SHUT_RDWR)


@pytest_twisted.ensureDeferred
async def test_a_connection_that_goes_on_without_tls_uses_another_socket(pool_of, database):
    with closing(Deceiver(database.server.port)) as deceiver:
        dsn = database.dsn(port=str(deceiver.port), sslmode="prefer", gssencmode="disable")
        pool = pool_of(dsn, Limits(connect_s=5))
        assert await pool.run("select 1") == ONE
        await pool.close()


@pytest_twisted.ensureDeferred
async def test_a_server_without_connections_to_give_is_tried_again(pool_of, database):
    pool = pool_of(database.dsn())
    others = []
    with pytest.raises(psycopg2.OperationalError, match="too many clients"):
        while True:
            others.append(database.connect())
    try:
        assert "too many clients" in await refusal(pool.run("select 1"))
    finally:
        for other in others:
            other.close()
    assert (await until_available(pool.run, "select 1"))[0] == ONE


@pytest_twisted.ensureDeferred
async def test_a_wrong_password_is_told_without_it(pool_of, database):
    pool = pool_of(database.dsn(password="tsdaemon"))  # noqa: S106
    text = await refusal(pool.run("select 1"))
    assert "authentication failed" in text
    assert "tsdaemon" not in text


@pytest_twisted.ensureDeferred
async def test_a_database_that_is_not_there_yet_is_tried_again(pool_of, database):
    pool = pool_of(database.server.dsn("later"))
    assert "does not exist" in await refusal(pool.run("select 1"))
    database.query("create database later")
    assert await pool.run("select 1") == ONE


@pytest_twisted.ensureDeferred
async def test_a_host_without_an_address_is_told(pool_of):
    pool = pool_of("postgresql://someone@no-such-host.invalid/it")
    assert "cannot be found" in await refusal(pool.run("select 1"))


@pytest_twisted.ensureDeferred
async def test_a_name_that_takes_for_ever_to_look_up_holds_nothing_up(pool_of, monkeypatch):
    hangs = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: hangs.wait(60))
    pool = pool_of("postgresql://someone@somewhere/it", SHORT)
    await refusal(pool.run("select 1"))
    asked = ask(pool)
    await pause()
    await pool.close()
    assert "closed" in await refusal(asked)
    hangs.set()


@pytest_twisted.ensureDeferred
async def test_of_several_hosts_one_that_answers_is_used(pool_of, database):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ports = [silent.getsockname()[1], database.server.port]
        dsn = database.dsn(host="127.0.0.1,127.0.0.1", port=",".join(map(str, ports)))
        assert await pool_of(dsn, SHORT).run("select 1") == ONE


@pytest_twisted.ensureDeferred
async def test_a_name_is_looked_up(pool_of, database):
    assert await pool_of(database.dsn(host="localhost")).run("select 1") == ONE


@pytest_twisted.ensureDeferred
async def test_whoever_finds_all_connections_busy_waits_for_one_but_not_for_ever(pool_of, database):
    pool = pool_of(database.dsn(), Limits(connections=1, statement_s=0.5))
    held: Deferred[None] = Deferred()

    async def hold(_: Session) -> None:
        await held

    holding = Deferred.fromCoroutine(pool.use(hold))
    assert "busy" in await refusal(pool.run("select 1"))
    asked = ask(pool)
    held.callback(None)
    await holding
    assert await asked == ONE


@pytest_twisted.ensureDeferred
async def test_a_transaction_that_nobody_ended_is_rolled_back(pool_of, database):
    pool = pool_of(database.dsn())
    await pool.run("create table numbers (number integer)")

    async def work(session: Session) -> None:
        await session.run("begin")
        await session.run("insert into numbers values (1)")

    await pool.use(work)
    assert await pool.run("select * from numbers") == []


@pytest_twisted.ensureDeferred
async def test_a_failed_statement_is_told_in_one_line_and_its_connection_kept(pool_of, database):
    pool = pool_of(database.dsn())
    await pool.run("select 1")
    (backend,) = database.backends()
    text = await refusal(pool.run("select 'secret row'::integer"))
    assert "SQLSTATE 22P02" in text
    await pool.run("select 1")
    assert database.backends() == [backend]


@pytest_twisted.ensureDeferred
async def test_a_bug_of_the_user_is_the_users(pool_of, database):
    pool = pool_of(database.dsn())

    async def work(_: Session) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await pool.use(work)
    assert await pool.run("select 1") == ONE


@pytest_twisted.ensureDeferred
async def test_a_server_that_has_become_a_copy_is_left(pool_of, database):
    pool = pool_of(database.dsn())
    await pool.run("create table numbers (number integer)")
    (backend,) = database.backends()
    await pool.run("set default_transaction_read_only = on")
    assert "SQLSTATE 25006" in await refusal(pool.run("insert into numbers values (1)"))
    assert await pool.run("insert into numbers values (2) returning number") == [(2,)]
    assert backend not in database.backends()


@pytest_twisted.ensureDeferred
async def test_what_is_stored_is_durable_though_the_server_says_otherwise(pool_of, database):
    database.query(f"alter database {database.name} set synchronous_commit = off")
    assert await pool_of(database.dsn()).run("show synchronous_commit") == [("on",)]


@pytest_twisted.ensureDeferred
async def test_the_end_waits_for_what_is_nearly_done(pool_of, database):
    pool = pool_of(database.dsn(), Limits(close_s=30))
    asked = ask(pool, "select 1 from pg_sleep(0.1)")
    await until(lambda: is_sleeping(database))
    await pool.close()
    assert await asked == ONE
    await until(lambda: database.backends() == [])


@pytest_twisted.ensureDeferred
async def test_the_end_cancels_what_takes_long_in_the_server_too(pool_of, database):
    pool = pool_of(database.dsn(), Limits(connections=2, close_s=0.2))
    asked = [ask(pool, "select pg_sleep(60)") for _ in range(4)]
    await until(lambda: is_sleeping(database))
    await pool.close()
    for one in asked:
        assert "closed" in await refusal(one)
    assert "closed" in await refusal(pool.run("select 1"))
    await until(lambda: database.backends() == [])


@pytest_twisted.ensureDeferred
async def test_the_end_comes_though_the_server_stands_still(pool_of, database):
    pool = pool_of(database.dsn(), Limits(close_s=0.1))
    asked = ask(pool, "select pg_sleep(60)")
    await until(lambda: is_sleeping(database))
    (backend,) = database.backends()
    os.kill(backend, signal.SIGSTOP)
    try:
        await pool.close()
        assert "closed" in await refusal(asked)
    finally:
        os.kill(backend, signal.SIGCONT)
    await until(lambda: database.backends() == [])


def is_sleeping(database: FreshDatabase) -> bool:
    return bool(database.query("select pid from pg_stat_activity where wait_event = 'PgSleep'"))
