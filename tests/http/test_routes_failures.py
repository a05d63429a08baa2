"""Handlers that fail, and clients that do not wait for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.web.template import Element, TagLoader, tags
from werkzeug.exceptions import Gone, NotFound

from tests.http.fronts import OURS, Front, Reply
from tests.http.test_routes import app_of

Handler = Callable[..., Any]


class Failing(Element):
    """A page that cannot be made."""

    loader = TagLoader(tags.p(render="missing"))


class RipeError(Exception):
    """It was picked too late."""


def failing(error: Exception, how: str) -> Handler:
    """Make a handler that fails."""

    def plainly(request: Any) -> Any:  # noqa: ARG001
        raise error

    def deferred(request: Any) -> Any:  # noqa: ARG001
        return fail(error)

    async def coroutine(request: Any) -> Any:  # noqa: ARG001
        raise error

    return {"plain": plainly, "deferred": deferred, "coroutine": coroutine}[how]


each_way = pytest.mark.parametrize("how", ["plain", "deferred", "coroutine"])


@each_way
def test_a_failure_gets_an_incident_that_is_in_the_log_and_no_traceback(how):
    front = Front(OURS, Clock())
    front.serve(app_of(failing(RipeError("secret"), how)))
    with capturedLogs() as events:
        reply = front.ask("GET", "/")
    assert reply.status == 500
    found = re.search(r"incident ([0-9a-f]{32})", reply.body.decode())
    assert found is not None
    (event,) = events
    assert event["incident"] == found[1]
    assert event["log_failure"].check(RipeError)
    assert b"secret" not in reply.body
    assert b"Traceback" not in reply.body


def test_a_failure_is_rendered_as_the_application_wants():
    front = Front(OURS, Clock())
    front.serve(
        app_of(failing(RipeError(), "plain")),
        lambda status, why: (b"a/b", f"{status.value}|{why[:8]}".encode()),
    )
    with capturedLogs():
        reply = front.ask("GET", "/")
    assert reply == Reply(500, {"content-type": "a/b"}, b"500|incident")


def test_after_a_failure_the_connection_goes_on():
    app = app_of(failing(RipeError(), "plain"))
    app.route("/good", endpoint="good")(lambda _: b"good")
    front = Front(OURS, Clock())
    front.serve(app)
    with capturedLogs():
        exchange = front.begin("GET", "/")
    exchange.send(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n")
    assert exchange.transport.value().endswith(b"\r\n\r\ngood")


@each_way
@pytest.mark.parametrize("error", [NotFound("no such pear"), Gone()])
def test_an_http_exception_of_a_handler_is_its_reply(front: Front, how, error):
    front.serve(app_of(failing(error, how)))
    reply = front.ask("GET", "/")
    assert reply.status == error.code
    assert reply.fields["content-type"] == "text/html; charset=utf-8"
    assert error.description.encode() in reply.body.replace(b"<br>", b"\n")


def handled(how: str, *handlers: tuple[type[Exception], str | Exception]) -> Klein:
    """Make an application that fails, with error handlers that answer or fail."""
    app = app_of(failing(RipeError("soft"), how))
    for kind, outcome in handlers:

        def say(request: Any, failure: Any, outcome: Any = outcome) -> Any:
            if isinstance(outcome, Exception):
                raise outcome
            request.setResponseCode(418)
            return f"{outcome} {failure.value}"

        async def say_later(request: Any, failure: Any, outcome: Any = outcome) -> Any:
            return say(request, failure, outcome)

        app.handle_errors(kind)(say_later if how == "coroutine" else say)
    return app


@each_way
def test_the_first_error_handler_of_the_kind_answers(front: Front, how):
    front.serve(
        handled(how, (KeyError, "key"), (RipeError, "ripe"), (Exception, "any")),
    )
    reply = front.ask("GET", "/")
    assert (reply.status, reply.body) == (418, b"ripe soft")


@each_way
def test_an_error_handlers_failure_goes_to_the_next_of_its_kind(front: Front, how):
    front.serve(
        handled(
            how,
            (KeyError, "too early"),
            (RipeError, KeyError("key")),
            (RipeError, "wrong kind"),
            (KeyError, "key"),
        )
    )
    assert front.ask("GET", "/").body == b"key 'key'"


@each_way
def test_when_all_error_handlers_fail_it_is_an_incident(how):
    front = Front(OURS, Clock())
    front.serve(handled(how, (RipeError, KeyError("a")), (KeyError, OSError("b"))))
    with capturedLogs() as events:
        assert front.ask("GET", "/").status == 500
    assert [event["log_failure"].type for event in events] == [OSError]


def test_error_handlers_see_what_finds_no_route(front: Front):
    app = app_of(lambda _: b"", "/x", methods=["PUT"])
    app.handle_errors(NotFound)(lambda _request, _failure: b"nothing here")
    front.serve(app)
    assert front.ask("GET", "/").body == b"nothing here"
    refused = front.ask("GET", "/x")
    assert (refused.status, refused.fields["allow"]) == (405, "PUT")


def test_a_page_that_cannot_be_made_is_an_incident():
    front = Front(OURS, Clock())
    front.serve(app_of(lambda _: Failing()))
    with capturedLogs() as events:
        assert front.ask("GET", "/").status == 500
    assert len(events) == 1


def test_a_client_that_goes_cancels_its_handler(front: Front):
    cancelled: list[bool] = []
    ends: list[Any] = []

    def handler(request: Any) -> Deferred[bytes]:
        request.notifyFinish().addErrback(ends.append)
        return Deferred(lambda _: cancelled.append(True))

    front.serve(app_of(handler))
    with capturedLogs() as events:
        front.begin("GET", "/").hang_up()
    assert cancelled == [True]
    assert len(ends) == 1
    assert events == []


def test_a_coroutine_hears_that_its_client_is_gone(front: Front):
    heard: list[str] = []

    async def handler(request: Any) -> bytes:  # noqa: ARG001
        try:
            return await Deferred()
        except CancelledError:
            heard.append("cancelled")
            raise

    front.serve(app_of(handler))
    with capturedLogs() as events:
        front.begin("GET", "/").hang_up()
    assert heard == ["cancelled"]
    assert events == []


def test_what_fails_after_its_client_has_gone_is_logged():
    front = Front(OURS, Clock())

    async def handler(request: Any) -> bytes:  # noqa: ARG001
        try:
            return await Deferred()
        except CancelledError:
            raise RipeError from None

    front.serve(app_of(handler))
    with capturedLogs() as events:
        front.begin("GET", "/").hang_up()
    assert [event["log_failure"].type for event in events] == [RipeError]


def test_an_error_handler_at_work_is_cancelled_in_silence(front: Front):
    app = app_of(failing(RipeError(), "plain"))
    app.handle_errors(RipeError)(lambda _request, _failure: Deferred())
    front.serve(app)
    with capturedLogs() as events:
        front.begin("GET", "/").hang_up()
    assert events == []
