"""Replies that take long, asked for by many at once: how long everyone else waits for them."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred

from daemon.http.turns import SLICE_S, Slices
from tests.http.turning import Turning


class Makers:
    """Those who ask.

    :ivar pieces: whose pieces were made, one after another.
    :ivar made: what each has, when it is complete.
    """

    def __init__(self) -> None:
        self.clock = Turning()
        self.slices = Slices(self.clock)
        self.pieces: list[str] = []
        self.made: dict[str, list[bytes]] = {}

    def ask(self, name: str, count: int, cost_s: float) -> Deferred[None]:
        """Have something made in so many pieces that take so long each."""
        return Deferred.fromCoroutine(self._ask(name, self._work(name, count, cost_s)))

    def finish(self) -> None:
        """Turn until nothing is due any more."""
        while self.clock.is_busy:
            self.clock.turn()

    async def _ask(self, name: str, pieces: Iterator[bytes]) -> None:
        self.made[name] = await self.slices.collect(pieces)

    def _work(self, name: str, count: int, cost_s: float) -> Iterator[bytes]:
        for number in range(count):
            self.clock.work(cost_s)
            self.pieces.append(name)
            yield b"%d" % number


def numbers(count: int) -> list[bytes]:
    """Give what a maker makes."""
    return [b"%d" % number for number in range(count)]


def test_what_is_asked_for_alone_is_made_at_once():
    makers = Makers()
    makers.ask("a", 3, SLICE_S / 4)
    assert makers.made == {"a": numbers(3)}


def test_what_hundreds_ask_for_at_once_is_made_over_as_many_turns():
    makers = Makers()
    for number in range(200):
        makers.ask(str(number), 1, SLICE_S)
    assert makers.pieces == ["0"]
    for turn in range(1, 200):
        makers.clock.turn()
        assert makers.pieces == [str(number) for number in range(turn + 1)]
    makers.finish()
    assert len(makers.made) == 200


def test_several_short_ones_share_a_turn():
    makers = Makers()
    for number in range(20):
        makers.ask(str(number), 1, SLICE_S / 4)
    before = len(makers.pieces)
    makers.clock.turn()
    assert 3 <= len(makers.pieces) - before <= 5


def test_a_long_one_is_made_in_many_turns_and_ready_before_others_begin():
    makers = Makers()
    makers.ask("long", 10, SLICE_S / 2)
    makers.ask("short", 1, SLICE_S / 2)
    while makers.clock.is_busy:
        before = len(makers.pieces)
        makers.clock.turn()
        assert len(makers.pieces) - before <= 3
    assert makers.pieces == ["long"] * 10 + ["short"]
    assert makers.made == {"long": numbers(10), "short": numbers(1)}


def test_for_who_has_gone_nothing_is_made_any_more():
    makers = Makers()
    begun = makers.ask("begun", 10, SLICE_S)
    waiting = makers.ask("waiting", 10, SLICE_S)
    makers.ask("other", 2, SLICE_S)
    makers.clock.turn()
    for gone in (begun, waiting):
        gone.cancel()
        gone.addErrback(lambda failure: failure.trap(CancelledError))
    before = makers.pieces.count("begun")
    makers.finish()
    assert makers.pieces.count("begun") == before
    assert "waiting" not in makers.pieces
    assert makers.made == {"other": numbers(2)}


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([0, SLICE_S / 4, SLICE_S, 3 * SLICE_S])),
        min_size=1,
        max_size=10,
    ),
    st.integers(0, 3),
)
def test_everyone_gets_all_of_it_in_the_order_of_asking(wanted, turns_between):
    makers = Makers()
    for place, (count, cost_s) in enumerate(wanted):
        makers.ask(str(place), count, cost_s)
        for _ in range(turns_between):
            makers.clock.turn()
    makers.finish()
    assert makers.made == {str(place): numbers(count) for place, (count, _) in enumerate(wanted)}
    assert makers.pieces == [
        str(place) for place, (count, _) in enumerate(wanted) for _ in range(count)
    ]
