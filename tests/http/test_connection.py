"""One connection: the order of replies, how it is held back, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from daemon.http.connection import FLUSH_BYTES
from tests.http.clients import Client, Server, get, post


class OrderTests(SynchronousTestCase):
    """Replies come in the order of the requests, whoever is ready first."""

    def setUp(self) -> None:
        self.server = Server()
        self.application = self.server.application
        self.client = self.server.connect()

    def test_requests_sent_together_are_answered_in_order(self) -> None:
        self.client.send(get("/1") + post(b"body", "/2") + get("/fired/3") + get("/4"))
        self.assertEqual(self.client.bodies, ["/1", "/2", "/fired/3", "/4"])

    def test_a_reply_that_is_not_ready_holds_the_next(self) -> None:
        self.client.send(get("/1") + get("/later/2") + get("/3") + get("/later/4") + get("/5"))
        self.assertEqual(self.client.bodies, ["/1"])
        self.assertEqual(self.application.asked, ["/1", "/later/2"])
        self.application.waiting.pop().callback(b"two")
        self.assertEqual(self.client.bodies, ["/1", "two", "/3"])
        self.application.waiting.pop().callback(b"four")
        self.assertEqual(self.client.bodies, ["/1", "two", "/3", "four", "/5"])

    def test_what_comes_meanwhile_waits_its_turn(self) -> None:
        self.client.send(get("/later/1"))
        self.client.send(get("/2"))
        self.assertEqual(self.client.bodies, [])
        self.application.waiting.pop().callback(b"one")
        self.client.send(get("/3"))
        self.assertEqual(self.client.bodies, ["one", "/2", "/3"])

    def test_very_many_requests_in_one_read_are_answered(self) -> None:
        for kind in "now", "fired":
            client = self.server.connect()
            client.send(get(f"/{kind}/x") * 2000)
            self.assertEqual(len(client.replies()), 2000, kind)

    def test_very_many_requests_behind_one_that_waits_are_answered(self) -> None:
        self.client.send(get("/later/x") + get("/fired/x") * 2000)
        self.application.waiting.pop().callback(b"")
        self.assertEqual(len(self.client.replies()), 2001)

    def test_connections_do_not_wait_for_each_other(self) -> None:
        other = self.server.connect()
        self.client.send(get("/later/1"))
        other.send(get("/2"))
        self.assertEqual(other.bodies, ["/2"])

    def test_100_continue_waits_for_the_replies_before_it(self) -> None:
        head = get("/2", "Content-Length: 4", "Expect: 100-continue", method="POST")
        self.client.send(get("/later/1") + head)
        self.assertEqual(self.client.statuses, [])
        self.application.waiting.pop().callback(b"one")
        self.assertEqual(self.client.statuses, [200, 100])
        self.client.send(b"body")
        self.assertEqual(self.client.statuses, [200, 100, 200])

    def test_a_body_that_has_come_meanwhile_needs_no_100_continue(self) -> None:
        head = get("/2", "Content-Length: 4", "Expect: 100-continue", method="POST")
        self.client.send(get("/later/1") + head)
        self.client.send(b"body")
        self.application.waiting.pop().callback(b"one")
        self.assertEqual(self.client.statuses, [200, 200])

    def test_a_refusal_waits_for_the_replies_before_it(self) -> None:
        self.client.send(get("/later/1") + b"?\r\n\r\n")
        self.assertEqual(self.client.statuses, [])
        self.application.waiting.pop().callback(b"one")
        self.assertEqual(self.client.statuses, [200, 400])
        self.assertTrue(self.client.closed)

    def test_nothing_is_answered_behind_the_last_reply(self) -> None:
        self.client.send(get("/1", "Connection: close") + get("/2"))
        self.client.send(get("/3"))
        self.assertEqual(self.application.asked, ["/1"])
        self.assertTrue(self.client.closed)

    def test_the_last_reply_may_come_late(self) -> None:
        self.client.send(get("/later/1", "Connection: close") + get("/2"))
        self.assertFalse(self.client.closed)
        self.application.waiting.pop().callback(b"one")
        self.assertEqual(self.client.bodies, ["one"])
        self.assertTrue(self.client.closed)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["now", "later", "fired", "big"]), max_size=12), st.data())
def test_replies_are_in_order_however_requests_arrive_and_are_answered(kinds, data):
    server = Server()
    client = server.connect()
    targets = [f"/{kind}/{number}" for number, kind in enumerate(kinds)]
    raw = b"".join(get(target) for target in targets)
    while raw or server.application.waiting:
        if raw and (not server.application.waiting or data.draw(st.booleans())):
            size = data.draw(st.integers(1, len(raw)))
            client.send(raw[:size])
            raw = raw[size:]
        else:
            (reply,) = server.application.waiting
            server.application.waiting.clear()
            reply.callback(b"late")
    expected = [
        {"later": b"late", "big": b"x" * number}.get(kind, targets[number].encode())
        for number, kind in enumerate(kinds)
    ]
    assert server.application.asked == targets
    assert [reply.body for reply in client.replies()] == expected


class GoneTests(SynchronousTestCase):
    """A client that goes before its reply is ready."""

    def setUp(self) -> None:
        self.server = Server()
        self.application = self.server.application
        self.client = self.server.connect()

    def test_its_handler_is_cancelled_and_told(self) -> None:
        self.client.send(get("/later/1"))
        ended = self.application.requests[0].notifyFinish()
        self.client.go()
        self.failureResultOf(ended, ConnectionDone)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.server.factory.connections, 0)

    def test_what_waited_behind_it_is_not_begun(self) -> None:
        self.client.send(get("/later/1") + get("/2"))
        self.client.go()
        self.assertEqual(self.application.asked, ["/later/1"])

    def test_a_result_that_comes_after_it_is_forgotten(self) -> None:
        app = Klein()
        kept: Deferred[bytes] = Deferred(lambda _: None)

        async def handler(request: Any) -> bytes:  # noqa: ARG001
            deaf: Deferred[bytes] = Deferred(lambda deferred: deferred.callback(b"late"))
            kept.addCallback(deaf.callback)
            return await deaf

        app.route("/")(handler)
        client = Server(app=app).connect()
        client.send(get())
        client.go()
        self.assertEqual(client.wire.value(), b"")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_reply_that_was_sent_does_not_fail(self) -> None:
        self.client.send(get("/later/1"))
        ended = self.application.requests[0].notifyFinish()
        self.application.waiting.pop().callback(b"one")
        self.assertIsNone(self.successResultOf(ended))
        self.client.go()


class HalfClosedTests(SynchronousTestCase):
    """A client that closes its own side, and may still read."""

    def setUp(self) -> None:
        self.server = Server()
        self.application = self.server.application
        self.client = self.server.connect()

    def test_an_idle_one_is_closed(self) -> None:
        self.client.send(get("/1"))
        self.client.close_own_side()
        self.assertTrue(self.client.closed)

    def test_it_gets_all_replies_and_is_closed_then(self) -> None:
        self.client.send(get("/later/1") + get("/later/2") + get("/3"))
        self.client.close_own_side()
        self.assertFalse(self.client.closed)
        self.application.waiting.pop().callback(b"one")
        self.assertFalse(self.client.closed)
        self.application.waiting.pop().callback(b"two")
        self.assertEqual(self.client.bodies, ["one", "two", "/3"])
        self.assertTrue(self.client.closed)

    def test_half_a_request_is_not_answered(self) -> None:
        self.client.send(get("/1") + get("/2")[:-1])
        self.client.close_own_side()
        self.assertEqual(self.client.bodies, ["/1"])
        self.assertTrue(self.client.closed)

    def test_one_that_waits_for_more_than_5_s_is_taken_for_gone(self) -> None:
        self.client.send(get("/later/1"))
        self.client.close_own_side()
        self.server.pass_time(5)
        self.assertFalse(self.client.aborted)
        self.server.pass_time(1)
        self.assertTrue(self.client.aborted)

    def test_it_is_answered_while_it_waits(self) -> None:
        self.client.send(get("/later/1"))
        self.client.close_own_side()
        self.server.pass_time(4)
        self.application.waiting.pop().callback(b"one")
        self.assertEqual(self.client.bodies, ["one"])
        self.assertTrue(self.client.closed)


class BackpressureTests(SynchronousTestCase):
    """A client that sends and does not read."""

    def setUp(self) -> None:
        self.server = Server()
        self.application = self.server.application
        self.client = self.server.connect()

    def test_it_is_not_read_any_more(self) -> None:
        self.client.wire.fill()
        self.client.send(get("/1") + get("/2"))
        self.assertFalse(self.client.reading)
        self.client.wire.empty()
        self.assertTrue(self.client.reading)
        self.assertEqual(self.client.bodies, ["/1", "/2"])

    def test_replies_are_not_made_before_there_is_room(self) -> None:
        size = 10_000
        self.client.wire.fills = True
        self.client.send(get(f"/big/{size}") * 1000)
        made = 0
        while made < 1000:
            self.assertFalse(self.client.reading)
            news = len(self.application.asked) - made
            self.assertLessEqual(news * size, FLUSH_BYTES + 2 * size)
            self.assertGreater(news, 0)
            made += news
            self.client.wire.empty()
        self.assertTrue(self.client.reading)
        self.assertEqual(len(self.client.replies()), 1000)

    def test_requests_behind_one_that_waits_are_not_read_without_end(self) -> None:
        self.client.send(get("/later/1"))
        self.assertTrue(self.client.reading)
        self.client.send(get("/2"))
        self.assertFalse(self.client.reading)
        self.application.waiting.pop().callback(b"one")
        self.assertTrue(self.client.reading)

    def test_a_connection_that_is_being_closed_is_read_so_that_its_end_is_seen(self) -> None:
        for last in get("/2", "Connection: close"), b"?\r\n\r\n":
            client = self.server.connect()
            client.send(get("/later/1") + last + get("/3"))
            self.assertFalse(client.reading)
            self.application.waiting.pop().callback(b"one")
            self.assertTrue(client.closed)
            # Over TLS the client's end is something to read; else it would be cut off after 120 s.
            self.assertTrue(client.reading)

    def test_a_reply_that_nobody_reads_ends_the_connection(self) -> None:
        self.client.send(get("/1"))
        self.client.wire.fill()
        self.client.send(get("/2"))
        self.server.pass_time(118)
        self.assertFalse(self.client.aborted)
        self.server.pass_time(4)
        self.assertTrue(self.client.aborted)

    def test_one_that_reads_again_is_as_good_as_any(self) -> None:
        self.client.wire.fill()
        self.client.send(get("/2"))
        self.server.pass_time(100)
        self.client.wire.empty()
        self.server.pass_time(100)
        self.client.send(get("/3"))
        self.assertEqual(self.client.bodies, ["/2", "/3"])
        self.assertFalse(self.client.closed)


@pytest.mark.parametrize("answer", ["now", "later"])
def test_a_connection_can_be_used_thousands_of_times(answer):
    server = Server()
    client = Client(server.factory)
    for number in range(2000):
        client.send(get(f"/{answer}/{number}"))
        if answer == "later":
            server.application.waiting.pop().callback(b"")
    assert len(client.replies()) == 2000
