"""Accepting connections where descriptors are few.

Twisted accepts a hundred connections and more in one turn of the reactor, and those that are
refused in it are closed in the next. Without a descriptor left it accepts nothing, logs that, and
is told at once that somebody waits: it would do nothing else any more.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger

PAUSE_S: Final = 0.1
"""How long nobody is accepted when no descriptor is left."""

SHARE: Final = 16
"""One in so many of the descriptors left may go to connections that one port accepts in a turn."""


def spare_descriptors(descriptor: int) -> int:
    """Tell how many descriptors may be opened yet, about.

    The system gives the lowest number that is free.

    :param descriptor: an open one.
    :raises OSError: there is none.
    """
    lowest = os.dup(descriptor)
    os.close(lowest)
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most - lowest


class Accepting:
    """Takes the place of a port's ``doRead``.

    :param port: a listening port of Twisted's that has a socket.
    :param spare: see :func:`spare_descriptors`.
    """

    log = Logger()

    def __init__(self, port: Any, spare: Callable[[int], int] = spare_descriptors) -> None:
        self._port = port
        self._accept: Callable[[], object] = port.doRead
        self._spare = spare
        self._is_short = False

    def __call__(self) -> None:
        """Accept those who wait, as many as there is room for."""
        port = self._port
        try:
            spare = self._spare(port.fileno())
        except OSError as error:
            self._pause(str(error))
            return
        if self._is_short:
            self._is_short = False
            self.log.info("{port}: connections are accepted again", port=str(port))
        port.numberAccepts = max(1, min(port.numberAccepts, spare // SHARE))
        self._accept()

    def _pause(self, why: str) -> None:
        """Let those who wait go on waiting, but not without end."""
        if not self._is_short:
            self._is_short = True
            self.log.error(
                "{port}: nobody can be accepted for now: {why}", port=str(self._port), why=why
            )
        self._port.stopReading()
        self._port.reactor.callLater(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        if self._port.connected and not self._port.disconnecting:
            self._port.startReading()


def accept_sparingly(port: Any) -> None:
    """Let a port accept only as many at once as there are descriptors for.

    :param port: a listening port; one without a socket of the system's is left as it is.
    """
    if hasattr(port, "numberAccepts"):
        port.doRead = Accepting(port)
