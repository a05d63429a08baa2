"""The admin's face: who may ask what, and what each gets (``docs/admin.rst``)."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

import msgspec
from klein import Klein
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from daemon.admin import status
from daemon.admin.exposition import expose
from daemon.admin.markup import Markup
from daemon.admin.view import Page
from daemon.http.problem import problem_json
from daemon.http.replies import Errors
from daemon.http.turns import Slices
from daemon.overview import Overview

JSON: Final = b"application/json"
TEXT: Final = b"text/plain; charset=utf-8"

SECURITY: Final = {
    b"X-Content-Type-Options": b"nosniff",
    b"Referrer-Policy": b"no-referrer",
    b"Cache-Control": b"no-store",
}
"""Fields of every reply: what is told here is of this moment, and nobody else's."""

POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    b" base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What the page may do: load its own parts, and nothing from anywhere else."""


class NoSuchDocumentError(Exception):
    """There is no such service, or nothing that describes it."""


class AdminAPI:
    """Tells how the daemon is.

    :param overview: the daemon.
    :param page: gives the page as it is now.
    :param tell_status: gives what ``/status`` tells.
    :param slices: gives replies that take long the time to be made.
    """

    app = Klein()

    def __init__(
        self,
        overview: Overview,
        page: Callable[[], Page],
        tell_status: Callable[[], dict[str, Any]],
        version: str,
        slices: Slices,
    ) -> None:
        self._overview = overview
        self._page = page
        self._tell_status = tell_status
        self._slices = slices
        self._errors = Errors(problem_json, {NoSuchDocumentError: HTTPStatus.NOT_FOUND})
        folder = files("daemon.admin") / "page"
        self._markup = Markup((folder / "page.html").read_text("utf-8"), version)
        self._script = (folder / "page.js").read_bytes()
        self._style = (folder / "page.css").read_bytes()
        self._icon = (folder / "icon.svg").read_bytes()

    @app.route("/healthz", methods=["GET"])
    def alive(self, request: IRequest) -> bytes:
        """Say that the process lives."""
        return _reply(request, TEXT, b"ok")

    @app.route("/readyz", methods=["GET"])
    def ready(self, request: IRequest) -> bytes:
        """Say whether the daemon is ready, and how each service is."""
        found = status.readiness(self._overview)
        if not found["ready"]:
            request.setResponseCode(HTTPStatus.SERVICE_UNAVAILABLE.value)
        return _json(request, found)

    @app.route("/metrics", methods=["GET"])
    async def metrics(self, request: IRequest) -> bytes:
        """Give all metrics."""
        await self._slices.turn()
        media_type, text = expose(self._overview.registry, request.getHeader(b"accept"))
        request.setHeader(b"vary", b"Accept")
        return _reply(request, media_type, text)

    @app.route("/status", methods=["GET"])
    async def status(self, request: IRequest) -> bytes:
        """Give all numbers."""
        await self._slices.turn()
        return _json(request, self._tell_status())

    @app.route("/openapi/<name>.json", methods=["GET"])
    def openapi(self, request: IRequest, name: str) -> bytes:
        """Give the description of what a service answers over HTTP."""
        member = self._overview.members.get(name)
        document = None if member is None else member.read_openapi()
        if document is None:
            raise NoSuchDocumentError(f"no service {name!r} that runs here speaks HTTP")
        return _reply(request, JSON, document)

    @app.route("/", methods=["GET"])
    async def page(self, request: IRequest) -> bytes:
        """Give the page for people."""
        await self._slices.turn()
        request.setHeader(b"Content-Security-Policy", POLICY)
        return _reply(request, b"text/html; charset=utf-8", self._markup.fill(self._page()))

    @app.route("/page.json", methods=["GET"])
    async def live(self, request: IRequest) -> bytes:
        """Give what has changed on the page."""
        await self._slices.turn()
        return _json(request, self._page())

    @app.route("/page.js", methods=["GET"])
    def script(self, request: IRequest) -> bytes:
        """Give the page's script."""
        return _reply(request, b"text/javascript; charset=utf-8", self._script)

    @app.route("/page.css", methods=["GET"])
    def style(self, request: IRequest) -> bytes:
        """Give the page's style sheet."""
        return _reply(request, b"text/css; charset=utf-8", self._style)

    @app.route("/icon.svg", methods=["GET"])
    def icon(self, request: IRequest) -> bytes:
        """Give the page's icon."""
        return _reply(request, b"image/svg+xml", self._icon)

    @app.handle_errors(Exception)
    def failed(self, request: IRequest, failure: Failure) -> bytes:
        """Say what is wrong."""
        reply = self._errors.reply(request, failure)
        for name, value in SECURITY.items():
            request.setHeader(name, value)
        return reply


def _json(request: IRequest, value: Any) -> bytes:
    return _reply(request, JSON, msgspec.json.encode(value))


def _reply(request: IRequest, media_type: bytes, body: bytes) -> bytes:
    for name, value in SECURITY.items():
        request.setHeader(name, value)
    request.setHeader(b"content-type", media_type)
    return body
