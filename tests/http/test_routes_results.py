"""What handlers give, and what becomes of it: the same under our server and twisted.web."""

from __future__ import annotations

from typing import Any

import pytest
from klein import Response
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.web.template import Element, TagLoader, tags

from tests.http.fronts import OURS, Front
from tests.http.test_routes import app_of


class Page(Element):
    """A page that names a fruit."""

    loader = TagLoader(tags.p("a ", tags.b("pear & plum")))


@pytest.mark.parametrize(
    ("result", "body"),
    [
        (b"\0\xff", b"\0\xff"),
        ("Zürich", "Zürich".encode()),
        (None, b""),
        (b"", b""),
        (b"x" * 300, b"x" * 300),
        (Response(200, {}, b"r"), b"r"),
        (Response(200, {}, "ü"), "ü".encode()),
        (Response(200, {}, Page()), b"<!DOCTYPE html>\n<p>a <b>pear &amp; plum</b></p>"),
        (Page(), b"<!DOCTYPE html>\n<p>a <b>pear &amp; plum</b></p>"),
    ],
)
@pytest.mark.parametrize("how", ["plain", "deferred", "coroutine", "later", "awaiting"])
def test_each_kind_of_result_becomes_a_body(front: Front, result, body, how):
    waiting: Deferred[Any] = Deferred()

    def handler(request: Any) -> Any:  # noqa: ARG001
        match how:
            case "plain":
                return result
            case "deferred":
                return succeed(result)
            case "later":
                return waiting

    async def coroutine(request: Any) -> Any:  # noqa: ARG001
        return result if how == "coroutine" else await waiting

    front.serve(app_of(coroutine if how in {"coroutine", "awaiting"} else handler))
    exchange = front.begin("GET", "/")
    if how in {"later", "awaiting"}:
        assert not exchange.answered
        waiting.callback(result)
    assert (exchange.reply.status, exchange.reply.body) == (200, body)


def test_a_response_sets_status_and_fields(front: Front):
    fields = {"X-One": "1", b"X-Two": [b"2", b"3"], "Content-Type": "text/x"}
    front.serve(app_of(lambda _: Response(201, fields, b"made")))  # type: ignore[arg-type]
    reply = front.ask("GET", "/")
    assert (reply.status, reply.body) == (201, b"made")
    assert reply.fields["x-one"] == "1"
    assert reply.fields["x-two"] in {"3", "2, 3"}
    assert reply.fields["content-type"] == "text/x"


@pytest.mark.parametrize("result", [{"a": 1}, 7, object(), [b"x"]])
def test_a_result_of_no_use_is_the_handlers_fault(front: Front, result):
    front.serve(app_of(lambda _: result))
    front.differs("results")
    with capturedLogs() as events:
        assert front.ask("GET", "/").status == 500
    assert len(events) == 1


def test_what_is_written_comes_before_the_result(front: Front):
    def handler(request: Any) -> bytes:
        request.write(b"a")
        request.write(b"b")
        return b"c"

    front.serve(app_of(handler))
    assert front.ask("GET", "/").body == b"abc"


def test_a_handler_may_write_and_finish_by_itself(front: Front):
    def handler(request: Any) -> None:
        request.setResponseCode(202)
        request.write(b"done")
        request.finish()

    front.serve(app_of(handler))
    reply = front.ask("GET", "/")
    assert (reply.status, reply.body) == (202, b"done")


@pytest.mark.parametrize("later", [False, True])
def test_a_reply_that_cannot_be_made_is_an_incident_and_ends_the_connection(later):
    begun: Deferred[None] = Deferred()

    async def handler(request: Any) -> bytes:
        if later:
            await begun
        request.phrase = "no bytes"
        return b"done"

    front = Front(OURS, Clock())
    front.serve(app_of(handler))
    with capturedLogs() as events:
        exchange = front.begin("GET", "/")
        begun.callback(None)
    (event,) = [event for event in events if "incident" in event]
    assert exchange.reply.status == 500
    assert event["incident"].encode() in exchange.reply.body
    assert exchange.transport.disconnecting


@pytest.mark.parametrize("later", [False, True])
def test_a_handler_may_finish_and_go_on_with_its_work(front: Front, later):
    begun: Deferred[None] = Deferred()
    rest: Deferred[bytes] = Deferred()

    async def handler(request: Any) -> bytes:
        if later:
            await begun
        request.write(b"soon")
        request.finish()
        return await rest

    front.serve(app_of(handler))
    exchange = front.begin("GET", "/")
    begun.callback(None)
    assert exchange.reply.body == b"soon"
    rest.callback(b"")
    assert exchange.reply.body == b"soon"


def test_those_who_wait_for_the_end_hear_of_it(front: Front):
    ends: list[Any] = []
    results: list[Any] = [b"at once", succeed(b"x"), Response(200, {}, b"r")]

    def handler(request: Any) -> Any:
        request.notifyFinish().addCallback(ends.append)
        return results[len(ends)]

    front.serve(app_of(handler))
    for count in range(1, 4):
        front.ask("GET", "/")
        assert ends == [None] * count
