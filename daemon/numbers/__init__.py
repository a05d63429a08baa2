"""The number server: nine-digit lines in, a de-duplicated log and a report out."""
