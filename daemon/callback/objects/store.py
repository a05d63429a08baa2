"""The database of objects: one interface, two databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.callback.objects.database import (
    Database,
    PostgresDatabase,
    SQLiteDatabase,
    parse_database,
)
from daemon.callback.objects.seen import DatabaseUnavailableError, ObjectStore, Seen, StoreError
from daemon.callback.objects.sqlite import SQLiteObjects
from daemon.health import Health

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


def store_for(
    database: Database,
    *,
    reactor: Any,
    folder: Callable[[], Path],
    health: Health | None = None,
) -> ObjectStore:
    """Give the store for a database; nothing is opened yet.

    :param reactor: schedules, watches sockets, runs threads.
    :param folder: gives the state folder; asked for only by who keeps a file in it.
    :param health: told when a disk that is waited for does not answer.
    """
    match database:
        case SQLiteDatabase():
            return SQLiteObjects(database, reactor=reactor, folder=folder, health=health)
        case PostgresDatabase():
            # Only those who use PostgreSQL need the libraries.
            from daemon.callback.objects.pool import Pool
            from daemon.callback.objects.postgres import PostgresObjects

            return PostgresObjects(Pool(reactor, database.parameters))
