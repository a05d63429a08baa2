"""The database of objects: one interface, two databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.callback.database import (
    Database,
    PostgresDatabase,
    SQLiteDatabase,
    parse_database,
)
from daemon.callback.objects_sqlite import SQLiteObjects
from daemon.callback.seen import DatabaseUnavailableError, ObjectStore, Seen, StoreError

__all__ = [
    "Database",
    "DatabaseUnavailableError",
    "ObjectStore",
    "PostgresDatabase",
    "SQLiteDatabase",
    "Seen",
    "StoreError",
    "parse_database",
    "store_for",
]


def store_for(database: Database, *, reactor: Any, folder: Callable[[], Path]) -> ObjectStore:
    """Give the store for a database; nothing is opened yet.

    :param reactor: schedules, watches sockets, runs threads.
    :param folder: gives the state folder; asked for only by who keeps a file in it.
    """
    match database:
        case SQLiteDatabase():
            return SQLiteObjects(database, reactor=reactor, folder=folder)
        case PostgresDatabase():
            # Only those who use PostgreSQL need the libraries.
            from daemon.callback.objects_postgres import PostgresObjects
            from daemon.callback.postgres import Pool

            return PostgresObjects(Pool(reactor, database.parameters))
