"""Sees to it that nothing goes wrong unnoticed: what is logged as a failure is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import ILogObserver, LogLevel, eventAsText, globalLogPublisher
from zope.interface import provider


@contextmanager
def no_failure_logged() -> Iterator[None]:
    """Raise :class:`AssertionError` at the end if an error, or worse, was logged meanwhile."""
    said: list[str] = []

    @provider(ILogObserver)
    def look(event: Any) -> None:
        if event["log_level"] in (LogLevel.error, LogLevel.critical) or "log_failure" in event:
            said.append(eventAsText(event))

    globalLogPublisher.addObserver(look)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(look)
    assert not said, said[0]
