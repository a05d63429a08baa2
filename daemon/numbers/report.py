"""The report: what changed since the last one, as a line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """Counts of this run, and what of them was reported.

    :ivar unique: distinct numbers in the log.
    :ivar duplicates: numbers received that the log had already.
    """

    unique: int = 0
    duplicates: int = 0
    reported_unique: int = 0
    reported_duplicates: int = 0

    def add(self, unique: int, duplicates: int) -> None:
        """Count what was recorded."""
        self.unique += unique
        self.duplicates += duplicates

    def report(self) -> str:
        """Give the line of the challenge for what came since the last report, without line end."""
        return (
            f"Received {self.unique - self.reported_unique} unique numbers,"
            f" {self.duplicates - self.reported_duplicates} duplicates."
            f" Unique total: {self.unique}"
        )

    def reported(self) -> None:
        """Note that the report has reached its reader; the next one starts from here."""
        self.reported_unique = self.unique
        self.reported_duplicates = self.duplicates
