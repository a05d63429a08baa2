"""How a command ends: the exit statuses, and the errors that become one line on stderr."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the exit status says."""

    DONE = 0
    NO = 1
    """It was asked, and the answer is no: not ready, no such job, a bad line, cut off."""
    CANNOT = 2
    """It could not be asked: nobody listens, a file cannot be read, a wrong flag."""
    INTERRUPTED = 130
    """Ctrl-C."""
    BROKEN_PIPE = 141
    """Nobody reads what is printed; the status is the one of programs that SIGPIPE ends."""


class CommandError(Exception):
    """A command cannot do what it was asked to. The text is one line.

    :cvar status: the exit status.
    """

    status = Exit.NO


class CannotAskError(CommandError):
    """There is nobody to ask, or nothing to ask with."""

    status = Exit.CANNOT


def plain(text: str) -> str:
    """Make one line of a text from elsewhere, which may hold anything, escape codes too."""
    return "".join(char if char.isprintable() else " " for char in text).strip()
