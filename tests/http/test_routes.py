"""Where requests go, the same under our server and under twisted.web."""

from __future__ import annotations

import re
from asyncio import CancelledError
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest
from klein import Klein
from klein.interfaces import IKleinRequest
from twisted.internet.task import Clock
from werkzeug.routing import Rule

from tests.http.fronts import OURS, TWISTED_WEB, Front, Reply


def app_of(handler: Callable[..., Any], url: str = "/", **options: Any) -> Klein:
    """Make an application with one route."""
    app = Klein()
    app.route(url, **options)(handler)
    return app


PATHS: dict[str, str] = {
    "/": "/",
    "/plain": "/plain",
    "/plain/deep": "/plain/deep",
    "/folder/": "/folder/",
    "/int/<int:number>": "/int/<>",
    "/float/<float(signed=True):number>": "/float/<>",
    "/any/<any(a, b):which>": "/any/<>",
    "/text/<name>": "/text/<>",
    "/text/fixed": "/text/fixed",
    "/path/<path:rest>": "/path/<>",
    "/both/<a>/<b>": "/both",
    "/ümlaut": "/umlaut",
    "/percent%25": "/percent",
    "/with space": "/space",
}


def paths_app() -> Klein:
    """Make an application that tells which route it was, and what the path held."""
    app = Klein()
    for url, name in PATHS.items():

        def handler(request: Any, _name: str = name, **found: Any) -> str:
            request.setHeader("Content-Type", "text/plain")
            return f"{_name} {sorted(found.items())}"

        app.route(url, endpoint=name)(handler)
    return app


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/?a=1",
        "/plain",
        "/plain?",
        "/plain/",
        "/plain//deep",
        "//plain",
        "/pl%61in",
        "/plain%2Fdeep",
        "/plain%2fdeep",
        "/folder",
        "/folder?a=b%20c",
        "/folder/",
        "/folder//",
        "/int/7",
        "/int/007",
        "/int/-7",
        "/int/x",
        "/int/7/",
        "/float/-1.5",
        "/any/a",
        "/any/c",
        "/text/fixed",
        "/text/fix%65d",
        "/text/a+b",
        "/text/a%2Bb",
        "/text/a%20b",
        "/text/a%2Fb",
        "/text/%C3%BC",
        "/text/%00",
        "/text/",
        "/text/%",
        "/text/%zz",
        "/text/%2525",
        "/text/;x",
        "/path/a/b/c",
        "/path/a%2Fb",
        "/path/",
        "/path//a",
        "/both/1/2",
        "/both/1",
        "/%C3%BCmlaut",
        "/percent%25",  # decoded it is "/percent%", which no rule is
        "/percent%2525",
        "/with%20space",
        "/nothing",
        "/PLAIN",
    ],
)
def test_paths_lead_where_they_lead_in_klein(target):
    replies: list[Reply] = []
    for name in OURS, TWISTED_WEB:
        front = Front(name, Clock())
        front.serve(paths_app())
        replies.append(front.ask("GET", target))
    assert replies[0] == replies[1]


@pytest.mark.parametrize("target", ["/text/%ff", "/%C3", "/path/a/%80"])
def test_a_path_that_is_no_utf_8_is_malformed(front: Front, target):
    front.serve(paths_app())
    assert front.ask("GET", target).status == 400


def test_a_branch_takes_everything_below_it(front: Front):
    seen: list[tuple[list[bytes], list[bytes]]] = []

    def handler(request: Any) -> bytes:
        seen.append((request.prepath, request.postpath))
        return b""

    front.serve(app_of(handler, "/a/b/", branch=True))
    for target in "/a/b/", "/a/b/c/d%2Fe/", "/a/b/%20":
        assert front.ask("GET", target).status == 200
    assert seen == [
        ([b"a", b"b"], [b""]),
        ([b"a", b"b"], [b"c", b"d/e", b""]),
        ([b"a", b"b"], [b" "]),
    ]


def test_a_path_without_its_last_slash_is_sent_there(front: Front):
    front.serve(paths_app())
    reply = front.ask("GET", "/folder")
    assert reply.status == 308
    assert reply.fields["location"] == "http://localhost:8090/folder/"


def test_urls_are_built_for_the_host_that_was_asked(front: Front):
    def handler(request: Any, number: int) -> str:
        urls = IKleinRequest(request)
        inside = urls.url_for("it", {"number": number + 1})
        return f"{inside} {urls.url_for('it', {'number': 0}, force_external=True)}"

    front.serve(app_of(handler, "/n/<int:number>", endpoint="it"))
    assert front.ask("GET", "/n/1").body == b"/n/2 http://localhost:8090/n/0"


def test_one_path_may_have_a_handler_for_each_method(front: Front):
    app = Klein()
    app.route("/x", methods=["GET"])(lambda _: b"got")
    app.route("/x", methods=["PUT"], endpoint="put")(lambda _: b"put")
    front.serve(app)
    assert front.ask("GET", "/x").body == b"got"
    assert front.ask("PUT", "/x").body == b"put"
    refused = front.ask("DELETE", "/x")
    assert refused.status == 405
    assert set(re.findall(r"\w+", refused.fields["allow"])) == {"GET", "HEAD", "PUT"}


def test_a_route_without_methods_takes_them_all(front: Front):
    front.serve(app_of(lambda request: request.method, "/x"))
    for method in "GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE":
        assert front.ask(method, "/x").body == method.encode()


def test_a_route_for_one_method_leaves_the_rest_to_one_without(front: Front):
    app = Klein()
    app.route("/x", methods=["POST"])(lambda _: b"post")
    app.route("/x", endpoint="rest")(lambda _: b"rest")
    front.serve(app)
    assert [front.ask(method, "/x").body for method in ("POST", "GET", "PUT")] == [
        b"post",
        b"rest",
        b"rest",
    ]


def test_options_names_the_methods(front: Front):
    front.serve(app_of(lambda _: b"", "/x", methods=["GET", "POST"]))
    front.differs("OPTIONS")
    reply = front.ask("OPTIONS", "/x")
    assert (reply.status, reply.body) == (204, b"")
    assert reply.fields["allow"] == "GET, HEAD, OPTIONS, POST"
    assert front.ask("OPTIONS", "/nothing").status == 404


def test_options_of_the_server_names_all_methods(front: Front):
    app = app_of(lambda _: b"", "/x", methods=["GET"])
    app.route("/y", methods=["DELETE"], endpoint="y")(lambda _: b"")
    front.serve(app)
    front.differs("asterisk")
    assert front.ask("OPTIONS", "*").fields["allow"] == "DELETE, GET, HEAD, OPTIONS"


def test_head_is_get_without_body(front: Front):
    front.serve(app_of(lambda _: b"body", "/x", methods=["GET"]))
    exchange = front.begin("HEAD", "/x")
    assert exchange.reply.status == 200
    raw = exchange.transport.value()
    assert raw.endswith(b"\r\n\r\n")
    if front.name == OURS:
        assert b"\r\nContent-Length: 4\r\n" in raw


def test_a_route_that_is_added_later_is_found(front: Front):
    app = app_of(lambda _: b"old", "/old")
    front.serve(app)
    assert front.ask("GET", "/new").status == 404
    app.route("/new", endpoint="new")(lambda _: b"new")
    assert front.ask("GET", "/new").body == b"new"


def test_an_application_is_bound_to_its_instance(front: Front):
    class Fruit:
        app = Klein()

        def __init__(self, name: str) -> None:
            self.name = name

        @app.route("/")
        def get(self, request: Any) -> str:  # noqa: ARG002
            if self.name == "rotten":
                raise ValueError
            return self.name

        @app.handle_errors(ValueError)
        def failed(self, request: Any, failure: Any) -> str:  # noqa: ARG002
            return f"no {self.name}"

    bodies = []
    for name in "pear", "plum", "rotten":
        fruit = Fruit(name)
        front.serve(fruit.app)
        bodies.append(front.ask("GET", "/").body)
    assert bodies == [b"pear", b"plum", b"no rotten"]


def test_a_class_that_overrides_how_handlers_are_called_is_asked(front: Front):
    class Guarded(Klein):
        def execute_endpoint(self, endpoint: str, request: Any, *args: Any, **kwargs: Any) -> Any:
            if request.getHeader(b"authorization") is None:
                request.setResponseCode(401)
                return b"who are you?"
            return super().execute_endpoint(endpoint, request, *args, **kwargs)

    app = Guarded()
    app.route("/a")(lambda _request: b"secret")
    front.serve(app)
    assert front.ask("GET", "/a").status == 401
    assert front.ask("GET", "/a", fields={"Authorization": "yes"}).body == b"secret"


def test_what_was_put_around_a_handler_later_is_called(front: Front):
    app = app_of(lambda _request: b"a", "/a")
    for name, executor in list(app.endpoints.items()):

        @wraps(executor)
        def louder(*args: Any, executor: Any = executor, **kwargs: Any) -> bytes:
            return bytes(executor(*args, **kwargs)).upper()

        app.endpoints[name] = louder
    front.serve(app)
    assert front.ask("GET", "/a").body == b"A"


@pytest.mark.parametrize("kind", [CancelledError, GeneratorExit])
def test_whatever_a_handler_raises_has_a_reply(front: Front, kind: type[BaseException]):
    def handler(_request: Any) -> bytes:
        raise kind

    front.serve(app_of(handler, "/a"))
    assert front.ask("GET", "/a").status == 500


def test_two_applications_know_nothing_of_each_other():
    one, two = Front(OURS, Clock()), Front(OURS, Clock())
    one.serve(app_of(lambda _: b"one"))
    two.serve(app_of(lambda _: b"two"))
    assert [front.ask("GET", "/").body for front in (one, two, one)] == [b"one", b"two", b"one"]


def test_routes_may_depend_on_the_host(front: Front):
    app = Klein()
    app.url_map.host_matching = True
    app.route("/", endpoint="one", host="localhost:8090")(lambda _: b"one")
    app.route("/", endpoint="two", host="other:8090")(lambda _: b"two")
    front.serve(app)
    assert front.ask("GET", "/").body == b"one"


def test_rules_that_only_build_urls_are_no_routes(front: Front):
    app = app_of(lambda _: b"", "/x")
    app.url_map.add(Rule("/built", endpoint="built", build_only=True))
    front.serve(app)
    assert front.ask("GET", "/built").status == 404
