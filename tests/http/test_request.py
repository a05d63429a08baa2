"""What a handler sees of a request, and what it sets for the reply; as under twisted.web."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from klein import Klein
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.web.http_headers import Headers

from daemon.http.request import body_of, set_line
from tests.http.clients import Server, post
from tests.http.fronts import OURS, TWISTED_WEB, Front, Reply
from tests.http.test_routes import app_of


def seen_by(
    look: Callable[[Any], Any], method: str = "GET", target: str = "/", **request: Any
) -> list[Any]:
    """Give what a handler sees under both servers."""
    found: list[Any] = []

    def handler(request: Any, **_: Any) -> bytes:
        found.append(look(request))
        return b""

    for name in OURS, TWISTED_WEB:
        front = Front(name, Clock())
        app = Klein()
        app.route("/")(handler)
        app.route("/<path:rest>", endpoint="rest")(handler)
        front.serve(app)
        front.ask(method, target, **request)
    return found


FIELDS = {"X-A": "1", "x-b": "", "X-C": " two  words\t", "Accept": "a, b", "X-Latin": "\xe9"}

LOOKS: dict[str, Callable[[Any], Any]] = {
    "method": lambda request: request.method,
    "uri": lambda request: request.uri,
    "path": lambda request: request.path,
    "clientproto": lambda request: request.clientproto,
    "body": lambda request: request.content.read(),
    "body again": lambda request: (request.content.read(), request.content.seek(0)),
    "prepath": lambda request: request.prepath,
    "postpath": lambda request: request.postpath,
    "host": lambda request: request.getRequestHostname(),
    "here": lambda request: request.getHost(),
    "there": lambda request: request.getClientAddress(),
    "client": lambda request: request.client,
    "secure": lambda request: request.isSecure(),
    "field": lambda request: request.getHeader(b"X-a"),
    "text field": lambda request: request.getHeader("ACCEPT"),
    "empty field": lambda request: request.getHeader("x-b"),
    "spaced field": lambda request: request.getHeader("x-c"),
    "no field": lambda request: (request.getHeader(b"x-z"), request.getHeader("x-z")),
    "all fields": lambda request: request.getAllHeaders(),
    "Headers": lambda request: list(request.requestHeaders.getAllRawHeaders()),
    "Headers of a name": lambda request: request.requestHeaders.getRawHeaders("x-c"),
    "args": lambda request: request.args,
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize(
    "target", ["/", "/a%20b/c%2Fd//e", "/x?a=1&b=%20&a=2&c", "/?", "/x?a=1?b=2"]
)
def test_a_handler_sees_what_it_sees_under_twisted_web(look, target):
    ours, reference = seen_by(look, "PUT", target, body=b"\0body", fields=FIELDS)
    assert ours == reference


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("body", [b"a=1&b=2&a=3", b"a=%C3%BC+x&b=", b"", b"=", b"a", b"a=1;b=2"])
@pytest.mark.parametrize("kind", [FORM, f"{FORM}; charset=utf-8", FORM.upper(), "text/plain"])
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_forms_that_are_posted_are_among_the_arguments(body, kind, method):
    ours, reference = seen_by(
        lambda request: request.args, method, "/?a=0&q=1", body=body, fields={"Content-Type": kind}
    )
    assert ours == reference


def test_a_form_can_be_read_as_a_body_too():
    ours, _ = seen_by(
        lambda request: (request.args, request.content.read()),
        "POST",
        body=b"a=1",
        fields={"Content-Type": FORM},
    )
    assert ours == ({b"a": [b"1"]}, b"a=1")


def test_fields_that_come_twice_are_all_there():
    seen: list[Any] = []

    def handler(request: Any) -> bytes:
        seen.append((request.getHeader("x-a"), request.requestHeaders.getRawHeaders("x-a")))
        return b""

    front = Front(OURS, Clock())
    front.serve(app_of(handler))
    front.begin("GET", "/", fields={"X-A": "1", "x-a": "2"})
    assert seen == [("2", ["1", "2"])]


# --- the reply

DEFAULT_TYPE = {"content-type": "text/html"}

SETTINGS: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda _: None,
    "type": lambda request: request.setHeader("Content-Type", "text/x"),
    "bytes": lambda request: request.setHeader(b"X-A", b"\xff"),
    "text": lambda request: request.setHeader("X-A", "ü"),
    "twice": lambda request: [request.setHeader("X-A", value) for value in "12"],
    "line ends": lambda request: request.setHeader("X-A", "1\r\nX-B: 2\n3"),
    "empty": lambda request: request.setHeader("X-A", ""),
    "code": lambda request: request.setResponseCode(201),
    "phrase": lambda request: request.setResponseCode(201, b"Very Made"),
    "unknown code": lambda request: request.setResponseCode(299),
    "no content": lambda request: request.setResponseCode(204),
    "not modified": lambda request: (
        request.setResponseCode(304),
        request.setHeader("ETag", '"1"'),
    ),
    "redirect": lambda request: request.redirect(b"/there"),
    "many": lambda request: request.responseHeaders.setRawHeaders("X-A", ["1", "2"]),
    "added": lambda request: request.responseHeaders.addRawHeader(b"Set-Cookie", b"a=b"),
    "both ways": lambda request: (
        request.setHeader("X-A", "1"),
        request.responseHeaders.addRawHeader("X-A", "2"),
        request.setHeader("X-B", "3"),
    ),
    "taken back": lambda request: (
        request.setHeader("X-A", "1"),
        request.responseHeaders.removeHeader("X-A"),
    ),
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("body", [b"body", b""])
def test_a_reply_is_what_it_is_under_twisted_web(setting, method, body):
    def handler(request: Any) -> Any:
        setting(request)
        return body

    replies: list[Reply] = []
    for name in OURS, TWISTED_WEB:
        front = Front(name, Clock())
        front.serve(app_of(handler))
        replies.append(front.ask(method, "/"))
    if not body:
        # twisted.web gives a type to what is not there.
        replies[1] = replace(replies[1], fields={**replies[1].fields, **DEFAULT_TYPE})
        replies[0] = replace(replies[0], fields={**replies[0].fields, **DEFAULT_TYPE})
    assert replies[0] == replies[1]


def test_the_first_reply_of_a_connection_is_like_all_others():
    front = Front(OURS, Clock())
    front.serve(app_of(lambda _: b"x"))
    get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    alone, pipelined = front.begin("GET", "/"), front.begin("GET", "/")
    alone.send(get)
    pipelined.send(get + get)
    one, two = alone.transport.value(), pipelined.transport.value()
    assert two == one[: len(one) // 2] * 3


def test_a_handler_cannot_set_how_the_reply_is_carried():
    def handler(request: Any) -> bytes:
        request.setHeader("Content-Length", "99")
        request.setHeader("Connection", "close")
        request.responseHeaders.setRawHeaders("Transfer-Encoding", ["chunked"])
        return b"x"

    front = Front(OURS, Clock())
    front.serve(app_of(handler))
    raw = front.begin("GET", "/").transport.value()
    assert b"\r\nContent-Length: 1\r\n" in raw
    assert b"Connection" not in raw
    assert b"Transfer-Encoding" not in raw


@pytest.mark.parametrize("data", ["text", 7, None])
def test_what_is_no_bytes_cannot_be_written(data):
    def handler(request: Any) -> bytes:
        request.write(data)
        return b""

    front = Front(OURS, Clock())
    front.serve(app_of(handler))
    with capturedLogs() as events:
        assert front.ask("GET", "/").status == 500
    assert len(events) == 1


def test_the_fields_of_a_request_are_headers_as_twisted_knows_them():
    ours, _ = seen_by(lambda request: request.requestHeaders)
    assert isinstance(ours, Headers)
    assert ours.getRawHeaders(b"host") == [b"localhost:8090"]


def test_the_address_of_the_client_is_there_as_text_too():
    texts: list[str | None] = []

    def handler(request: Any) -> bytes:
        texts.append(request.getClientIP())
        return b""

    front = Front(OURS, Clock())
    front.serve(app_of(handler))
    front.ask("GET", "/")
    assert texts == ["127.0.0.1"]


def test_a_line_set_is_a_field_whether_or_not_all_of_them_were_looked_at():
    app = Klein()

    @app.route("/")
    def answer(request: Any) -> bytes:
        set_line(request, b"x-a", b"X-A: 1\r\n")
        assert request.responseHeaders.getRawHeaders(b"x-a") == [b"1"]
        set_line(request, b"x-b", b"X-B: 2\r\n")
        return body_of(request)

    client = Server(app=app).connect()
    client.send(post(b"body"))
    (reply,) = client.replies()
    assert (reply.get(b"x-a"), reply.get(b"x-b"), reply.body) == (b"1", b"2", b"body")
