"""However its clients behave, a server that stops is rid of them within its bound."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from daemon.http.limits import Limits
from daemon.http.server import DRAIN_S, FINISH_S, LATE_S
from tests.http.clients import Client, Server, get, post

STEP_S = 0.25
TICKS_S = 2 * 0.5
"""How late a deadline may be noticed that has no timer of its own."""

HALF_A_HEAD = get("/half")[:5]
HALF_A_BODY = post(b"body", "/half")[:-2]


class BoundTests(SynchronousTestCase):
    """From the moment when every reply ends its connection."""

    def setUp(self) -> None:
        self.server = Server(Limits(connections=100))
        self.application = self.server.application
        self.went: list[tuple[float, Client]] = []

    def stop(self) -> Deferred[None]:
        """Begin to stop, as a service does."""
        self.server.factory.end_with_replies()
        self.server.factory.doStop()
        return self.server.factory.drain()

    def until(self, at_s: float, clients: list[Client]) -> None:
        """Let the time pass until a moment of the stop; clients that are cut off go."""
        while self.server.clock.seconds() < self.began_s + at_s:
            self.server.clock.advance(STEP_S)
            for client in clients:
                if client.aborted and client not in [gone for _, gone in self.went]:
                    self.went.append((self.server.clock.seconds() - self.began_s, client))
                    client.go()

    def begin(self, offset_s: float = 2.0) -> Deferred[None]:
        """Let clients become old, then stop."""
        self.server.pass_time(offset_s)
        self.began_s = self.server.clock.seconds()
        drained = self.stop()
        self.server.clock.pump([0, 0, 0])
        return drained

    def test_all_kinds_at_once_are_gone_at_the_bound(self) -> None:
        connect = self.server.connect
        idle, in_head, in_body, half_closed, mute, refused = (connect() for _ in range(6))
        in_head.send(HALF_A_HEAD)
        in_body.send(HALF_A_BODY)
        half_closed.send(get("/later/1"))
        half_closed.close_own_side()
        mute.wire.fill()
        mute.send(get("/big/10"))
        refused.send(b"?\r\n\r\n")
        self.server.pass_time(1.0)
        fresh = connect()
        everyone = [idle, in_head, in_body, half_closed, mute, refused, fresh]
        self.began_s = self.server.clock.seconds()
        drained = self.stop()
        self.until(FINISH_S - STEP_S, everyone)
        self.assertEqual([in_head.statuses, in_body.statuses], [[], []])
        self.assertTrue(idle.closed)
        self.assertTrue(fresh.closed)
        self.until(FINISH_S, everyone)
        self.assertEqual([in_head.statuses, in_body.statuses], [[503], [503]])
        self.assertTrue(in_head.closed)
        self.assertTrue(in_body.closed)
        self.assertNoResult(drained)
        self.until(DRAIN_S, everyone)
        self.assertTrue(all(client.aborted for client in everyone))
        self.successResultOf(drained)
        self.assertEqual(self.server.clock.getDelayedCalls(), [])

    def test_the_bound_is_kept_wherever_the_ticks_of_the_deadlines_are(self) -> None:
        for offset_s in (0.0, 0.1, 0.2, 0.3, 0.4, 0.49):
            self.setUp()
            self.server.clock.advance(offset_s)
            clients = [self.server.connect() for _ in range(3)]
            for client, raw in zip(clients, (HALF_A_HEAD, HALF_A_BODY, b"?\r\n\r\n"), strict=True):
                client.send(raw)
            drained = self.begin(0)
            self.server.clock.advance(FINISH_S)
            self.assertEqual([client.statuses for client in clients], [[503], [503], [400]])
            self.server.clock.advance(DRAIN_S - FINISH_S)
            self.assertTrue(all(client.aborted for client in clients), offset_s)
            for client in clients:
                client.go()
            self.successResultOf(drained)

    def test_who_is_answered_meanwhile_and_does_not_go_is_cut_off(self) -> None:
        client = self.server.connect()
        drained = self.begin(0)
        client.send(HALF_A_BODY)
        self.until(FINISH_S - STEP_S, [client])
        client.send(b"dy")
        self.assertEqual(client.statuses, [200])
        self.assertTrue(client.closed)
        self.until(DRAIN_S, [client])
        self.successResultOf(drained)

    def test_a_slow_reader_may_read_until_the_bound(self) -> None:
        client = self.server.connect()
        client.wire.fill()
        client.send(get("/big/10"))
        drained = self.begin()
        self.until(DRAIN_S - STEP_S, [client])
        self.assertFalse(client.aborted)
        client.wire.empty()
        self.assertEqual(client.statuses, [200])
        client.go()
        self.successResultOf(drained)

    def test_who_closes_its_side_late_is_cut_off_at_the_bound(self) -> None:
        client = self.server.connect()
        client.send(get("/later/1"))
        drained = self.begin()
        self.until(DRAIN_S - STEP_S, [client])
        client.close_own_side()
        self.assertFalse(client.aborted)
        self.until(DRAIN_S, [client])
        self.successResultOf(drained)

    def test_who_waits_for_a_handler_is_answered_however_late(self) -> None:
        clients = [self.server.connect() for _ in range(2)]
        for client in clients:
            client.send(get("/later/1"))
        mute, good = clients
        drained = self.begin()
        self.until(10 * DRAIN_S, clients)
        self.assertEqual(self.went, [])
        mute.wire.fills = True
        for reply in self.application.waiting:
            reply.callback(b"late")
        self.assertEqual(good.bodies, ["late"])
        self.assertTrue(good.closed)
        good.go()
        self.until(10 * DRAIN_S + LATE_S - STEP_S, clients)
        self.assertEqual(self.went, [])
        self.until(10 * DRAIN_S + LATE_S + TICKS_S, clients)
        self.assertTrue(mute.aborted)
        self.successResultOf(drained)

    def test_who_connects_after_the_bound_is_not_waited_for(self) -> None:
        busy = self.server.connect()
        busy.send(get("/later/1"))
        drained = self.begin()
        self.until(3 * DRAIN_S, [busy])
        late = self.server.connect()
        late.send(HALF_A_BODY)
        self.until(3 * DRAIN_S + LATE_S + 2 * TICKS_S, [busy, late])
        self.assertEqual(late.statuses, [503])
        self.assertTrue(late.aborted)
        busy.go()
        self.successResultOf(drained)

    def test_before_the_stop_nothing_of_it_counts(self) -> None:
        client = self.server.connect()
        client.send(HALF_A_BODY)
        self.server.factory.wind_down()
        self.server.pass_time(2 * DRAIN_S)
        self.assertEqual(client.statuses, [])
        self.assertFalse(client.wire.disconnecting)
