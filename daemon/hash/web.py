"""The hash service's face: who may ask what, and what each gets (``docs/hash.rst``)."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha512
from http import HTTPStatus
from typing import Final

import msgspec
from klein import Klein
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter

from daemon.clock import Now
from daemon.hash.forms import (
    FORM,
    JSON,
    BadFormError,
    PasswordTooLargeError,
    UnsupportedFormError,
    password_of,
    plain_password,
)
from daemon.hash.idempotency import BadKeyError, Keys, OtherPasswordError, TooManyKeysError
from daemon.hash.jobs import AllPendingError, EvictedError, Jobs, NoSuchJobError, seconds_up
from daemon.hash.negotiation import preferred_wait_s, wants_json
from daemon.hash.pages import is_from_foreign_page
from daemon.http.media import content_type
from daemon.http.problem import problem_json
from daemon.http.replies import Errors
from daemon.http.request import body_of, client_of, keep_open, set_line, values_of
from daemon.peers import is_local
from daemon.tokens import NotAuthorizedError, Tokens
from daemon.waiters import Waiters

TEXT_TYPE: Final = b"text/plain; charset=utf-8"
JSON_TYPE: Final = b"application/json"
_TEXT_LINE: Final = b"Content-Type: %b\r\n" % TEXT_TYPE
PENDING: Final = b"pending"
"""The body of a reply to who asks too early: always the same."""

_FORM: Final = FORM.encode()
_SINGLE: Final = (b"content-type", b"content-encoding")
"""Fields that say how the body is to be read: of two, another reader may take the other one."""

_PREFIX: Final = b"/hash/"
_ID: Final = re.compile(rb"[1-9][0-9]*")
_LONGEST_ID: Final = 18
"""Digits; no longer one was ever given away, and int() takes its time with long ones."""

_US: Final = 1_000_000
_NS_PER_US: Final = 1_000
_NS: Final = 1_000_000_000


class BadIdError(Exception):
    """The path names no id."""


class ForbiddenError(Exception):
    """The client is not on this machine, or is a page of another site."""


class DrainingError(Exception):
    """The daemon is about to stop, and takes no jobs any more."""

    reply_fields: Final = {"Retry-After": "1"}


class DigestFailedError(Exception):
    """A bug has kept a password from being hashed; the text says where it is, and nothing more."""


_STATUSES: Final = {
    NotAuthorizedError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    BadFormError: HTTPStatus.BAD_REQUEST,
    PasswordTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedFormError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    BadIdError: HTTPStatus.BAD_REQUEST,
    NoSuchJobError: HTTPStatus.NOT_FOUND,
    EvictedError: HTTPStatus.GONE,
    AllPendingError: HTTPStatus.SERVICE_UNAVAILABLE,
    DrainingError: HTTPStatus.SERVICE_UNAVAILABLE,
    BadKeyError: HTTPStatus.BAD_REQUEST,
    OtherPasswordError: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooManyKeysError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class _Segment(BaseConverter):
    """One segment of a path, whatever it is."""

    regex = "[^/]+"


class _Nothing(BaseConverter):
    """The empty end of a path: as a rule of its own it would take ``/hash`` for a slip."""

    regex = ""


class HashAPI:
    """Serves jobs.

    :param keys: what is known of clients that ask again.
    :param waiters: where clients wait for a job.
    :param clock: tells how long a client has waited.
    :param now: tells what is ready.
    :param tokens: who may add jobs, and stop the daemon.
    :param shut_down: stops the daemon; fires when nobody can connect any more.
    :param about: the version and the capacity.
    :param max_wait_s: the longest that a client may wait.
    :param observe: told the seconds of work on each job.
    :param timer_ns: tells how long that took.
    :ivar jobs: the jobs; to be set before a request comes.
    :ivar draining: no more jobs are taken.
    :ivar work_ns: the work on all jobs so far.
    """

    app = Klein()
    app.url_map.converters["segment"] = _Segment
    app.url_map.converters["nothing"] = _Nothing
    app.url_map.merge_slashes = False
    jobs: Jobs

    def __init__(
        self,
        keys: Keys,
        waiters: Waiters,
        clock: IReactorTime,
        now: Now,
        *,
        tokens: Tokens,
        shut_down: Callable[[], Deferred[None]],
        version: str,
        capacity: int,
        max_wait_s: float,
        observe: Callable[[float], None],
        timer_ns: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self.draining = False
        self.work_ns = 0
        self._keys = keys
        self._waiters = waiters
        self._clock = clock
        self._now = now
        self._tokens = tokens
        self._shut_down = shut_down
        self._version = version
        self._capacity = capacity
        self._max_wait_s = max_wait_s
        self._observe = observe
        self._timer_ns = timer_ns
        self._errors = Errors(problem_json, _STATUSES)

    @app.route("/hash", methods=["POST"])
    def add(self, request: IRequest) -> bytes:
        """Hash a password, and give the id under which that can be read later."""
        began = self._timer_ns()
        fields = request.getAllHeaders()
        if self._tokens.needed:
            self._tokens.check(fields.get(b"authorization"))
        media_type = fields.get(b"content-type")
        for name in _SINGLE:
            if name in fields and len(values_of(request, name)) > 1:
                raise BadFormError(f"there is more than one {name.decode().title()}")
        digest = _digest(request, media_type, fields.get(b"content-encoding"))
        if not isinstance(digest, bytes):
            try:
                raise digest
            finally:
                del digest  # else frame and exception keep each other, and the request, alive
        key = fields.get(b"idempotency-key")
        now = self._now()
        job = None if key is None else self._keys.find(_only_key(request, key), digest, now)
        if job is None:
            if self.draining:
                raise DrainingError("the daemon is stopping")
            job = self.jobs.add(digest, now)
            if key is not None:
                self._keys.remember(key, digest, job, now)
            took = self._timer_ns() - began
            self.work_ns += took
            self._observe(took / _NS)
        set_line(request, b"location", b"Location: /hash/%d\r\n" % job)
        accept = _accept(request) if b"accept" in fields else None
        if (accept is None and media_type == _FORM) or not wants_json(
            accept, asked_in_json=_is_json(media_type)
        ):
            set_line(request, b"content-type", _TEXT_LINE)
            return b"%d" % job
        request.setHeader(b"content-type", JSON_TYPE)
        return b'{"id": %d}' % job

    @app.route("/hash/<nothing:_rest>")
    def slash(self, request: IRequest, _rest: str) -> bytes:
        """Send those away who have one slash too many."""
        if request.method == b"OPTIONS":
            request.setResponseCode(HTTPStatus.NO_CONTENT.value)
            request.setHeader(b"allow", b"OPTIONS, POST")
            return b""
        if request.method in (b"GET", b"HEAD"):
            raise NotFound
        if request.method != b"POST":
            raise MethodNotAllowed(["POST"])
        request.setHeader(b"location", b"/hash")
        media_type, body = problem_json(HTTPStatus.PERMANENT_REDIRECT, "see /hash")
        request.setHeader(b"content-type", media_type)
        request.setResponseCode(HTTPStatus.PERMANENT_REDIRECT.value)
        return body

    @app.route("/hash/<segment:_number>", methods=["GET"])
    def read(self, request: IRequest, _number: str) -> bytes | Deferred[bytes]:
        """Give a hash that is ready, or say when it will be."""
        number = _id(request.path)
        left_us = self.jobs.due_us(number) - self._now()
        if left_us <= 0:
            return self._ready(request, number)
        if request.getHeader(b"prefer") is not None:
            wait_s = self._wait_s(request)
            if wait_s:
                return ensureDeferred(self._read_later(request, number, wait_s))
        return self._pending(request, number, left_us)

    @app.route("/stats", methods=["GET"])
    def stats(self, request: IRequest) -> bytes:
        """Say how many jobs there were, and how long the work on one took."""
        total = self.jobs.accepted
        average = max(1, round(self.work_ns / total / _NS_PER_US)) if total else 0
        return _json(request, {"total": total, "average": average})

    @app.route("/shutdown", methods=["POST"])
    def shutdown(self, request: IRequest) -> Deferred[bytes]:
        """Stop the daemon, if the client may."""
        if self._tokens.needed:
            self._tokens.check(request.getHeader(b"authorization"))
        elif not is_local(client_of(request)):
            raise ForbiddenError("only clients on this machine may stop the daemon")
        elif is_from_foreign_page(
            request.getHeader(b"host") or b"",
            values_of(request, b"origin"),
            values_of(request, b"sec-fetch-site"),
        ):
            raise ForbiddenError("no web page of another site may stop the daemon")
        return self._shut_down().addCallback(self._shutting_down, request)

    @app.route("/v/status", methods=["GET"])
    def status(self, request: IRequest) -> bytes:
        """Say how the service is."""
        return _json(
            request,
            {
                "version": self._version,
                "state": "draining" if self.draining else "running",
                "pending": self.jobs.pending(self._now()),
                "capacity": self._capacity,
            },
        )

    @app.handle_errors(Exception)
    def failed(self, request: IRequest, failure: Failure) -> bytes:
        """Say what is wrong."""
        if isinstance(failure.value, NotAuthorizedError):
            request.setHeader(b"WWW-Authenticate", failure.value.challenge)
        return self._errors.reply(request, failure)

    def _ready(self, request: IRequest, number: int) -> bytes:
        text = b64encode(self.jobs.digest(number))
        request.setHeader(b"vary", b"Accept")
        accept = _accept(request)
        if accept is None or not wants_json(accept, asked_in_json=False):
            request.setHeader(b"content-type", TEXT_TYPE)
            return text
        request.setHeader(b"content-type", JSON_TYPE)
        return b'{"id": %d, "hash": "%b"}' % (number, text)

    def _pending(self, request: IRequest, number: int, left_us: int) -> bytes:
        keep_open(request)
        request.setResponseCode(HTTPStatus.ACCEPTED.value)
        request.setHeader(b"retry-after", b"%d" % seconds_up(left_us))
        request.setHeader(b"vary", b"Accept")
        if wants_json(_accept(request), asked_in_json=False):
            request.setHeader(b"content-type", JSON_TYPE)
            return b'{"id": %d}' % number
        request.setHeader(b"content-type", TEXT_TYPE)
        return PENDING

    async def _read_later(self, request: IRequest, number: int, wait_s: float) -> bytes:
        """Wait until the job is ready, or the client's time is over."""
        until = self._clock.seconds() + wait_s
        request.setHeader(b"Preference-Applied", b"wait=%d" % wait_s)
        while True:
            left_us = self.jobs.due_us(number) - self._now()
            if left_us <= 0:
                return self._ready(request, number)
            left_s = until - self._clock.seconds()
            if left_s <= 0 or self._waiters.closed:
                return self._pending(request, number, left_us)
            await self._waiters.wait(min(left_s, left_us / _US))

    def _wait_s(self, request: IRequest) -> float:
        lines = values_of(request, b"prefer")
        return min(preferred_wait_s(b", ".join(lines)) or 0, self._max_wait_s)

    def _shutting_down(self, _: None, request: IRequest) -> bytes:
        pending = self.jobs.pending(self._now())
        if pending:
            keep_open(request)
        return _json(request, {"state": "draining", "pending": pending})


def _digest(request: IRequest, media_type: bytes | None, coding: bytes | None) -> bytes | Exception:
    """Hash the password of a request; gives what is wrong with that if it cannot be done.

    Exceptions hold on to the frames they were raised in, and what is there. So none with the
    password in one of its frames leaves this function.
    """
    try:
        if coding is not None and coding.strip().lower() != b"identity":
            return UnsupportedFormError("the body must not be compressed")
        body = body_of(request)
        password = plain_password(body) if media_type == _FORM else None
        return sha512(password or password_of(body, media_type)).digest()
    except (BadFormError, PasswordTooLargeError, UnsupportedFormError) as error:
        return error.with_traceback(None)
    except Exception as error:  # noqa: BLE001  # its text may be anything
        return DigestFailedError(_place_of(error))


def _place_of(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(error).__name__}{where}"


def _only_key(request: IRequest, key: bytes) -> bytes:
    if len(values_of(request, b"idempotency-key")) > 1:
        raise BadKeyError("there is more than one Idempotency-Key")
    return key


def _accept(request: IRequest) -> bytes | None:
    """Give the value of ``Accept``; several fields are one list."""
    values = values_of(request, b"accept")
    return b", ".join(values) if values else None


def _is_json(media_type: bytes | None) -> bool:
    return media_type is not None and content_type(media_type)[0] == JSON


def _id(path: bytes) -> int:
    """Read the id in a path as it was sent."""
    digits = path[len(_PREFIX) :]
    if not _ID.fullmatch(digits):
        raise BadIdError("an id is a positive whole number: digits only, no leading zero")
    if len(digits) > _LONGEST_ID:
        raise NoSuchJobError("there is no such job")
    return int(digits)


def _json(request: IRequest, value: object) -> bytes:
    request.setHeader(b"content-type", JSON_TYPE)
    return msgspec.json.encode(value)
