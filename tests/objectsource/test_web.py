"""What is answered for an object, over both servers."""

from __future__ import annotations

import json
from http.client import IncompleteRead

import pytest
from twisted.internet.task import Clock

from daemon.http.server import KleinFactory
from daemon.objectsource.behaviour import Behaviour, Fault, Ways
from daemon.objectsource.faults import FLOOD_BYTES, NOISE, spoil
from daemon.objectsource.pauses import Pauses
from daemon.objectsource.web import ObjectsAPI
from tests.http.fronts import OURS, Exchange, Front, front

__all__ = ["front"]


class Source:
    """An object source behind a server.

    :param rates: how often each fault happens.
    """

    def __init__(self, front: Front, rates: dict[Fault, float] | None = None) -> None:
        ways = Ways(min_delay_s=2.0, max_delay_s=2.0, rates=rates or {})
        self.front = front
        self.clock = front.clock
        self.pauses = Pauses(front.clock)
        self.api = ObjectsAPI(Behaviour(ways, seed=1), self.pauses)
        front.serve(self.api.app)


@pytest.fixture
def source(front: Front) -> Source:
    return Source(front)


@pytest.fixture
def ours() -> Front:
    """Our server alone: what fails below HTTP asks for it."""
    return Front(OURS, Clock())


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/objects/7", {"id": 7, "online": False}),
        ("/objects/8", {"id": 8, "online": True}),
        ("/objects/-8", {"id": -8, "online": True}),
        ("/objects/0", {"id": 0, "online": True}),
        ("/objects/9223372036854775807", {"id": 2**63 - 1, "online": False}),
        ("/objects/-9223372036854775808", {"id": -(2**63), "online": True}),
    ],
)
def test_an_object_is_answered_for_after_the_delay_as_text(source, target, said):
    exchange = source.front.begin("GET", target)
    source.clock.advance(1.99)
    assert not exchange.answered
    source.clock.advance(0.01)
    assert exchange.reply.status == 200
    assert exchange.reply.fields["content-type"].startswith("text/plain")
    assert json.loads(exchange.reply.body) == said


@pytest.mark.parametrize("name", ["x", "1.5", "1e3", "%20", "9223372036854775808", "+1"])
def test_what_is_no_id_is_refused_at_once(source, name):
    reply = source.front.ask("GET", f"/objects/{name}")
    assert reply.status == 400
    assert reply.fields["content-type"].startswith("text/plain")
    assert b"whole number" in reply.body


@pytest.mark.parametrize("target", ["/", "/objects", "/objects/", "/objects/1/2", "/object/1"])
def test_there_is_nothing_elsewhere(source, target):
    assert source.front.ask("GET", target).status == 404


def test_objects_can_only_be_read(source):
    reply = source.front.ask("POST", "/objects/7", b"x")
    assert (reply.status, "GET" in reply.fields["allow"]) == (405, True)


def test_many_answers_are_under_way_at_once(source):
    exchanges = [source.front.begin("GET", f"/objects/{number}") for number in range(1_000)]
    source.clock.advance(2.0)
    for number, exchange in enumerate(exchanges):
        assert json.loads(exchange.reply.body)["id"] == number
    assert source.api.given == {"online": 500, "offline": 500}


def test_a_client_that_goes_away_leaves_nothing_behind(source):
    source.front.begin("GET", "/objects/7").hang_up()
    assert len(source.pauses) == 0
    assert source.api.given.total() == 0


def test_a_stop_tells_all_who_wait(source):
    exchange = source.front.begin("GET", "/objects/7")
    source.pauses.end()
    assert exchange.reply.status == 503
    assert source.front.ask("GET", "/objects/7").status == 503


def test_an_error_is_a_500(front):
    source = Source(front, {Fault.ERROR: 1})
    exchange = front.begin("GET", "/objects/8")
    source.clock.advance(2)
    assert exchange.reply.status == 500
    assert b"online" not in exchange.reply.body
    assert source.api.given == {"error": 1}


def test_garbage_comes_as_an_answer(front):
    source = Source(front, {Fault.GARBAGE: 1})
    exchanges = [front.begin("GET", "/objects/8") for _ in range(100)]
    source.clock.advance(2)
    assert {exchange.reply.status for exchange in exchanges} == {200}
    assert len({exchange.reply.body for exchange in exchanges}) > 5


def test_a_wrong_id_comes_as_an_answer(front):
    source = Source(front, {Fault.WRONG_ID: 1})
    exchange = front.begin("GET", "/objects/7")
    source.clock.advance(2)
    assert json.loads(exchange.reply.body) == {"id": 6, "online": True}
    assert source.api.given == {"wrong_id": 1}


def test_a_hanging_answer_never_comes_and_a_stop_ends_it(front):
    source = Source(front, {Fault.HANG: 1})
    exchange = front.begin("GET", "/objects/7")
    source.clock.advance(2)
    source.clock.advance(3_600)
    assert not exchange.answered
    source.pauses.end()
    assert exchange.reply.status == 503


def spoilt(front: Front, fault: Fault) -> tuple[Source, Exchange]:
    """Ask for an object whose answer fails below HTTP."""
    source = Source(front, {fault: 1})
    exchange = front.begin("GET", "/objects/8")
    assert not exchange.answered
    source.clock.advance(2)
    assert source.api.given == {fault.value: 1}
    return source, exchange


def send_all(exchange: Exchange) -> None:
    """Take what the connection sends, to its end."""
    while (producer := exchange.transport.producer) is not None:
        producer.resumeProducing()


@pytest.mark.parametrize(("fault", "is_reset"), [(Fault.RESET, True), (Fault.CUT, False)])
def test_half_an_answer_comes_before_the_connection_ends(ours, fault, is_reset):
    source, exchange = spoilt(ours, fault)
    assert not exchange.transport.disconnecting
    send_all(exchange)
    assert exchange.transport.disconnecting
    assert exchange.transport.disconnected is is_reset
    with pytest.raises(IncompleteRead):
        _ = exchange.reply
    assert b'{"id":8' in exchange.transport.value()
    exchange.hang_up()
    assert len(source.pauses) == 0


def test_noise_is_no_http(ours):
    _, exchange = spoilt(ours, Fault.NOISE)
    send_all(exchange)
    assert exchange.transport.value() == NOISE
    assert not NOISE.startswith(b"HTTP")
    assert exchange.transport.disconnecting


def test_a_flood_is_a_large_answer_that_comes_piece_by_piece(ours):
    _, exchange = spoilt(ours, Fault.FLOOD)
    size = largest = 0
    while exchange.transport.producer is not None:
        exchange.transport.producer.resumeProducing()
        largest = max(largest, len(exchange.transport.value()))
        size += len(exchange.transport.value())
        exchange.transport.clear()
    assert FLOOD_BYTES == 100_000_000
    assert FLOOD_BYTES < size < FLOOD_BYTES + 1_000
    assert largest < 100_000


def test_a_stop_breaks_off_a_flood(ours):
    source, exchange = spoilt(ours, Fault.FLOOD)
    sent = exchange.transport.value()
    source.pauses.end()
    assert exchange.transport.disconnected
    assert exchange.transport.value() == sent
    exchange.hang_up()


def test_what_has_an_answer_is_no_way_to_fail_below_http(ours):
    exchange = Exchange(KleinFactory(Source(ours).api.app, ours.clock), "GET")
    with pytest.raises(ValueError, match="is an answer"):
        spoil(exchange.transport, Fault.ERROR, b"")
