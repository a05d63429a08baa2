"""A line on a terminal that says how far it is."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Final, TextIO

PERIOD_S: Final = 0.1
_MILLION: Final = 1_000_000
_NARROWEST: Final = 10


class Progress:
    """Shows how much of a file was sent, how fast it goes, and how long it will take.

    :param out: a terminal; anything else is left alone.
    :param size: bytes in all; None when nobody knows.
    :param clock: gives seconds.
    """

    def __init__(
        self, out: TextIO, size: int | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._size = size
        self._clock = clock
        self._began = clock()
        self._shown: float | None = None
        self._is_terminal = out.isatty()

    def show(self, lines: int, sent_bytes: int) -> None:
        """Show it, ten times a second at most."""
        now = self._clock()
        if not self._is_terminal or (self._shown is not None and now - self._shown < PERIOD_S):
            return
        self._shown = now
        width = shutil.get_terminal_size().columns - 1
        self._out.write("\r" + self._text(lines, sent_bytes, width)[:width].ljust(width))
        self._out.flush()

    def clear(self) -> None:
        """Leave the line empty, for what is printed next."""
        if self._shown is not None:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._shown = None

    def _text(self, lines: int, sent_bytes: int, width: int) -> str:
        seconds = self._clock() - self._began
        speed = rate(lines, seconds)
        if not self._size:
            return f"{lines} lines, {speed}"
        part = min(sent_bytes / self._size, 1)
        left = f", {seconds / part * (1 - part):.0f} s left" if part else ""
        words = f" {part:4.0%} {speed}{left}"
        bar = max(width - len(words) - 2, _NARROWEST)
        return f"[{'#' * int(bar * part):{bar}}]{words}"


def rate(lines: int, seconds: float) -> str:
    """Say how many lines a second that is."""
    speed = lines / max(seconds, 1e-6)
    return f"{speed / _MILLION:.1f} million/s" if speed >= _MILLION else f"{speed:.0f}/s"
