"""How long a connection puts up with its client: to half a second or so."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from daemon.http.deadlines import TICK_S
from daemon.http.limits import Limits
from daemon.http.patience import LINGER_S
from tests.http.clients import Client, Server, get, post

LATE_S = 2 * TICK_S + 0.5
"""How late a deadline may be noticed, with the step of the clock."""

BODY = post(b"body")


class TimeoutTests(SynchronousTestCase):
    """A server with the usual limits: 10 s for a header, 30 s for a body, 120 s of silence."""

    def setUp(self) -> None:
        self.server = Server()
        self.client = self.server.connect()

    def assert_ends(self, client: Client, after_s: float, status: int | None) -> None:
        """See that a client is closed at a time and not before, with or without a word."""
        before = len(client.statuses)
        self.server.pass_time(after_s)
        self.assertFalse(client.wire.disconnecting, "too early")
        self.server.pass_time(LATE_S)
        self.assertTrue(client.closed, "too late")
        self.assertEqual(client.statuses[before:], [] if status is None else [status])

    def test_a_silent_connection_is_closed_without_a_word(self) -> None:
        self.assert_ends(self.client, 120, None)

    def test_a_connection_that_is_silent_after_a_request_is_closed_without_a_word(self) -> None:
        self.server.pass_time(50)
        self.client.send(get())
        self.assert_ends(self.client, 119.5, None)

    def test_every_request_puts_the_silence_off(self) -> None:
        for _ in range(10):
            self.client.send(get())
            self.server.pass_time(100)
        self.assertFalse(self.client.closed)
        self.assertEqual(self.client.statuses, [200] * 10)

    def test_a_header_that_is_not_complete_in_10_s_is_too_late(self) -> None:
        self.server.pass_time(100)
        self.client.send(get()[:-1])
        self.assert_ends(self.client, 10, 408)

    def test_a_trickle_does_not_put_the_header_off(self) -> None:
        self.client.send(b"G")
        self.server.pass_time(9)
        self.client.send(b"E")
        self.assert_ends(self.client, 1, 408)

    def test_each_header_has_its_own_10_s(self) -> None:
        request = get()
        self.client.send(request[:5])
        self.server.pass_time(8)
        self.client.send(request[5:] + request[:5])
        self.assert_ends(self.client, 10, 408)

    def test_the_next_header_begins_when_the_reply_before_it_is_sent(self) -> None:
        self.client.send(get("/later/1") + get()[:5])
        self.server.pass_time(60)
        self.server.application.waiting.pop().callback(b"")
        self.assert_ends(self.client, 10, 408)

    def test_a_body_that_stands_still_for_30_s_is_too_late(self) -> None:
        self.client.send(BODY[:-1])
        self.assert_ends(self.client, 30, 408)

    def test_a_body_that_goes_on_has_time(self) -> None:
        self.client.send(post(b"x" * 20)[:-20])
        for _ in range(19):
            self.server.pass_time(29)
            self.client.send(b"x")
        self.assertEqual(self.client.statuses, [])
        self.client.send(b"x")
        self.assertEqual(self.client.statuses, [200])

    def test_a_chunked_body_that_stands_still_is_too_late(self) -> None:
        self.client.send(get("/", "Transfer-Encoding: chunked", method="POST") + b"1\r\n")
        self.server.pass_time(25)
        self.client.send(b"x")
        self.assert_ends(self.client, 30, 408)

    def test_a_client_that_was_told_to_continue_has_30_s_to_do_so(self) -> None:
        self.client.send(get("/", "Content-Length: 4", "Expect: 100-continue", method="POST"))
        self.assertEqual(self.client.statuses, [100])
        self.assert_ends(self.client, 30, 408)

    def test_a_handler_may_take_its_time(self) -> None:
        self.client.send(get("/later/1"))
        self.server.pass_time(1000)
        self.assertFalse(self.client.wire.disconnecting)
        self.server.application.waiting.pop().callback(b"one")
        self.assertEqual(self.client.bodies, ["one"])
        self.assert_ends(self.client, 119.5, None)

    def test_empty_lines_do_not_keep_a_connection(self) -> None:
        for end in b"\r\n", b"\r", b"\n":
            client = self.server.connect()
            for _ in range(30):
                if client.wire.disconnecting:
                    break
                client.send(end)
                self.server.pass_time(9)
            self.assertTrue(client.wire.disconnecting, end)

    def test_an_empty_line_in_two_pieces_does_not_end_a_connection(self) -> None:
        self.client.send(get() + b"\r")
        self.client.send(b"\n")
        self.assert_ends(self.client, 119.5, None)

    def test_what_comes_after_a_refusal_is_read_and_thrown_away_for_2_s(self) -> None:
        self.client.send(b"?\r\n\r\n")
        written = self.client.wire.value()
        self.client.send(get())
        self.server.pass_time(LINGER_S + LATE_S)
        self.assertEqual(self.client.wire.value(), written)
        self.assertEqual(self.server.application.asked, [])

    def test_who_reads_a_large_reply_slowly_is_served_as_long_as_it_reads_on(self) -> None:
        wire = self.client.wire
        wire.fills = True
        self.client.send(get("/big/1000000"))
        while len(wire.value()) < 1_000_000:
            before = len(wire.value())
            self.server.pass_time(100)
            self.assertFalse(wire.disconnecting)
            wire.empty()
            self.assertGreater(len(wire.value()), before)
        wire.fills = False
        wire.empty()
        self.assertEqual([len(body) for body in self.client.bodies], [1_000_000])
        self.assert_ends(self.client, 119.5, None)

    def test_who_stops_reading_a_large_reply_is_cut_off(self) -> None:
        wire = self.client.wire
        wire.fills = True
        self.client.send(get("/big/1000000"))
        self.server.pass_time(100)
        wire.empty()
        self.server.pass_time(119)
        self.assertFalse(self.client.aborted)
        self.server.pass_time(LATE_S + 1)
        self.assertTrue(self.client.aborted)
        self.assertLess(len(wire.value()), 500_000)

    def test_a_large_reply_that_ends_the_connection_is_read_whole_before_that(self) -> None:
        wire = self.client.wire
        wire.fills = True
        self.client.send(get("/big/1000000", "Connection: close"))
        while len(wire.value()) < 1_000_000:
            self.assertFalse(wire.disconnecting)
            self.server.pass_time(100)
            wire.empty()
        self.assertTrue(self.client.closed)
        self.server.pass_time(119)
        self.assertFalse(self.client.aborted)
        self.server.pass_time(LATE_S + 1)
        self.assertTrue(self.client.aborted)

    def test_a_close_that_never_ends_is_cut_off(self) -> None:
        self.client.send(get("/", "Connection: close"))
        self.assertTrue(self.client.closed)
        self.server.pass_time(119)
        self.assertFalse(self.client.aborted)
        self.server.pass_time(LATE_S + 1)
        self.assertTrue(self.client.aborted)

    def test_times_are_those_of_the_limits(self) -> None:
        self.server = Server(Limits(header_s=3, body_s=60, idle_s=5))
        self.assert_ends(self.server.connect(), 5, None)
        client = self.server.connect()
        client.send(b"G")
        self.assert_ends(client, 3, 408)
        client = self.server.connect()
        client.send(BODY[:-1])
        self.assert_ends(client, 60, 408)

    def test_silence_after_a_body_is_measured_by_its_own_limit(self) -> None:
        self.server = Server(Limits(body_s=60, idle_s=5))
        client = self.server.connect()
        client.send(BODY[:-1])
        self.server.pass_time(10)
        client.send(BODY[-1:])
        self.assertEqual(client.statuses, [200])
        self.assert_ends(client, 4.5, None)

    def test_many_connections_are_watched_at_once(self) -> None:
        clients = [self.server.connect() for _ in range(100)]
        for number, client in enumerate(clients):
            if number % 2:
                client.send(b"G")
        self.server.pass_time(10 + LATE_S)
        self.assertEqual([client.closed for client in clients], [False, True] * 50)

    def test_nothing_is_watched_after_the_client_has_gone(self) -> None:
        self.client.send(b"G")
        self.client.go()
        self.server.pass_time(200)
        self.assertEqual(self.client.wire.value(), b"")
