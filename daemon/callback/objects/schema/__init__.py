"""The steps that make the tables, and bring those of an earlier version up to date."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

VERSION: Final = 1
"""The version of the tables that this program uses: the last step's number."""


def steps(database: str, version: int) -> list[tuple[int, str]]:
    """Give the SQL that leads from a version of the tables to the present one.

    :param database: ``sqlite`` or ``postgresql``.
    :param version: what is there; 0: nothing.
    :returns: versions, each with the statements that make it from the one before.
    """
    folder = files(__name__) / database
    return [
        (number, (folder / f"{number}.sql").read_text("utf-8"))
        for number in range(version + 1, VERSION + 1)
    ]
