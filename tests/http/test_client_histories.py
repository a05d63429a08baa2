"""Any history of requests, connections, answers and failures: the pool keeps its promises."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionLost

from daemon.http.answer import Answer, DeadlineExceededError, FetchError
from tests.http.client_worlds import Outcome, Wire, World

TIMEOUT_S = 10.0
WHICH = st.integers(0, 99)


class Histories(RuleBasedStateMachine):
    """Plays the callers, the server and the clock."""

    @initialize(connections=st.integers(1, 4))
    def start(self, connections: int) -> None:
        """Begin with nothing."""
        self.connections = connections
        self.world = World(connections, TIMEOUT_S)
        self.outcomes: list[tuple[str, float, Outcome]] = []
        self.given_up: set[int] = set()
        self.closed: Outcome | None = None

    def teardown(self) -> None:
        """Close; then nothing may be left."""
        if not hasattr(self, "world"):
            return
        closed = self.closed or Outcome(self.world.client.close())
        self.world.clock.pump([0, 0, 0])
        assert closed.got == [None]
        assert not self.world.open
        assert self.world.clock.getDelayedCalls() == []
        assert all(len(outcome.got) == 1 for _, _, outcome in self.outcomes)

    def wires(self, *, unanswered: bool) -> list[Wire]:
        """Give the connections on which something, or nothing, is awaited."""
        return [
            wire
            for wire in self.world.open
            if not wire.disconnecting and bool(wire.unanswered) == unanswered
        ]

    @rule(count=st.integers(1, 4))
    def gets(self, count: int) -> None:
        """Ask for something."""
        for _ in range(count):
            path = f"/{len(self.outcomes)}"
            deadline_s = self.world.clock.seconds() + TIMEOUT_S
            self.outcomes.append((path, deadline_s, self.world.get(path)))

    @precondition(lambda self: self.outcomes)
    @rule(which=WHICH)
    def gives_up(self, which: int) -> None:
        """Cancel a request, be it answered or not."""
        number = which % len(self.outcomes)
        outcome = self.outcomes[number][2]
        if not outcome.got:
            self.given_up.add(number)
        outcome.deferred.cancel()
        assert len(outcome.got) == 1

    @precondition(lambda self: self.world.endpoint.pending)
    @rule(which=WHICH)
    def connects(self, which: int) -> None:
        """Let the source accept."""
        self.world.connects(which % len(self.world.endpoint.pending))

    @precondition(lambda self: self.world.endpoint.pending)
    @rule(which=WHICH)
    def refuses(self, which: int) -> None:
        """Let the source refuse."""
        self.world.refuses(which % len(self.world.endpoint.pending))

    @precondition(lambda self: self.wires(unanswered=True))
    @rule(which=WHICH, last=st.booleans())
    def answers(self, which: int, *, last: bool) -> None:
        """Let the source answer."""
        wires = self.wires(unanswered=True)
        wire = wires[which % len(wires)]
        wire.answers(*(["Connection: close"] if last else []))

    @precondition(lambda self: self.wires(unanswered=True))
    @rule(which=WHICH, data=st.sampled_from([b"junk", b"HTTP/1.1 ", b"HTTP/1.1 100 \r\n\r\n"]))
    def spoils(self, which: int, data: bytes) -> None:
        """Let the source send what is no answer, or half of one, and end the connection."""
        wires = self.wires(unanswered=True)
        wire = wires[which % len(wires)]
        wire.sends(data)
        wire.ends()

    @precondition(lambda self: self.wires(unanswered=False))
    @rule(which=WHICH)
    def talks_unasked(self, which: int) -> None:
        """Let the source send an answer to nothing."""
        wires = self.wires(unanswered=False)
        wires[which % len(wires)].sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")

    @precondition(lambda self: self.world.open)
    @rule(which=WHICH, reason=st.sampled_from([ConnectionDone(), ConnectionLost()]))
    def ends(self, which: int, reason: Exception) -> None:
        """Let the source end a connection."""
        wires = self.world.open
        wires[which % len(wires)].ends(reason)

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.1, 1.0, 9.0, 31.0]))
    def waits(self, seconds: float) -> None:
        """Let time pass."""
        self.world.clock.advance(seconds)
        self.world.clock.advance(0)

    @precondition(lambda self: self.closed is None and len(self.outcomes) > 10)
    @rule()
    def closes(self) -> None:
        """Close the client."""
        self.closed = Outcome(self.world.client.close())
        assert all(len(outcome.got) == 1 for _, _, outcome in self.outcomes)

    @invariant()
    def connections_are_bounded(self) -> None:
        """Those being made count."""
        if hasattr(self, "world"):
            assert len(self.world.open) + len(self.world.endpoint.pending) <= self.connections

    @invariant()
    def each_request_has_its_own_answer_or_an_error(self) -> None:
        """And after its time, certainly."""
        if not hasattr(self, "world"):
            return
        for number, (path, deadline_s, outcome) in enumerate(self.outcomes):
            assert len(outcome.got) <= 1
            for got in outcome.got:
                if isinstance(got, Answer):
                    assert got.body.decode() == path
                elif number in self.given_up:
                    assert isinstance(got, CancelledError)
                else:
                    assert isinstance(got, FetchError)
                    if isinstance(got, DeadlineExceededError):
                        assert self.world.clock.seconds() >= deadline_s
            if self.world.clock.seconds() >= deadline_s:
                assert outcome.got

    @invariant()
    def nothing_waits_for_nothing(self) -> None:
        """A request without an outcome has a connection, or waits for one that is being made."""
        if not hasattr(self, "world") or all(outcome.got for _, _, outcome in self.outcomes):
            return
        assert self.world.clock.getDelayedCalls()
        for wire in self.wires(unanswered=False):
            # An idle connection while requests wait would be one forgotten.
            waiting = [each for each in self.outcomes if not each[2].got]
            asked = {path for each in self.world.open for path in each.unanswered}
            unplaced = [path for path, _, _ in waiting if path not in asked]
            assert len(unplaced) <= len(self.world.endpoint.pending), wire


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
