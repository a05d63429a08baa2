"""Which database a setting names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.callback.objects.database import PostgresDatabase, SQLiteDatabase, parse_database


@pytest.mark.parametrize(
    ("text", "database"),
    [
        ("sqlite:", SQLiteDatabase()),
        ("sqlite::memory:", SQLiteDatabase(in_memory=True)),
        ("sqlite:/var/lib/objects", SQLiteDatabase(Path("/var/lib/objects"))),
        ("sqlite:///var/lib/objects", SQLiteDatabase(Path("/var/lib/objects"))),
        ("sqlite:objects.db", SQLiteDatabase(Path("objects.db"))),
    ],
)
def test_sqlite_is_in_the_state_folder_in_a_file_or_in_memory(text, database):
    assert parse_database(text) == database


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("postgresql://", {}),
        (
            "postgresql://it:p%40ss@db.example:5433/objects?sslmode=require&connect_timeout=3",
            {
                "user": "it",
                "password": "p@ss",
                "host": "db.example",
                "port": "5433",
                "dbname": "objects",
                "sslmode": "require",
                "connect_timeout": "3",
            },
        ),
        ("postgres://one,two:5433/it", {"host": "one,two", "port": ",5433", "dbname": "it"}),
        ("PostgreSQL://one/it", {"host": "one", "dbname": "it"}),
        ("postgresql:///it?host=/run/postgresql", {"host": "/run/postgresql", "dbname": "it"}),
        ("postgresql://[::1]/it", {"host": "::1", "dbname": "it"}),
    ],
)
def test_postgresql_is_what_libpq_makes_of_it(text, parameters):
    database = parse_database(text)
    assert isinstance(database, PostgresDatabase)
    assert database.parameters == parameters


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a database"),
        ("sqlite", "not a database"),
        ("mysql://root:hunter2@db/it", "not a database"),
        ("postgresql:hunter2", "not a database"),
        ("host=db password=hunter2", "not a database"),
        ("sqlite::hunter2:", "no path"),
        ("sqlite:\0", "no path"),
        ("postgresql://it:hunter2%zz@db/it", "not the address"),
        ("postgresql://it:hunter2@[::1/it", "not the address"),
        ("postgresql://it:hunter2@db/it?colour=blue", "'colour'"),
        ("postgresql://it:hunter2@db:x/it", "port"),
        ("postgresql://it:hunter2@db:0/it", "port"),
        ("postgresql://it:hunter2@one:1,two:65536/it", "port"),
        ("postgresql://it:hunter2@db/it%0A", "control"),
        ("postgresql://it:hunter2@db/it%00", "control"),
        ("postgresql://one,two,three/it?port=1,2", "3 hosts and 2 ports"),
    ],
)
def test_what_names_none_is_refused_in_one_line_without_its_password(text, reason):
    with pytest.raises(ValueError, match=reason) as refused:
        parse_database(text)
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_password_does_not_show():
    assert "hunter2" not in repr(parse_database("postgresql://it:hunter2@db/it"))


@given(st.sampled_from(["", "sqlite:", "postgresql://", "postgres://a:b@"]), st.text())
def test_whatever_it_is_it_is_read_or_refused_in_one_line(scheme, rest):
    assert "\n" not in refusal_of(scheme + rest)


def refusal_of(text: str) -> str:
    try:
        parse_database(text)
    except ValueError as error:
        return str(error)
    return ""
