"""The time that a client has: until when it must have done what it has to do next."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from daemon.http.deadlines import NEVER, Bound
from daemon.http.reader import Awaiting

if TYPE_CHECKING:
    from daemon.http.server import KleinFactory

LINGER_S: Final = 2.0
"""How long a connection is read, and what comes thrown away, after a reply that ends it early.

Closing it at once would make the client's system throw the reply away (RFC 9112 section 9.6).
"""

HALF_CLOSED_S: Final = 5.0
"""How long a client that has closed its side waits for its reply; it may be gone for good."""


class Patience(Bound):
    """What a server has with one client; a connection is one.

    :param server: whose limits it goes by, and who looks at the deadline.
    :ivar deadline: when the client must have moved on; see :class:`daemon.http.deadlines.Bound`.
    :ivar tick: belongs to :class:`daemon.http.deadlines.Deadlines`.
    """

    def __init__(self, server: KleinFactory) -> None:
        self.server = server
        self.deadline = inf
        self.tick = NEVER

    def must_move_within(self, seconds: float) -> None:
        """Give the client so long, and no longer than a server that stops has."""
        now_s = self.server.clock.seconds()
        self.deadline = min(now_s + seconds, self.server.end_of_patience(now_s))
        self.server.deadlines.watch(self)

    def shorten(self) -> None:
        """Give it no more time than a server that stops has."""
        if self.deadline < inf:
            self.must_move_within(self.deadline - self.server.clock.seconds())

    def await_reading(self) -> None:
        """Give it the time to read what it was sent, or some of it."""
        self.must_move_within(self.server.limits.idle_s)

    def await_sending(self, awaiting: Awaiting, before: Awaiting | None) -> None:
        """Give it the time to send what it has to send next.

        :param awaiting: what that is.
        :param before: what was awaited before bytes came that were no whole request; None when
            nothing came, or more than that.
        """
        server = self.server
        if server.ending:
            self.deadline = server.request_deadline
            server.deadlines.watch(self)
        elif awaiting is Awaiting.REQUEST:
            self.deadline = server.idle_deadline
            server.deadlines.watch(self)
        elif awaiting is Awaiting.BODY:
            self.must_move_within(server.limits.body_s)
        elif awaiting is not before:
            self.must_move_within(server.limits.header_s)
