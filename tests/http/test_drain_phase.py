"""The server is about to stop: nobody new, and those who are there get what they were promised."""

from __future__ import annotations

from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from daemon.http.limits import Limits
from daemon.http.request import client_of, keep_open
from daemon.http.server import DRAIN_S, RECENT_S
from tests.http.clients import Server, get, post


def application() -> tuple[Klein, list[Deferred[bytes]]]:
    """Make an application whose replies to ``/again`` let their connections go on."""
    app = Klein()
    waiting: list[Deferred[bytes]] = []

    @app.route("/again", methods=["GET", "POST"])
    def again(request: Any) -> bytes:
        keep_open(request)
        return b"again"

    @app.route("/once", methods=["GET", "POST"])
    def once(request: Any) -> bytes:  # noqa: ARG001
        return b"once"

    @app.route("/later")
    def later(request: Any) -> Deferred[bytes]:
        keep_open(request)
        reply: Deferred[bytes] = Deferred()
        waiting.append(reply)
        return reply

    return app, waiting


class WindDownTests(SynchronousTestCase):
    """Replies end their connections unless their handlers ask otherwise; idle ones stay."""

    def setUp(self) -> None:
        app, self.waiting = application()
        self.server = Server(Limits(idle_s=20), app=app)
        self.client = self.server.connect()

    def wind_down(self) -> None:
        self.server.factory.doStop()
        self.server.factory.wind_down()

    def test_before_it_asking_for_it_changes_nothing(self) -> None:
        self.client.send(get("/again"))
        self.client.send(get("/once"))
        self.assertFalse(any(reply.closes for reply in self.client.replies()))

    def test_an_ordinary_reply_ends_its_connection(self) -> None:
        self.wind_down()
        self.client.send(get("/once"))
        (reply,) = self.client.replies()
        self.assertTrue(reply.closes)
        self.assertTrue(self.client.closed)

    def test_one_that_asks_for_it_does_not(self) -> None:
        self.wind_down()
        for raw in get("/again"), post(b"x", "/again"), get("/again"), get("/once"):
            self.client.send(raw)
        self.assertEqual([r.closes for r in self.client.replies()], [False, False, False, True])

    def test_one_that_comes_later_neither(self) -> None:
        self.wind_down()
        self.client.send(get("/later"))
        self.waiting.pop().callback(b"late")
        (reply,) = self.client.replies()
        self.assertFalse(reply.closes)
        self.assertFalse(self.client.wire.disconnecting)

    def test_a_client_that_wants_its_connection_to_end_is_heard(self) -> None:
        self.wind_down()
        self.client.send(get("/again", "Connection: close"))
        (reply,) = self.client.replies()
        self.assertTrue(reply.closes)

    def test_idle_connections_stay_open_as_long_as_always(self) -> None:
        self.wind_down()
        self.server.pass_time(DRAIN_S + 5)
        self.assertFalse(self.client.wire.disconnecting)
        self.server.pass_time(20)
        self.assertTrue(self.client.closed)

    def test_half_a_request_has_the_usual_time(self) -> None:
        self.wind_down()
        self.client.send(get("/again")[:5])
        self.server.pass_time(DRAIN_S + 3)
        self.client.send(get("/again")[5:])
        self.assertEqual(self.client.statuses, [200])
        self.client.send(get("/again")[:5])
        self.server.pass_time(15)
        self.assertEqual(self.client.statuses, [200, 408])

    def test_when_it_ends_no_reply_keeps_its_connection(self) -> None:
        self.wind_down()
        self.client.send(get("/later"))
        other, idle = self.server.connect(), self.server.connect()
        other.send(get("/again"))
        drained = self.server.factory.drain()
        self.server.clock.pump([0, 0, 0, RECENT_S])
        self.assertTrue(idle.closed)
        self.waiting.pop().callback(b"late")
        (reply,) = self.client.replies()
        self.assertTrue(reply.closes)
        for client in self.client, other, idle:
            client.go()
        self.successResultOf(drained)
        self.assertEqual(self.server.clock.getDelayedCalls(), [])


class ClientTests(SynchronousTestCase):
    """Who asks."""

    def test_the_client_is_known_where_there_is_no_proxy(self) -> None:
        app = Klein()
        seen: list[Any] = []

        @app.route("/")
        def answer(request: Any) -> bytes:
            seen.append(client_of(request))
            return b""

        client = Server(app=app).connect()
        client.send(get())
        self.assertEqual(seen[0].host, "127.0.0.1")
