"""The counter's face: one number, whatever is asked."""

from __future__ import annotations

from collections.abc import Callable

from klein import Klein
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter

from daemon.http.limits import plain_text
from daemon.http.replies import Errors

MEDIA_TYPE = b"text/plain; charset=utf-8"


class _Anything(BaseConverter):
    """Any path at all: with double slashes, empty segments, whatever."""

    regex = ".*"
    part_isolating = False


class CounterAPI:
    """Answers every request with the number of requests in the window, that one included.

    :param add: counts a request that is received now, and gives the number.
    """

    app = Klein()
    app.url_map.converters["anything"] = _Anything
    app.url_map.merge_slashes = False

    def __init__(self, add: Callable[[], int]) -> None:
        self._add = add
        self._errors = Errors(plain_text, {})

    @app.route("/")
    @app.route("/<anything:_path>")
    def count(self, request: IRequest, _path: str = "") -> bytes:
        """Count a request: any method, any path."""
        request.setHeader(b"content-type", MEDIA_TYPE)
        return b"%d" % self._add()

    @app.handle_errors(HTTPException)
    def no_route(self, request: IRequest, failure: Failure) -> bytes:  # noqa: ARG002  # Klein's
        """Count a request with a path that is no text: it is well-formed all the same."""
        return self.count(request)

    @app.handle_errors(Exception)
    def failed(self, request: IRequest, failure: Failure) -> bytes:
        """Answer for a bug."""
        return self._errors.reply(request, failure)
