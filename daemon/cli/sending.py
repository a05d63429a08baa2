"""Sends a source over several connections: whichever has nothing to send gets the next lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.cli.lines import Place
from daemon.cli.outcome import CommandError
from daemon.cli.source import Source
from daemon.cli.wires import Ending, Wire, poll

LOOK_S = 0.1
"""How often the progress is shown, at least."""


@dataclass
class Sent:
    """What became of it.

    :ivar lines: numbers that were handed to the system; of connections that ended early, the
        server may not have read all.
    :ivar bad: a line that is no number, if one was sent.
    :ivar early: the numbers of the connections that the server ended.
    :ivar is_terminated: whether the server was told to terminate.
    """

    lines: int = 0
    bytes: int = 0
    bad: Place | None = None
    early: list[int] = field(default_factory=list)
    is_terminated: bool = False


class Sending:
    """Sends until the source is at its end, or a connection is.

    :param rate: lines a second, at most; None: no limit.
    :param timeout_s: give up when nothing moves for so long.
    :param show: is told how far it is, several times a second.
    :param clock: gives seconds.
    """

    def __init__(
        self,
        source: Source,
        wires: list[Wire],
        *,
        rate: float | None,
        timeout_s: float,
        show: Callable[[Sent], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._open = list(wires)
        self._rate = rate
        self._timeout_s = timeout_s
        self._show = show
        self._clock = clock
        self._began = self._moved = clock()
        self.sent = Sent()

    def run(self) -> Sent:
        """Send it all.

        :raises CommandError: nothing moved for too long, or the server is no number server.
        """
        readable = False
        while self._open:
            self._hand_out(readable=readable)
            self._show(self.sent)
            if not self._open:
                break
            ready, readable = poll(self._open, self._more(), self._wait_s())
            if ready or readable:
                self._moved = self._clock()
            for wire, has_news in ready:
                self._serve(wire, has_news=has_news)
            self._check_that_it_moves()
        return self.sent

    def _hand_out(self, *, readable: bool) -> None:
        """Give each idle connection its next block, if there is one and its time has come."""
        for wire in [wire for wire in self._open if wire.is_idle]:
            if self._due_s() > 0:
                return
            block = self._source.peek(readable=readable)
            readable = False
            if block is None:
                if self._source.at_end:
                    self._end(wire, wire.finish())
                continue
            if block.is_last and len(self._open) > 1:
                if wire is not self._last_one():
                    self._end(wire, wire.finish())
                continue
            self._source.take()
            self.sent.lines += block.lines
            self.sent.bytes += len(block.data)
            self.sent.bad = block.bad
            self.sent.is_terminated = block.ends_all
            self._end(wire, wire.take(block))

    def _last_one(self) -> Wire:
        """Give the connection for a line that ends more than itself.

        What the others have sent is to be read before ``terminate``, and is not to be cut off
        when a bad line turns out to be one.
        """
        return next(wire for wire in self._open if not wire.is_finishing)

    def _is_holding(self) -> bool:
        """Whether the next block waits for the end of the other connections."""
        block = self._source.peek(readable=False)
        return block is not None and block.is_last and len(self._open) > 1

    def _serve(self, wire: Wire, *, has_news: bool) -> None:
        ending = wire.listen() if has_news else None
        self._end(wire, ending or wire.push())

    def _end(self, wire: Wire, ending: Ending | None) -> None:
        """Let a connection go that is at its end, whichever it is."""
        if ending is None or wire not in self._open:
            return
        wire.close()
        self._open.remove(wire)
        if ending is Ending.STRANGE:
            raise CommandError("that is no number server: it answers something")
        is_asked_for = wire.last is not None and wire.last.is_last
        if ending is Ending.EARLY and not is_asked_for:
            self.sent.early.append(wire.number)
            self._source.stop()

    def _due_s(self) -> float:
        """Say how long the next block has to wait."""
        if self._rate is None:
            return 0
        return self._began + self.sent.lines / self._rate - self._clock()

    def _more(self) -> int | None:
        """Give what to poll for more to send, if there is anyone to send it."""
        if self._due_s() > 0 or not any(wire.is_idle for wire in self._open):
            return None
        return self._source.pause_descriptor

    def _wait_s(self) -> float:
        due_s = self._due_s()
        if due_s > 0:
            return min(due_s, LOOK_S)
        could_send = any(wire.is_idle for wire in self._open)
        if could_send and self._source.pause_descriptor is None and not self._is_holding():
            return 0
        return LOOK_S

    def _check_that_it_moves(self) -> None:
        """Give up on a server that takes nothing; one that waits for us is another matter."""
        is_idle = any(wire.is_idle for wire in self._open)
        if is_idle and (self._due_s() > 0 or self._source.pause_descriptor is not None):
            self._moved = self._clock()
        elif self._clock() - self._moved > self._timeout_s:
            raise CommandError(f"the server has taken nothing for {self._timeout_s:g} s")
