"""Signals that stop or reload the daemon, taken one at a time by a thread.

Handlers of Python's run between any two steps of the main thread, and inside one another when
signals come fast: a flood of them ends in a RecursionError or in a deadlock. Here the signals are
blocked instead, from before the first thread on, and one thread waits for them. Whatever comes
before the daemon is ready waits too, and what comes after the end has begun changes nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import Thread
from typing import Final

STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})
RELOAD: Final = signal.SIGHUP
HELD: Final = STOP | {RELOAD}


def hold() -> None:
    """Let the signals wait. Threads started later inherit that, those started before do not."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)


def deliver(take: Callable[[signal.Signals], bool]) -> None:
    """Start the thread that takes the signals held.

    :param take: called in that thread with each signal; returns whether it wants more.
    """
    Thread(target=_wait, args=(take,), name="signals", daemon=True).start()


def _wait(take: Callable[[signal.Signals], bool]) -> None:
    while take(signal.Signals(signal.sigwait(HELD))):
        pass
