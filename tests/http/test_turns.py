"""Requests that come in thousands, on connections beside others: who has its turn when."""

from __future__ import annotations

from asyncio import CancelledError
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from klein import Klein

from daemon.http.connection import READ_AT_ONCE
from daemon.http.turns import SLICE_S, TURN_S, Turns
from tests.http.clients import Client, Server, get, post
from tests.http.turning import Turning

COST_S = SLICE_S / 4


class Slow:
    """Takes time to answer.

    :param cost_s: seconds for each request.
    :ivar answered: the targets, in the order of their answers.
    """

    app = Klein()

    def __init__(self, clock: Turning, cost_s: float) -> None:
        self.answered: list[str] = []
        self._clock = clock
        self._cost_s = cost_s

    @app.route("/<path:rest>", methods=["GET", "POST"])
    def answer(self, request: Any, rest: str) -> bytes:
        self._clock.work(self._cost_s)
        self.answered.append(rest)
        body: bytes = request.content.read() or rest.encode()
        return body


class Busy:
    """A server whose replies take time.

    :param cost_s: seconds for each.
    """

    def __init__(self, cost_s: float) -> None:
        self.clock = Turning()
        self._application = Slow(self.clock, cost_s)
        self.answered = self._application.answered
        self.server = Server(app=self._application.app, clock=self.clock)
        self.connect = self.server.connect

    def finish(self) -> None:
        """Turn until nobody waits any more."""
        while self.clock.is_busy:
            self.clock.turn()


def numbered(name: str, count: int) -> bytes:
    """Write requests of one client."""
    return b"".join(get(f"/{name}/{number}") for number in range(count))


def expected(name: str, count: int) -> list[str]:
    """Give what their replies say."""
    return [f"{name}/{number}" for number in range(count)]


def test_a_thousand_requests_in_one_read_do_not_hold_the_reactor_until_all_are_answered():
    busy = Busy(COST_S)
    client = busy.connect()
    client.send(numbered("a", 1000))
    assert len(busy.answered) * COST_S <= SLICE_S + COST_S
    assert not client.reading
    before = len(busy.answered)
    busy.clock.turn()
    assert 0 < (len(busy.answered) - before) * COST_S <= TURN_S + COST_S
    busy.finish()
    assert client.bodies == expected("a", 1000)
    assert client.reading


def test_who_comes_while_others_have_much_to_be_answered_gets_a_reply_at_once():
    busy = Busy(COST_S)
    greedy = [busy.connect() for _ in range(20)]
    for client in greedy:
        client.send(numbered("many", 100))
    modest = busy.connect()
    modest.send(get("/one"))
    assert modest.bodies == ["one"]
    assert all(len(client.replies()) < 100 for client in greedy)


def test_those_with_much_to_be_answered_have_their_turns_one_after_another():
    busy = Busy(SLICE_S)
    names = [f"client{number}" for number in range(4)]
    clients = [busy.connect() for _ in names]
    for client, name in zip(clients, names, strict=True):
        client.send(numbered(name, 50))
    most = 0
    while len(busy.answered) < 200:
        busy.clock.turn()
        counts = [len(client.replies()) for client in clients]
        most = max(most, max(counts) - min(counts))
    assert most <= 2 * (TURN_S / SLICE_S)
    for client, name in zip(clients, names, strict=True):
        assert client.bodies == expected(name, 50)


def test_a_reply_that_takes_longer_than_a_turn_is_the_only_one_of_its_turn():
    busy = Busy(10 * TURN_S)
    clients = [busy.connect() for _ in range(3)]
    for client in clients:
        client.send(numbered("x", 10))
    for _ in range(20):
        before = len(busy.answered)
        busy.clock.turn()
        assert len(busy.answered) == before + 1


def test_a_client_that_goes_while_it_waits_for_its_turn_is_forgotten():
    busy = Busy(SLICE_S)
    client, other = busy.connect(), busy.connect()
    client.send(numbered("gone", 100))
    other.send(numbered("other", 10))
    client.go()
    busy.finish()
    assert sum(name.startswith("gone") for name in busy.answered) < 5
    assert other.bodies == expected("other", 10)


def test_a_client_that_has_closed_its_side_gets_all_its_replies_in_turns_too():
    busy = Busy(COST_S)
    client = busy.connect()
    client.send(numbered("a", 5 * READ_AT_ONCE))
    client.close_own_side()
    busy.finish()
    assert client.bodies == expected("a", 5 * READ_AT_ONCE)
    assert client.closed


def test_what_comes_behind_requests_that_wait_for_their_turn_is_answered_behind_them():
    busy = Busy(COST_S)
    client = busy.connect()
    client.send(numbered("a", 50) + post(b"whole"[:3], "/x")[:-1])
    client.send(b"o" + get("/last"))
    busy.finish()
    assert client.bodies == [*expected("a", 50), "who", "last"]


@pytest.mark.parametrize("bad", [b"?\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_refusal_behind_many_requests_is_the_last_reply(bad):
    busy = Busy(COST_S)
    client = busy.connect()
    client.send(numbered("a", 50) + bad + numbered("b", 50))
    busy.finish()
    assert client.statuses == [200] * 50 + [400]
    assert client.closed


def test_a_head_that_is_unfinished_behind_many_requests_has_its_time_from_then_on():
    busy = Busy(COST_S)
    client = busy.connect()
    client.send(numbered("a", 50) + get("/late")[:-1])
    busy.finish()
    busy.server.pass_time(9)
    assert client.statuses == [200] * 50
    busy.server.pass_time(2)
    assert client.statuses == [200] * 50 + [408]


def test_a_drain_waits_for_nobody_who_has_asked_for_much():
    busy = Busy(COST_S)
    client = busy.connect()
    client.send(numbered("a", 1000))
    gone: list[object] = []
    busy.server.factory.drain().addCallback(gone.append)
    busy.finish()
    assert client.statuses == [200] * len(busy.answered)
    assert len(busy.answered) < 20
    busy.server.pass_time(2)
    client.go()
    assert gone == [None]
    assert busy.clock.getDelayedCalls() == []


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=5),
    st.sampled_from([0.0, COST_S, 3 * SLICE_S, 2 * TURN_S]),
    st.data(),
)
def test_everyone_gets_all_replies_in_order_however_long_they_take(counts, cost_s, data):
    busy = Busy(cost_s)
    clients: list[Client] = [busy.connect() for _ in counts]
    rests = [numbered(str(place), count) for place, count in enumerate(counts)]
    while any(rests):
        place = data.draw(st.sampled_from([at for at, rest in enumerate(rests) if rest]))
        size = data.draw(st.integers(1, len(rests[place])))
        clients[place].send(rests[place][:size])
        rests[place] = rests[place][size:]
    busy.finish()
    for place, count in enumerate(counts):
        assert clients[place].bodies == expected(str(place), count)


class Member:
    """Wants a number of turns, and fails in the last one if it is to.

    :ivar turns: how many it had.
    """

    def __init__(self, turns: Turns, wanted: int, error: BaseException | None = None) -> None:
        self._turns = turns
        self._wanted = wanted
        self._error = error
        self.turns = 0
        self.given_up = False

    def go_on(self) -> None:
        self.turns += 1
        if self.turns < self._wanted:
            self._turns.put_off(self)
        elif self._error is not None:
            raise self._error

    def give_up(self) -> None:
        self.given_up = True


@pytest.mark.parametrize("error", [MemoryError(), CancelledError()])
def test_one_who_fails_is_given_up_and_the_others_have_their_turns(error: BaseException):
    """Bug: nobody had a turn any more."""
    clock = Turning()
    turns = Turns(clock)
    members = [Member(turns, 3), Member(turns, 2, error), Member(turns, 3)]
    for member in members:
        turns.put_off(member)
    while clock.is_busy:
        clock.turn()
    assert [member.turns for member in members] == [3, 2, 3]
    assert [member.given_up for member in members] == [False, True, False]
