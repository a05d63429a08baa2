"""From what goes wrong in a handler to what the client hears.

One table for each application says which of its exceptions has which status. It is an error
handler of Klein's, so it does its work under any server::

    errors = Errors(plain_text, {NotATimestampError: HTTPStatus.BAD_REQUEST})

    @app.handle_errors(Exception)
    def failed(self, request, failure):
        return errors.reply(request, failure)
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from uuid import uuid4

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import RequestRedirect

from daemon.http.limits import RenderRefusal

Statuses = Mapping[type[Exception], HTTPStatus]


class Errors:
    """The table of one application.

    :param render: gives the media type and body of an error.
    :param statuses: the status of each exception that is the client's fault, or the time's; its
        text is for the client. An exception may have ``reply_fields``, a dictionary of fields.
    """

    log = Logger()

    def __init__(self, render: RenderRefusal, statuses: Statuses) -> None:
        self._render = render
        self._statuses = dict(statuses)

    def reply(self, request: IRequest, failure: Failure) -> bytes:
        """Answer for a failure. What the table does not know is a bug: 500, and an incident."""
        error = failure.value
        for kind, status in self._statuses.items():
            if isinstance(error, kind):
                for name, value in getattr(error, "reply_fields", {}).items():
                    request.setHeader(name, value)
                return self._say(request, status, str(error))
        if isinstance(error, HTTPException):
            return self._routing(request, error)
        incident = uuid4().hex
        self.log.failure("a request failed; incident {incident}", failure, incident=incident)
        return self._say(request, HTTPStatus.INTERNAL_SERVER_ERROR, f"incident {incident}")

    def _routing(self, request: IRequest, error: HTTPException) -> bytes:
        """Answer for what finding the route came to."""
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        why = status.description.lower() or status.phrase.lower()
        if isinstance(error, MethodNotAllowed):
            allowed = sorted({*(error.valid_methods or ()), "OPTIONS"})
            request.setHeader("Allow", ", ".join(allowed))
            why = f"this takes {', '.join(allowed)}"
        elif isinstance(error, RequestRedirect):
            request.setHeader("Location", error.new_url)
            why = f"see {error.new_url}"
        elif isinstance(error, NotFound):
            why = "there is nothing here"
        return self._say(request, status, why)

    def _say(self, request: IRequest, status: HTTPStatus, why: str) -> bytes:
        media_type, body = self._render(status, why)
        request.setResponseCode(status.value)
        request.setHeader("Content-Type", media_type)
        return body
