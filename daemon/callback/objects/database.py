"""Which database a setting names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote

WANTED: Final = (
    "sqlite: (a file in the state folder), sqlite:/path/to/file, sqlite::memory:, or postgresql://…"
)
"""What :func:`parse_database` takes, for people."""

MAX_PORT: Final = 65535

_POSTGRES: Final = re.compile(r"(?i)postgres(?:ql)?://")
_UNKNOWN_PARAMETER: Final = re.compile(r'invalid URI query parameter: "(\w+)"')


@dataclass(frozen=True)
class SQLiteDatabase:
    """A file, or memory.

    :ivar path: the file; None: one in the state folder, or memory.
    :ivar in_memory: nothing outlives the process.
    """

    path: Path | None = None
    in_memory: bool = False


@dataclass(frozen=True)
class PostgresDatabase:
    """A PostgreSQL server's database.

    :ivar parameters: libpq's connection parameters, a password among them.
    """

    parameters: Mapping[str, str] = field(repr=False)


Database = SQLiteDatabase | PostgresDatabase


def parse_database(text: str) -> Database:
    """Read a setting.

    :raises ValueError: it names no database; says why in one line, without a password.
    """
    if _POSTGRES.match(text):
        return PostgresDatabase(_parameters(text))
    scheme, colon, rest = text.partition(":")
    if scheme != "sqlite" or not colon:
        raise ValueError(f"not a database; wanted {WANTED}")
    if rest == ":memory:":
        return SQLiteDatabase(in_memory=True)
    if "\0" in rest or rest.startswith(":"):
        raise ValueError(f"no path for a file; wanted {WANTED}")
    if not rest:
        return SQLiteDatabase()
    # What people know from elsewhere: sqlite:///path. Python keeps two slashes as they are.
    return SQLiteDatabase(Path("/" + rest.lstrip("/") if rest.startswith("/") else rest))


def _parameters(text: str) -> dict[str, str]:
    """Have libpq read a DSN.

    Its own messages are not passed on as they are: some of them hold the whole DSN.
    """
    # Only those who use PostgreSQL need the library.
    from psycopg2 import Error
    from psycopg2.extensions import parse_dsn

    scheme, _, rest = text.partition("://")
    if any(not character.isprintable() for character in unquote(rest, errors="replace")):
        raise ValueError("control characters in the address of a PostgreSQL database")
    try:
        parameters: dict[str, str] = parse_dsn(f"{scheme.lower()}://{rest}")
    except Error as error:
        unknown = _UNKNOWN_PARAMETER.search(str(error))
        if unknown:
            raise ValueError(f"PostgreSQL knows no parameter {unknown[1]!r}") from None
        raise ValueError(
            "not the address of a PostgreSQL database;"
            " wanted postgresql://user:password@host:port/database?parameter=value"
            " with special characters as %XX"
        ) from None
    for port in filter(None, parameters.get("port", "").split(",")):
        if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= MAX_PORT):
            raise ValueError(f"a port is a number from 1 to {MAX_PORT}")
    hosts, ports = (parameters.get(name, "").count(",") + 1 for name in ("host", "port"))
    if ports not in {1, hosts}:
        raise ValueError(f"{hosts} hosts and {ports} ports")
    return parameters
