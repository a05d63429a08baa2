"""The timestamp's face: who may ask what, and what each gets (``docs/timestamp.rst``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

from klein import Klein
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from daemon.http.conditions import Conditions, MalformedConditionError, parse_conditions
from daemon.http.limits import plain_text
from daemon.http.media import accepts, content_type
from daemon.http.replies import Errors
from daemon.http.request import body_of, set_line
from daemon.timestamp.register import (
    NotStoredError,
    PreconditionFailedError,
    Register,
    StorageFullError,
    Stored,
    Write,
)
from daemon.timestamp.text import MAX_BYTES, NotATimestampError, parse
from daemon.tokens import NotAuthorizedError, Tokens
from daemon.waiters import Waiters

MEDIA_TYPE: Final = b"text/plain; charset=utf-8"

_NO_CONTENT: Final = 204
_CHARSETS: Final = frozenset({"ascii", "us-ascii", "utf-8", "utf8"})
_SECONDS: Final = re.compile(rb"[0-9]{1,9}(?:\.[0-9]{1,9})?")

Fields = Mapping[bytes, bytes]
"""The last value of each field of a request, names in lower case: one look for all of them."""

WriteSoon = Callable[[Write], "Stored | Deferred[Stored]"]
"""Writes, now or soon; raises or fails with what :meth:`Register.write` raises."""


class NothingStoredError(Exception):
    """There is no timestamp yet."""


class NotAcceptableError(Exception):
    """The client takes nothing that could be sent."""


class BodyTooLargeError(Exception):
    """The body cannot be a timestamp, so long is it."""


class LengthRequiredError(Exception):
    """The request says nothing of a body."""


class BadWaitError(Exception):
    """The value of ``wait`` is no number of seconds."""


class UnsupportedMediaTypeError(Exception):
    """The body is no plain text."""

    reply_fields: Final = {"Accept": "text/plain"}


_STATUSES: Final = {
    NotAuthorizedError: HTTPStatus.UNAUTHORIZED,
    LengthRequiredError: HTTPStatus.LENGTH_REQUIRED,
    UnsupportedMediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    NotATimestampError: HTTPStatus.BAD_REQUEST,
    MalformedConditionError: HTTPStatus.BAD_REQUEST,
    BadWaitError: HTTPStatus.BAD_REQUEST,
    PreconditionFailedError: HTTPStatus.PRECONDITION_FAILED,
    NothingStoredError: HTTPStatus.NOT_FOUND,
    NotAcceptableError: HTTPStatus.NOT_ACCEPTABLE,
    StorageFullError: HTTPStatus.INSUFFICIENT_STORAGE,
    NotStoredError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class TimestampAPI:
    """Serves a register.

    :param register: what is read.
    :param write: how it is written.
    :param waiters: where readers wait for a change; whoever made the register wakes them.
    :param clock: tells how long a reader has waited.
    :param tokens: who may write.
    :param max_wait_s: the longest that a reader may wait, in seconds.
    :ivar reads: how many requests to read there were.
    """

    app = Klein()

    def __init__(
        self,
        register: Register,
        write: WriteSoon,
        waiters: Waiters,
        clock: IReactorTime,
        *,
        tokens: Tokens,
        max_wait_s: float,
    ) -> None:
        self._register = register
        self._write = write
        self._waiters = waiters
        self._clock = clock
        self._tokens = tokens
        self._max_wait_s = max_wait_s
        self._errors = Errors(plain_text, _STATUSES)
        self._shown: Stored | None = None
        self._etag = self._text = b""
        self.reads = 0

    @app.route("/timestamp", methods=["GET"])
    def read(self, request: IRequest) -> bytes | Deferred[bytes]:
        """Give the timestamp, or wait until there is another than the client knows."""
        self.reads += 1
        fields = request.getAllHeaders()
        if not accepts(fields.get(b"accept"), "text/plain"):
            raise NotAcceptableError("there is text/plain only")
        conditions = _conditions(request, fields)
        wait_s = self._wait_s(request) if b"?" in request.uri else 0.0
        if wait_s and conditions is not None and conditions.if_none_match is not None:
            return ensureDeferred(self._read_later(request, conditions, wait_s))
        return self._read_now(request, conditions)

    @app.route("/timestamp", methods=["PUT", "POST"])
    def write(self, request: IRequest) -> bytes | Deferred[bytes]:
        """Store a timestamp; the reply comes when it is stored."""
        fields = request.getAllHeaders()
        self._tokens.check(fields.get(b"authorization"))
        body = _text_body(request, fields)
        conditions = _conditions(request, fields)
        text = parse(body)
        outcome = self._write(Write(text) if conditions is None else Write(text, conditions))
        if isinstance(outcome, Deferred):
            return outcome.addCallback(_written, request)
        return _written(outcome, request)

    @app.handle_errors(Exception)
    def failed(self, request: IRequest, failure: Failure) -> bytes:
        """Say what is wrong."""
        error = failure.value
        if isinstance(error, NotStoredError):
            request.setHeader(b"Retry-After", b"1")
        elif isinstance(error, NotAuthorizedError):
            request.setHeader(b"WWW-Authenticate", error.challenge)
        elif isinstance(error, PreconditionFailedError) and self._register.current is not None:
            request.setHeader(b"ETag", self._register.current.etag)
        return self._errors.reply(request, failure)

    def _read_now(self, request: IRequest, conditions: Conditions | None) -> bytes:
        stored = self._register.current
        if conditions is not None:
            status = conditions.refusal(_revision(stored), reading=True)
            if status == HTTPStatus.PRECONDITION_FAILED:
                raise PreconditionFailedError("the conditions of the request do not hold")
            if status is not None and stored is not None:
                request.setResponseCode(status.value)
                request.setHeader(b"ETag", stored.etag)
                return b""
        if stored is None:
            raise NothingStoredError("nothing is stored yet")
        if stored is not self._shown:
            self._shown, self._etag, self._text = stored, stored.etag.encode(), stored.text.encode()
        request.setHeader(b"content-type", MEDIA_TYPE)
        request.setHeader(b"etag", self._etag)
        return self._text

    async def _read_later(self, request: IRequest, conditions: Conditions, wait_s: float) -> bytes:
        """Wait while the client knows what is stored, or nothing is."""
        until = self._clock.seconds() + wait_s
        while True:
            stored = self._register.current
            known = conditions.refusal(_revision(stored), reading=True) == HTTPStatus.NOT_MODIFIED
            left_s = until - self._clock.seconds()
            if left_s <= 0 or self._waiters.closed or not (stored is None or known):
                return self._read_now(request, conditions)
            await self._waiters.wait(left_s)

    def _wait_s(self, request: IRequest) -> float:
        """Read ``?wait=``: decimal seconds."""
        values = request.args.get(b"wait", [])
        if not values:
            return 0.0
        if len(values) > 1 or not _SECONDS.fullmatch(values[0]):
            raise BadWaitError("wait takes one number of seconds, such as 30 or 0.5")
        return min(float(values[0]), self._max_wait_s)


def _text_body(request: IRequest, fields: Fields) -> bytes:
    """Give the body of a write.

    :raises LengthRequiredError: there is none, not even an empty one.
    :raises UnsupportedMediaTypeError: it is no plain text in ASCII or UTF-8.
    :raises BodyTooLargeError: it is too long.
    """
    if not (fields.get(b"content-length") or fields.get(b"transfer-encoding")):
        raise LengthRequiredError("a timestamp is needed in the body")
    coding = fields.get(b"content-encoding")
    if coding is not None and coding.strip().lower() != b"identity":
        raise UnsupportedMediaTypeError("the body must not be compressed")
    media_type, parameters = content_type(fields.get(b"content-type", b""))
    charset = parameters.get("charset", "utf-8").lower()
    if media_type != "text/plain" or charset not in _CHARSETS:
        raise UnsupportedMediaTypeError("wanted is text/plain, in ascii or utf-8")
    body = body_of(request)
    if len(body) > MAX_BYTES:
        raise BodyTooLargeError(f"a timestamp has {MAX_BYTES} bytes at most")
    return body


def _conditions(request: IRequest, fields: Fields) -> Conditions | None:
    """Give the conditions of a request; None when it has none."""
    if b"if-match" not in fields and b"if-none-match" not in fields:
        return None
    lines = request.requestHeaders.getRawHeaders
    both = (lines(b"if-match"), lines(b"if-none-match"))
    return parse_conditions(*(b", ".join(f).decode("latin-1") if f else None for f in both))


def _revision(stored: Stored | None) -> str | None:
    return None if stored is None else stored.revision


def _written(stored: Stored, request: IRequest) -> bytes:
    request.setResponseCode(_NO_CONTENT)
    # Each has one of its own, which is nothing to remember.
    set_line(request, b"etag", b"ETag: %b\r\n" % stored.etag.encode())
    return b""
