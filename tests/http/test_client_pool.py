"""The pool, its connections and its time in the test's hand."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost

from daemon.http.answer import (
    Answer,
    ConnectionFailedError,
    DeadlineExceededError,
    FetchError,
    MalformedAnswerError,
)
from daemon.http.client_pool import IDLE_S, PAUSE_S
from tests.http.client_worlds import Outcome, Refusing, World


def answered(world: World, path: str) -> str:
    """Fetch on a kept connection, or on a new one."""
    outcome = world.get(path)
    if world.endpoint.pending:
        world.connects()
    wire = next(wire for wire in reversed(world.open) if wire.unanswered)
    wire.answers()
    return outcome.body


def test_the_connection_that_was_used_last_is_used_next():
    world = World(connections=3)
    gets = [world.get(f"/{number}") for number in range(3)]
    wires = [world.connects() for _ in range(3)]
    for wire in (wires[1], wires[2], wires[0]):
        wire.answers()
    assert [get.body for get in gets] == ["/0", "/1", "/2"]
    for number in range(3, 6):
        answered(world, f"/{number}")
    assert wires[0].paths == ["/0", "/3", "/4", "/5"]


def test_connections_beyond_need_are_closed_after_their_time():
    world = World(connections=3)
    for number in range(3):
        world.get(f"/{number}")
    wires = [world.connects() for _ in range(3)]
    for wire in wires:
        wire.answers()
    for _ in range(int(IDLE_S) + 1):
        world.clock.advance(1)
        answered(world, "/again")
    assert [wire.open for wire in wires] == [False, False, True]
    assert not any(wire.aborted for wire in wires)
    world.clock.advance(IDLE_S)
    world.clock.advance(0)
    assert not world.open
    assert world.clock.getDelayedCalls() == []


def test_one_timer_serves_any_number_of_requests():
    world = World(connections=50)
    for number in range(1000):
        world.get(f"/{number}")
        world.clock.advance(0.001)
    assert len(world.clock.getDelayedCalls()) == 1


def test_nothing_is_left_when_all_is_answered_and_closed():
    world = World()
    for number in range(10):
        answered(world, f"/{number}")
    closed = Outcome(world.client.close())
    world.clock.advance(0)
    assert closed.got == [None]
    assert world.clock.getDelayedCalls() == []


def test_the_deadline_counts_from_the_request_on_through_all_that_may_hold_it_up():
    world = World(connections=1, timeout_s=10)
    first = world.get("/first")
    world.clock.advance(4)
    second = world.get("/second")
    wire = world.connects()
    world.clock.advance(5)
    wire.answers()
    assert first.body == "/first"
    wire.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
    world.clock.advance(4.5)
    assert second.got == []
    world.clock.advance(1)
    assert second.error is DeadlineExceededError
    world.clock.advance(0)
    assert not world.open


def test_a_deadline_while_connecting_leaves_the_connection_to_others():
    world = World(connections=1, timeout_s=10)
    first = world.get("/first")
    world.clock.advance(5)
    second = world.get("/second")
    world.clock.advance(5)
    assert first.error is DeadlineExceededError
    wire = world.connects()
    assert wire.paths == ["/second"]
    wire.answers()
    assert second.body == "/second"


def test_a_connection_that_nobody_waits_for_any_more_is_kept():
    world = World()
    get = world.get("/a")
    get.deferred.cancel()
    assert get.error is CancelledError
    wire = world.connects()
    assert wire.paths == []
    assert answered(world, "/b") == "/b"
    assert wire.paths == ["/b"]


# --- connections that end


def test_what_the_server_has_not_seen_is_asked_again_on_a_fresh_connection():
    world = World(connections=3)
    gets = [world.get(f"/{number}") for number in range(3)]
    for _ in range(3):
        world.connects().answers()
    get = world.get("/again")
    (wire,) = (wire for wire in world.open if wire.unanswered)
    wire.ends()
    assert [len(each.got) for each in gets] == [1, 1, 1]
    assert get.got == []
    fresh = world.connects()
    assert fresh.paths == ["/again"]
    fresh.answers()
    assert get.body == "/again"


def test_it_is_asked_again_once_and_within_the_same_deadline():
    world = World(timeout_s=10)
    answered(world, "/a")
    get = world.get("/b")
    world.clock.advance(6)
    world.open[0].ends(ConnectionLost())
    world.connects().ends()
    assert get.error is ConnectionFailedError
    answered(world, "/c")
    late = world.get("/d")
    world.clock.advance(6)
    world.open[0].ends()
    world.connects()
    world.clock.advance(4)
    assert late.error is DeadlineExceededError


def test_it_is_not_asked_a_third_time_though_the_second_was_on_a_kept_connection_too():
    """As it can be while no new connection may be tried."""
    world = World(connections=3)
    first, second = world.get("/a"), world.get("/b")
    wires = [world.connects(), world.connects()]
    for wire in wires:
        wire.answers()
    assert (first.body, second.body) == ("/a", "/b")
    again, other = world.get("/c"), world.get("/d")
    refused = world.get("/e")
    world.refuses()
    assert refused.error is ConnectionFailedError
    waiting = world.get("/f")
    one, two = (next(w for w in wires if w.unanswered == [path]) for path in ("/c", "/d"))
    one.ends()
    assert world.endpoint.pending == []
    two.answers()
    assert other.body == "/d"
    assert two.unanswered == ["/c"]
    two.ends()
    assert again.error is ConnectionFailedError
    assert waiting.got == []
    world.clock.advance(PAUSE_S)
    world.connects().answers()
    assert waiting.body == "/f"


def test_an_answer_that_had_begun_is_not_asked_for_again():
    world = World()
    answered(world, "/a")
    get = world.get("/b")
    world.open[0].sends(b"H")
    world.open[0].ends()
    assert get.error is ConnectionFailedError
    assert world.endpoint.attempts == 1


def test_what_has_to_be_asked_again_comes_before_what_waits():
    world = World(connections=1)
    answered(world, "/a")
    again = world.get("/b")
    waiting = world.get("/c")
    world.open[0].ends()
    wire = world.connects()
    wire.answers()
    wire.answers()
    assert (again.body, waiting.body) == ("/b", "/c")
    assert wire.paths == ["/b", "/c"]


def test_an_idle_connection_that_the_server_closes_is_forgotten():
    world = World()
    answered(world, "/a")
    world.open[0].ends()
    assert answered(world, "/b") == "/b"
    assert world.endpoint.attempts == 2


# --- bytes that nobody asked for


@pytest.mark.parametrize("late", [False, True])
def test_an_answer_that_nobody_asked_for_is_nobodys(late):
    world = World()
    get = world.get("/a")
    wire = world.connects()
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    mine = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a"
    if late:
        wire.sends(mine)
        wire.sends(evil)
    else:
        wire.sends(mine + evil)
    assert get.body == "/a"
    assert answered(world, "/b") == "/b"
    assert wire.paths == ["/a"]
    world.clock.advance(0)
    assert not wire.open


def test_an_answer_before_any_request_is_nobodys():
    world = World()
    world.get("/a").deferred.cancel()
    wire = world.connects()
    wire.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    assert answered(world, "/b") == "/b"
    assert wire.paths == []


def test_a_malformed_answer_ends_the_connection_and_the_next_request_has_another():
    world = World(connections=1)
    first, second = world.get("/a"), world.get("/b")
    world.connects().sends(b"nonsense")
    assert first.error is MalformedAnswerError
    world.clock.advance(0)
    world.connects().answers()
    assert second.body == "/b"


def test_a_server_that_closes_after_each_answer_is_asked_anew_each_time():
    world = World(connections=1)
    gets = [world.get(f"/{number}") for number in range(3)]
    for _ in range(3):
        wire = world.connects()
        wire.answers("Connection: close")
        assert not wire.aborted
        world.clock.advance(0)
    assert [get.body for get in gets] == ["/0", "/1", "/2"]


# --- a source that is not there


def test_a_failed_attempt_fails_its_request_and_no_other_while_there_are_connections():
    world = World(connections=2)
    first, second, third = world.get("/a"), world.get("/b"), world.get("/c")
    wire = world.connects()
    world.refuses()
    assert second.error is ConnectionFailedError
    assert first.got == third.got == []
    wire.answers()
    wire.answers()
    assert (first.body, third.body) == ("/a", "/c")


def test_without_any_connection_a_failed_attempt_fails_all_that_wait():
    world = World(connections=2)
    gets = [world.get(f"/{number}") for number in range(5)]
    world.refuses()
    assert [len(get.got) for get in gets] == [1, 0, 0, 0, 0]
    world.refuses()
    assert [get.error for get in gets] == [ConnectionFailedError] * 5


def test_after_a_failed_attempt_one_is_made_at_a_time_and_not_at_once():
    world = World(connections=10)
    world.get("/0")
    world.refuses()
    gets = [world.get(f"/{number}") for number in range(1, 6)]
    assert world.endpoint.pending == []
    world.clock.advance(PAUSE_S)
    assert len(world.endpoint.pending) == 1
    world.get("/6")
    assert len(world.endpoint.pending) == 1
    world.connects()
    assert len(world.endpoint.pending) == 5
    while world.endpoint.pending:
        world.connects()
    for wire in world.open:
        wire.answers()
    assert [get.body for get in gets] == [f"/{number}" for number in range(1, 6)]


def test_those_who_ask_again_at_once_make_no_flood_of_attempts():
    world = World(connections=10, endpoint=Refusing())
    errors: list[type] = []

    def again(_: object = None) -> None:
        world.client.get(b"/").addErrback(failed)

    def failed(failure: object) -> None:
        errors.append(type(failure))
        again()

    for _ in range(100):
        again()
    for _ in range(100):
        world.clock.advance(0.01)
    assert world.endpoint.attempts <= 1 / PAUSE_S + 2
    assert len(errors) >= 100


def test_what_waits_for_an_attempt_can_be_given_up_and_can_be_too_late():
    world = World(connections=1, timeout_s=0.05)
    world.get("/a")
    world.refuses()
    gone, late = world.get("/b"), world.get("/c")
    gone.deferred.cancel()
    world.clock.advance(0.05)
    assert gone.error is CancelledError
    assert late.error is DeadlineExceededError
    world.clock.advance(PAUSE_S)
    assert world.endpoint.pending == []


# --- the end


def test_closing_waits_for_connections_and_attempts():
    world = World(connections=3)
    gets = [world.get(f"/{number}") for number in range(5)]
    idle, busy = world.connects(), world.connects()
    idle.answers()
    idle.answers()
    closed = Outcome(world.client.close())
    assert [get.error for get in gets[1:3]] == [ConnectionFailedError] * 2
    assert closed.got == []
    assert world.endpoint.pending == []
    world.clock.advance(0)
    assert closed.got == [None]
    assert not idle.open
    assert not busy.open
    assert world.clock.getDelayedCalls() == []


def test_closing_ends_attempts_that_nobody_waits_for():
    world = World()
    world.get("/a").deferred.cancel()
    pending = list(world.endpoint.pending)
    closed = Outcome(world.client.close())
    assert closed.got == [None]
    assert pending[0][0].called


def test_who_closes_when_an_answer_comes_ends_all():
    world = World(connections=1)
    get = world.get("/a")
    other = world.get("/b")
    closed: list[Outcome] = []

    def close(_: object) -> None:
        closed.append(Outcome(world.client.close()))

    get.deferred.addCallback(close)
    world.connects().answers()
    assert isinstance(get.got[0], Answer)
    assert issubclass(other.error, FetchError)
    world.clock.advance(0)
    assert closed[0].got == [None]
