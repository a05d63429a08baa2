"""The server as a whole: how many connections, what it remembers, and how it stops."""

from __future__ import annotations

import gc
import resource
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from daemon.http.head import Head
from daemon.http.limits import Limits
from daemon.http.server import (
    DRAIN_S,
    FINISH_S,
    OVERFLOW,
    RECENT_S,
    REMEMBERED_HEADS,
    SPARE_DESCRIPTORS,
)
from tests.http.clients import Client, Server, Wire, get, post


class DescriptorTests(SynchronousTestCase):
    """Some descriptors are not for connections."""

    def setUp(self) -> None:
        self.server = Server()
        self.most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)

    def connect(self, descriptor: int) -> Client:
        """Connect, and let the system give this descriptor, the lowest that is free."""
        Wire.fileno = lambda _: descriptor  # type: ignore[attr-defined]  # the test's own class
        try:
            return self.server.connect()
        finally:
            del Wire.fileno  # type: ignore[attr-defined]

    def test_a_connection_that_leaves_enough_is_served(self) -> None:
        client = self.connect(self.most - 1 - SPARE_DESCRIPTORS)
        client.send(get())
        self.assertEqual(client.statuses, [200])

    def test_one_that_leaves_few_hears_when_to_come_again(self) -> None:
        client = self.connect(self.most - SPARE_DESCRIPTORS)
        client.send(get())
        (reply,) = client.replies()
        self.assertEqual((reply.status, reply.get(b"retry-after")), (503, b"1"))
        self.assertEqual(self.server.factory.turned_away, 1)

    def test_one_that_leaves_hardly_any_is_closed_at_once(self) -> None:
        client = self.connect(self.most - SPARE_DESCRIPTORS // 2)
        self.assertTrue(client.aborted)
        self.assertEqual(self.server.factory.connections, 0)


class RoomTests(SynchronousTestCase):
    """As many connections as the limit says."""

    def setUp(self) -> None:
        self.server = Server(Limits(connections=2))
        self.clients = [self.server.connect() for _ in range(2)]

    def is_served(self, client: Client) -> bool:
        client.send(get())
        return client.statuses == [200]

    def test_all_of_them_are_served(self) -> None:
        self.assertTrue(all(map(self.is_served, self.clients)))
        self.assertEqual(self.server.factory.connections, 2)

    def test_one_too_many_hears_when_to_come_again(self) -> None:
        client = self.server.connect()
        client.send(get())
        (reply,) = client.replies()
        self.assertEqual(reply.status, 503)
        self.assertEqual(reply.get(b"retry-after"), b"1")
        self.assertTrue(reply.closes)
        self.assertTrue(client.closed)
        self.assertTrue(all(map(self.is_served, self.clients)))

    def test_there_is_room_when_one_has_gone(self) -> None:
        refused = self.server.connect()
        refused.go()
        self.clients[0].go()
        self.assertTrue(self.is_served(self.server.connect()))
        self.assertEqual(self.server.connect().statuses, [503])

    def test_those_refused_take_no_room(self) -> None:
        self.server.connect()
        self.clients[0].go()
        self.assertTrue(self.is_served(self.server.connect()))

    def test_a_place_is_free_however_its_client_goes(self) -> None:
        def hang_up_at_work(client: Client) -> None:
            client.send(get("/later/1"))

        def be_refused(client: Client) -> None:
            client.send(b"?\r\n\r\n")

        def close_own_side(client: Client) -> None:
            client.close_own_side()

        def close_politely(client: Client) -> None:
            client.send(get("/", "Connection: close"))

        for leave in hang_up_at_work, be_refused, close_own_side, close_politely:
            client = self.clients.pop()
            leave(client)
            client.go()
            self.assertEqual(self.server.factory.connections, 1)
            self.clients.append(self.server.connect())
            self.assertTrue(self.is_served(self.clients[-1]))

    def test_of_a_flood_most_are_cut_off(self) -> None:
        flood = [self.server.connect() for _ in range(OVERFLOW + 10)]
        self.assertEqual([client.aborted for client in flood], [False] * OVERFLOW + [True] * 10)


class DateTests(SynchronousTestCase):
    """``Date`` is right to the second."""

    def test_it_goes_with_the_time(self) -> None:
        server = Server()
        client = server.connect()
        for _ in range(3):
            client.send(get() + get("/none"))
            server.clock.advance(1)
        dates = [reply.get(b"date") for reply in client.replies()]
        self.assertEqual(
            dates,
            [
                second
                for second in (
                    b"Sun, 06 Nov 1994 08:49:37 GMT",
                    b"Sun, 06 Nov 1994 08:49:38 GMT",
                    b"Sun, 06 Nov 1994 08:49:39 GMT",
                )
                for _ in range(2)
            ],
        )

    def test_replies_of_any_status_have_it(self) -> None:
        server = Server(app=statuses())
        client = server.connect()
        for status in 200, 204, 304, 404, 500:
            client.send(get(f"/{status}"))
        server.clock.advance(1)
        for status in 200, 204, 304, 404, 500:
            client.send(get(f"/{status}"))
        dates = [reply.get(b"date") for reply in client.replies()]
        self.assertEqual(dates[:5], [b"Sun, 06 Nov 1994 08:49:37 GMT"] * 5)
        self.assertEqual(dates[5:], [b"Sun, 06 Nov 1994 08:49:38 GMT"] * 5)


def statuses() -> Klein:
    """Make an application that answers with the status asked for."""
    app = Klein()

    @app.route("/<int:status>")
    def answer(request: Any, status: int) -> bytes:
        request.setResponseCode(status)
        return b"body"

    return app


# --- remembered heads


def echo() -> Klein:
    """Make an application that tells everything about a request."""
    app = Klein()

    @app.route("/<path:rest>")
    @app.route("/", defaults={"rest": ""})
    def answer(request: Any, rest: str) -> bytes:
        request.setHeader("X-Rest", rest)
        told = [
            request.method,
            request.uri,
            request.content.read(),
            request.args,
            request.prepath,
            request.postpath,
            request.getAllHeaders(),
            list(request.requestHeaders.getAllRawHeaders()),
        ]
        request.args[b"spoiled"] = [b"by", b"the", b"handler"]
        request.requestHeaders.setRawHeaders("X-A", ["spoiled"])
        request.setResponseCode(200 + len(rest) % 2)
        return repr(told).encode()

    return app


a_request = st.builds(
    lambda target, fields, body, method: (
        get(target, *fields, *([f"Content-Length: {len(body)}"] if body else []), method=method)
        + body
    ),
    st.sampled_from(["/", "/a", "/a/b", "/%61", "/a?x=1", "/a?x=2"]),
    st.lists(st.sampled_from(["X-A: 1", "X-A: 2", "x-a: 1", "Cookie: c", "X-B:"]), max_size=2),
    st.sampled_from([b"", b"", b"1", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]),
    st.sampled_from(["GET", "POST"]),
)


@settings(deadline=None)
@given(st.lists(st.tuples(a_request, st.booleans()), max_size=12), st.booleans())
def test_a_server_that_remembers_answers_like_one_that_never_saw_anyone(asked, together):
    server = Server(app=echo())
    client = server.connect()
    expected = b""
    for request, on_a_new_connection in asked:
        if on_a_new_connection:
            client = server.connect()
            expected = b""
        pieces = [request] if not together else [request[:20], request[20:]]
        for piece in pieces:
            client.send(piece)
        fresh = Server(app=echo()).connect()
        fresh.send(request)
        expected += fresh.wire.value()
        assert client.wire.value() == expected


def test_more_heads_than_can_be_remembered_are_answered_right():
    server = Server()
    client = server.connect()
    targets = [f"/{number}" for number in range(REMEMBERED_HEADS + 100)] * 2
    for target in targets:
        client.send(get(target))
    assert client.bodies == targets


def heads_alive(mark: bytes) -> int:
    """Count the heads in memory whose target is a mark."""
    gc.collect()
    return sum(isinstance(one, Head) and one.target == mark for one in gc.get_objects())


@pytest.mark.parametrize(
    "field",
    ["Authorization: Bearer s", "Cookie: s", "Idempotency-Key: s", "Proxy-Authorization: s"],
)
def test_no_head_with_credentials_stays_in_memory(field):
    server = Server(app=echo())
    client = server.connect()
    for request in get("/ordinary-mark", "X-A: s"), get("/secret-mark", field):
        client.send(request)
        client.send(request)
    assert len(client.replies()) == 4
    assert heads_alive(b"/ordinary-mark") == 1
    assert heads_alive(b"/secret-mark") == 0


def test_remembered_heads_have_a_bound():
    server = Server(app=echo())
    client = server.connect()
    for number in range(3 * REMEMBERED_HEADS):
        client.send(get("/many-mark", f"X-A: {number}"))
    assert heads_alive(b"/many-mark") <= REMEMBERED_HEADS + 1


# --- drain


class DrainTests(SynchronousTestCase):
    """The server stops: it answers what was asked, and lets everyone go."""

    def setUp(self) -> None:
        self.server = Server()
        self.application = self.server.application
        self.client = self.server.connect()

    def drain(self) -> Deferred[None]:
        """Begin to drain, and let the reactor turn until idle connections are closed."""
        self.server.factory.doStop()
        drained = self.server.factory.drain()
        self.turn()
        return drained

    def turn(self) -> None:
        self.server.clock.pump([0, 0, 0])

    def test_nothing_to_do_is_done(self) -> None:
        self.client.go()
        self.successResultOf(self.drain())
        self.assertEqual(self.server.clock.getDelayedCalls(), [])

    def test_those_refused_do_not_hold_it_up(self) -> None:
        self.server = Server(Limits(connections=1))
        admitted, refused = self.server.connect(), self.server.connect()
        self.assertEqual(refused.statuses, [503])
        admitted.go()
        drained = self.drain()
        self.assertNoResult(drained)
        self.server.pass_time(DRAIN_S)
        self.assertTrue(refused.aborted)
        refused.go()
        self.successResultOf(drained)

    def test_idle_connections_are_closed_without_a_word(self) -> None:
        self.server.pass_time(1)
        drained = self.drain()
        self.assertTrue(self.client.closed)
        self.assertEqual(self.client.wire.value(), b"")
        self.assertNoResult(drained)
        self.client.go()
        self.successResultOf(drained)
        self.assertEqual(self.server.clock.getDelayedCalls(), [])

    def test_who_has_connected_just_now_can_still_ask(self) -> None:
        silent = self.server.connect()
        drained = self.drain()
        self.assertFalse(self.client.closed)
        self.client.send(get("/1"))
        (reply,) = self.client.replies()
        self.assertTrue(reply.closes)
        self.client.go()
        self.server.clock.advance(RECENT_S)
        self.assertTrue(silent.closed)
        self.assertEqual(silent.wire.value(), b"")
        silent.go()
        self.successResultOf(drained)
        self.assertEqual(self.server.clock.getDelayedCalls(), [])

    def test_so_can_who_was_answered_just_now(self) -> None:
        self.server.pass_time(1)
        self.client.send(get("/1"))
        self.drain()
        self.assertFalse(self.client.closed)
        self.client.send(get("/2"))
        self.assertEqual([reply.closes for reply in self.client.replies()], [False, True])
        self.client.go()

    def test_a_request_at_work_is_answered_and_its_connection_closed(self) -> None:
        self.client.send(get("/later/1"))
        drained = self.drain()
        self.server.pass_time(10)
        self.assertFalse(self.client.wire.disconnecting)
        self.application.waiting.pop().callback(b"one")
        (reply,) = self.client.replies()
        self.assertEqual(reply.body, b"one")
        self.assertTrue(reply.closes)
        self.assertTrue(self.client.closed)
        self.client.go()
        self.successResultOf(drained)

    def test_what_the_reactor_has_still_to_read_is_answered(self) -> None:
        self.client.send(get("/1"))
        drained = self.server.factory.drain()
        self.client.send(get("/2"))
        self.turn()
        first, second = self.client.replies()
        self.assertFalse(first.closes)
        self.assertTrue(second.closes)
        self.assertEqual(second.body, b"/2")
        self.client.go()
        self.successResultOf(drained)

    def test_pipelined_requests_end_with_the_first_reply(self) -> None:
        self.client.send(get("/later/1") + get("/2"))
        self.drain()
        self.application.waiting.pop().callback(b"one")
        self.assertEqual(self.client.bodies, ["one"])
        self.assertTrue(self.client.closed)
        self.assertEqual(self.application.asked, ["/later/1"])

    def test_half_a_request_may_be_finished(self) -> None:
        for raw, cut in (get("/1"), 5), (post(b"body", "/2"), -2):
            client = self.server.connect()
            client.send(raw[:cut])
            self.drain()
            self.server.pass_time(FINISH_S - 0.25)
            self.assertFalse(client.wire.disconnecting)
            client.send(raw[cut:])
            (reply,) = client.replies()
            self.assertEqual(reply.status, 200)
            self.assertTrue(reply.closes)
            self.assertTrue(client.closed)
            self.setUp()

    def test_half_a_request_that_stays_one_is_refused(self) -> None:
        for raw in get("/1")[:5], post(b"body", "/2")[:-2]:
            client = self.server.connect()
            client.send(raw)
            self.drain()
            self.server.pass_time(FINISH_S)
            (reply,) = client.replies()
            self.assertEqual(reply.status, 503)
            self.assertTrue(client.closed)
            self.setUp()

    def test_a_body_that_trickles_does_not_hold_the_stop_up(self) -> None:
        self.client.send(post(b"x" * 50)[:-50])
        self.drain()
        for _ in range(20):
            if not self.client.wire.disconnecting:
                self.client.send(b"x")
                self.server.pass_time(0.5)
        self.assertEqual(self.client.statuses, [503])

    def test_a_header_that_ends_does_not_give_the_body_30_s(self) -> None:
        raw = post(b"body")
        self.client.send(raw[:5])
        self.drain()
        self.client.send(raw[5:-4])
        self.server.pass_time(DRAIN_S)
        self.assertEqual(self.client.statuses, [503])

    def test_a_client_that_does_not_read_is_cut_off(self) -> None:
        self.client.wire.fill()
        self.client.send(get("/1"))
        drained = self.drain()
        self.server.pass_time(DRAIN_S)
        self.assertTrue(self.client.aborted)
        self.client.go()
        self.successResultOf(drained)

    def test_a_connection_that_does_not_go_when_closed_is_cut_off(self) -> None:
        self.drain()
        self.server.pass_time(DRAIN_S)
        self.assertTrue(self.client.aborted)

    def test_two_who_ask_for_it_hear_of_its_end(self) -> None:
        first, second = self.drain(), self.server.factory.drain()
        self.assertNoResult(first)
        self.client.go()
        self.successResultOf(first)
        self.successResultOf(second)

    def test_one_who_asks_again_when_it_is_over_hears_so(self) -> None:
        self.client.go()
        self.successResultOf(self.drain())
        again = self.drain()
        self.successResultOf(again)

    def test_a_connection_that_comes_late_is_let_go_too(self) -> None:
        self.client.send(get("/later/1"))
        drained = self.drain()
        late = self.server.connect()
        self.server.pass_time(DRAIN_S)
        self.assertTrue(late.wire.disconnecting)
        for client in late, self.client:
            client.go()
        self.successResultOf(drained)


def test_a_factory_that_stops_with_no_connection_left_keeps_no_timer():
    server = Server()
    client = server.connect()
    client.go()
    server.factory.doStop()
    assert server.clock.getDelayedCalls() == []
