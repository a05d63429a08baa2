"""What a client hears of what goes wrong, by the table of one application."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import pytest
from klein import Klein
from twisted.logger import LogEvent, capturedLogs
from werkzeug.exceptions import Conflict

from daemon.http.limits import plain_text
from daemon.http.replies import Errors
from tests.http.fronts import Front, Reply


class UnripeError(Exception):
    """It was picked too early."""


class GreenError(UnripeError):
    """It was picked far too early."""


class SoldOutError(Exception):
    """There is none left."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.reply_fields = {"Retry-After": "7", "X-Fruit": "pear"}


def render(status: HTTPStatus, why: str) -> tuple[bytes, bytes]:
    """Render an error in a way of its own."""
    return b"text/fruit", f"{status.value} {why}".encode()


def app(error: Exception | None = None) -> Klein:
    """Make an application that fails."""
    errors = Errors(
        render,
        {
            GreenError: HTTPStatus.CONFLICT,
            UnripeError: HTTPStatus.BAD_REQUEST,
            SoldOutError: HTTPStatus.SERVICE_UNAVAILABLE,
        },
    )
    made = Klein()

    @made.route("/", methods=["GET", "PUT"])
    def get(request: Any) -> bytes:
        request.setHeader("Content-Type", "text/good")
        if error is not None:
            raise error
        return b"good"

    @made.route("/folder/", methods=["GET"])
    def folder(request: Any) -> bytes:  # noqa: ARG001
        return b"folder"

    @made.handle_errors(Exception)
    def failed(request: Any, failure: Any) -> bytes:
        return errors.reply(request, failure)

    return made


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (UnripeError("too hard"), Reply(400, {"content-type": "text/fruit"}, b"400 too hard")),
        (GreenError("green"), Reply(409, {"content-type": "text/fruit"}, b"409 green")),
        (
            SoldOutError("none left"),
            Reply(
                503,
                {"content-type": "text/fruit", "retry-after": "7", "x-fruit": "pear"},
                b"503 none left",
            ),
        ),
    ],
)
def test_an_error_in_the_table_has_its_status_and_says_why(front: Front, error, reply):
    front.serve(app(error), render)
    with capturedLogs() as events:
        assert front.ask("GET", "/") == reply
    assert failures(events) == []


def failures(events: Sequence[LogEvent]) -> list[LogEvent]:
    """Leave away what twisted.web says of every request."""
    return [event for event in events if "log_failure" in event]


def test_what_is_not_in_the_table_is_an_incident_in_the_log(front: Front):
    front.serve(app(KeyError("secret")), render)
    with capturedLogs() as events:
        reply = front.ask("GET", "/")
    assert (reply.status, reply.fields) == (500, {"content-type": "text/fruit"})
    found = re.fullmatch(rb"500 incident ([0-9a-f]{32})", reply.body)
    assert found is not None
    (event,) = failures(events)
    assert event["incident"] == found[1].decode()
    assert event["log_failure"].check(KeyError)


def test_every_incident_has_an_id_of_its_own(front: Front):
    front.serve(app(KeyError()), render)
    with capturedLogs():
        assert front.ask("GET", "/").body != front.ask("GET", "/").body


def test_a_path_without_route_is_not_found(front: Front):
    front.serve(app(), render)
    assert front.ask("GET", "/none") == Reply(
        404, {"content-type": "text/fruit"}, b"404 there is nothing here"
    )


def test_a_method_that_is_not_taken_hears_which_are(front: Front):
    front.serve(app(), render)
    assert front.ask("DELETE", "/") == Reply(
        405,
        {"content-type": "text/fruit", "allow": "GET, HEAD, OPTIONS, PUT"},
        b"405 this takes GET, HEAD, OPTIONS, PUT",
    )


def test_a_path_without_its_slash_is_sent_there(front: Front):
    front.serve(app(), render)
    reply = front.ask("GET", "/folder")
    assert reply.status == 308
    assert reply.fields["location"] == "http://localhost:8090/folder/"
    assert reply.fields["content-type"] == "text/fruit"


def test_other_exceptions_of_werkzeug_keep_their_status(front: Front):
    front.serve(app(Conflict()), render)
    reply = front.ask("GET", "/")
    assert reply.status == 409
    assert reply.body.startswith(b"409 ")


def test_the_usual_rendering_is_one_line_of_text():
    assert plain_text(HTTPStatus.NOT_FOUND, "no pear") == (
        b"text/plain; charset=utf-8",
        b"404 Not Found: no pear\n",
    )
