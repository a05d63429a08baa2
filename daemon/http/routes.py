"""From a request to its handler in a Klein application, and from a failure to a reply."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from http import HTTPMethod, HTTPStatus
from types import CodeType, CoroutineType, FunctionType, MethodType
from typing import Any, Final, NamedTuple, cast
from urllib.parse import unquote_to_bytes
from uuid import uuid4

from klein import Klein, Response
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRenderable, IRequest
from twisted.web.template import flattenString
from werkzeug.exceptions import BadRequest, HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import MapAdapter, RequestRedirect, Rule

from daemon.http.limits import RenderRefusal
from daemon.http.request import Request

ASTERISK: Final = b"*"
_DOCTYPE: Final = b"<!DOCTYPE html>\n"
_REST: Final = "__rest__"
"""The argument that only the rules of a branch have, in Klein."""


def _executor() -> CodeType:
    """Give the code of the wrapper that ``route`` puts around a handler."""
    app = Klein()
    app.route("/")(lambda _request: b"")
    (wrapper,) = app.endpoints.values()
    return cast("FunctionType", wrapper).__code__


_EXECUTOR: Final = _executor()


class Route(NamedTuple):
    """Where a request goes.

    :ivar handler: what takes the request.
    :ivar arguments: what the handler takes from the path.
    :ivar segment_count: how many segments of the path belong to the route.
    """

    handler: Callable[..., Any]
    arguments: dict[str, Any]
    segment_count: int


class _Options(Exception):  # noqa: N818  # no error
    """An OPTIONS that no route answers (RFC 9110 section 9.3.7)."""

    def __init__(self, allowed: set[str]) -> None:
        super().__init__()
        self.allowed = allowed


class Routes:
    """The routes of a Klein application.

    Paths without a variable part are found in a dictionary, all others in the application's
    ``url_map``. A route added to the application later is found as well, by the second way.

    :param app: the application; its handlers and error handlers do the work.
    :param render_error: what a handler's failure looks like that the application does not handle.
    """

    log = Logger()

    def __init__(self, app: Klein, render_error: RenderRefusal) -> None:
        self._app = app
        self._render_error = render_error
        self._everywhere = self.bind("", "http")
        self._needs_host = app.url_map.host_matching
        self._static = {} if self._needs_host else self._static_routes()

    def bind(self, host: str, scheme: str) -> MapAdapter:
        """Give werkzeug's view of the routes for a host."""
        return self._app.url_map.bind(host, "", url_scheme=scheme)

    def allowed(self) -> str:
        """Name all methods that some route takes, for ``Allow``."""
        return _allow({method for rule in self._app.url_map.iter_rules() for method in _of(rule)})

    def handle(self, request: Any) -> Any:
        """Run the handler of a request.

        :returns: the reply's body, or a Deferred of it, which never fails.
        """
        try:
            route = request.head.route
            if route is None:
                route = request.head.route = self._find(request)
            if route.arguments:
                result = route.handler(request, **route.arguments)
            else:
                result = route.handler(request)
            if type(result) is bytes:
                return result
            return self._body(result, request)
        except _Options as options:
            request.setResponseCode(HTTPStatus.NO_CONTENT)
            request.setHeader(b"allow", _allow(options.allowed))
            return b""
        except BaseException:  # noqa: BLE001  # whatever a handler raises has a reply, as in Klein
            return self._failed(Failure(), request)

    def _static_routes(self) -> dict[tuple[bytes, bytes], Route]:
        routes: dict[tuple[bytes, bytes], Route] = {}
        paths = Counter(rule.rule for rule in self._app.url_map.iter_rules())
        for rule in self._app.url_map.iter_rules():
            plain = not (rule.arguments or rule.host or rule.subdomain or rule.redirect_to)
            # The keys are paths as sent, so what a rule means by "%25" is sent as "%2525".
            plain = plain and "%" not in rule.rule and rule.rule.isascii()
            if plain and not rule.build_only and not rule.websocket:
                path = rule.rule.encode()
                methods = rule.methods or (HTTPMethod if paths[rule.rule] == 1 else ())
                for method in methods:
                    routes.setdefault((method.encode(), path), self._route(rule, {}))
        return routes

    def _route(self, rule: Rule, arguments: dict[str, Any]) -> Route:
        executor = self._app.endpoints[rule.endpoint]
        handler = self._handler(rule.endpoint, is_branch=_REST in arguments)
        return Route(handler, arguments, getattr(executor, "segment_count", 0))

    def _handler(self, endpoint: str, *, is_branch: bool) -> Callable[..., Any]:
        """Give what Klein would call in the end, without the three calls on the way to it.

        Those are the look-up of the endpoint, the wrapper that ``route`` has put around the
        handler, and the wrapper's decision on the instance: the same for each request.

        Whoever has put something of his own in their place is asked: a class that overrides
        ``execute_endpoint``, or another wrapper.

        :param is_branch: the wrapper has more to do, and stays.
        """
        app = self._app
        executor: Any = app.endpoints[endpoint]
        is_plain = (
            type(app).execute_endpoint is Klein.execute_endpoint
            and getattr(executor, "__code__", None) is _EXECUTOR
        )
        if is_branch or not is_plain:
            return partial(app.execute_endpoint, endpoint)
        handler = executor.__wrapped__
        instance = app._instance  # noqa: SLF001  # no public way
        if instance is not None:
            return MethodType(handler, instance)
        return partial(handler, None) if getattr(handler, "__klein_bound__", False) else handler

    def _find(self, request: Request) -> Route:
        """Find the route.

        :raises HTTPException: there is none, for this path or for this method.
        """
        head = request.head
        route = self._static.get((head.method, head.path))
        if route is not None:
            return route
        try:
            path = unquote_to_bytes(head.path).decode()
            adapter = request.mapper() if self._needs_host else self._everywhere
            rule, arguments = self._match(adapter, path, request)
        except UnicodeDecodeError as error:
            raise BadRequest("the path is not UTF-8") from error
        except MethodNotAllowed as error:
            if head.method == b"OPTIONS":
                raise _Options({*(error.valid_methods or ()), "OPTIONS"}) from error
            raise
        except NotFound as error:
            if head.path == ASTERISK:
                raise _Options({*self.allowed().split(", "), "OPTIONS"}) from error
            raise
        return self._route(rule, dict(arguments))

    def _match(self, adapter: MapAdapter, path: str, request: Request) -> Any:
        method = request.head.method.decode()
        try:
            return adapter.match(path, method, return_rule=True)
        except RequestRedirect:
            # The place to go to has to name the host, which only now is worth finding out.
            return request.mapper().match(path, method, return_rule=True)

    def _body(self, result: Any, request: Request) -> Any:
        """Turn what a handler gave into what :meth:`handle` gives."""
        if isinstance(result, CoroutineType):
            result = ensureDeferred(result)
        if isinstance(result, Deferred):
            result.addCallback(self._body, request)
            result.addErrback(self._failed, request)
            return result
        if isinstance(result, Response):
            request.setResponseCode(result.code)
            for name, values in result.headers.items():
                several = [values] if isinstance(values, str | bytes) else values
                request.responseHeaders.setRawHeaders(name, list(several))
            result = result.body
        if isinstance(result, bytes):
            return result
        if isinstance(result, str):
            return result.encode()
        if result is None:
            return b""
        if IRenderable.providedBy(result):
            page = flattenString(cast("IRequest", request), result)
            page.addCallback(_DOCTYPE.__add__)
            return self._body(page, request)
        raise TypeError(f"a handler gave {type(result).__name__}, wanted bytes or str")

    def _failed(self, failure: Failure, request: Request) -> Any:
        """Let the application's error handlers have it."""
        return self._handled(failure, request, self._app._error_handlers)  # noqa: SLF001  # no public way

    def _handled(self, failure: Failure, request: Request, handlers: Any) -> Any:
        """Let the first error handler have it whose kind it is, unless nobody waits any more."""
        if request.finished:
            if not failure.check(CancelledError):
                self.log.failure("a handler failed after its reply, or its client's end", failure)
            return b""
        for number, (kinds, handler) in enumerate(handlers):
            if failure.check(*kinds):
                rest = handlers[number + 1 :]
                try:
                    result = self._app.execute_error_handler(
                        handler, cast("IRequest", request), failure
                    )
                    if isinstance(result, Deferred):
                        result.addCallback(self._body, request)
                        result.addErrback(self._handled, request, rest)
                        return result
                    return self._body(result, request)
                except Exception:  # noqa: BLE001  # the next handler's turn, as in Klein
                    return self._handled(Failure(), request, rest)
        try:
            return self._unhandled(failure, request)
        except Exception:  # noqa: BLE001  # not even the error can be said
            self.log.failure("an error could not be told to its client")
            request.setResponseCode(HTTPStatus.INTERNAL_SERVER_ERROR)
            return b""

    def _unhandled(self, failure: Failure, request: Request) -> bytes:
        error = failure.value
        if isinstance(error, HTTPException):
            return _page(error, request)
        incident = uuid4().hex
        self.log.failure("a handler failed; incident {incident}", failure, incident=incident)
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        media_type, body = self._render_error(status, f"incident {incident}")
        request.setResponseCode(status)
        request.setHeader(b"content-type", media_type)
        return body


def _page(error: HTTPException, request: Request) -> bytes:
    """Give werkzeug's own page for one of its exceptions, as Klein does."""
    response = error.get_response({})
    request.setResponseCode(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    for name, value in response.headers.items():
        request.setHeader(name, value)
    return b"".join(response.iter_encoded())


def _of(rule: Rule) -> set[str]:
    return rule.methods or set()


def _allow(methods: set[str]) -> str:
    return ", ".join(sorted(methods))
