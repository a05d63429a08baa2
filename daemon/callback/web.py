"""The callback service's face: who may ask what, and what each gets (``docs/callback.rst``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from daemon.callback.body import INT64_MAX, INT64_MIN, NotACallbackError, parse_ids
from daemon.callback.inbox import (
    Callback,
    Inbox,
    InboxClosedError,
    InboxFullError,
    RefusedError,
)
from daemon.callback.objects.store import DatabaseUnavailableError, ObjectStore, StoreError
from daemon.callback.pages import object_pieces, page, rejected_pieces
from daemon.clock import Now
from daemon.http.problem import problem_json
from daemon.http.replies import Errors
from daemon.http.turns import Slices
from daemon.metrics import Histogram
from daemon.tokens import NotAuthorizedError, Tokens

JSON: Final = b"application/json"
PAGE: Final = 100
LARGEST_PAGE: Final = 1000
REJECTED_BYTES: Final = 1_000_000
"""How large the bodies on a page of rejected ones are together. In JSON they may be six times
that."""

_NO_CONTENT: Final = 204
_US: Final = 1_000_000
_ID: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")
_LIMIT: Final = re.compile(rb"[1-9][0-9]{0,9}")


class BadQueryError(Exception):
    """A parameter of the query is not what it should be."""


class NoSuchObjectError(Exception):
    """The object is not online, or not known."""


_STATUSES: Final = {
    NotAuthorizedError: HTTPStatus.UNAUTHORIZED,
    NotACallbackError: HTTPStatus.BAD_REQUEST,
    BadQueryError: HTTPStatus.BAD_REQUEST,
    NoSuchObjectError: HTTPStatus.NOT_FOUND,
    InboxFullError: HTTPStatus.SERVICE_UNAVAILABLE,
    InboxClosedError: HTTPStatus.SERVICE_UNAVAILABLE,
    RefusedError: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
}


class CallbackAPI:
    """Takes callbacks, and shows what came of them.

    :param inbox: where callbacks and what is none go.
    :param arrived: told each callback that was accepted, also when its client is gone by then.
    :param store: the objects.
    :param now: tells the time.
    :param accept_time: told how long each took, in seconds.
    :param tokens: who may send callbacks.
    :param max_ids: how many ids a callback may have.
    :param lifespan_us: objects that were seen before that are not shown.
    :param slices: gives pages the time to be made; None: each is made in one go.
    :ivar accepted: callbacks that were answered 204, or would have been.
    :ivar rejected: bodies that were no callback.
    """

    app = Klein()

    def __init__(
        self,
        inbox: Inbox,
        store: ObjectStore,
        now: Now,
        *,
        arrived: Callable[[Callback], None],
        accept_time: Histogram,
        tokens: Tokens,
        max_ids: int,
        lifespan_us: int,
        slices: Slices | None = None,
    ) -> None:
        self._inbox = inbox
        self._store = store
        self._now = now
        self._arrived = arrived
        self._accept_time = accept_time
        self._tokens = tokens
        self._max_ids = max_ids
        self._lifespan_us = lifespan_us
        self._slices = slices
        self._errors = Errors(problem_json, _STATUSES)
        self.accepted = 0
        self.rejected = 0

    @app.route("/callback", methods=["POST"])
    def receive(self, request: IRequest) -> Deferred[bytes]:
        """Take a callback; the reply comes as soon as it is safe."""
        received_us = self._now()
        self._tokens.check(request.getHeader(b"authorization"))
        body: bytes = request.content.read()
        try:
            ids = parse_ids(body, self._max_ids)
        except NotACallbackError as error:
            return self._reject(received_us, error, body)
        return _apart(self._inbox.accept(received_us, ids).addCallback(self._take), request)

    @app.route("/objects", methods=["GET"])
    async def objects(self, request: IRequest) -> bytes:
        """Give the objects that are online, a page of them."""
        limit = _limit(request)
        after = _integer(request, b"after")
        rows = await self._store.page(after, limit + 1, self._since_us())
        shown = rows[:limit]
        more = f"/objects?limit={limit}&after={shown[-1].id}" if len(rows) > limit else None
        return await self._page(request, "objects", object_pieces(shown), more)

    @app.route("/objects/<object_id>", methods=["GET"])
    async def one_object(self, request: IRequest, object_id: str) -> bytes:
        """Give one object, if it is online."""
        row = await self._store.get(_int64(object_id, "an object's id"), self._since_us())
        if row is None:
            raise NoSuchObjectError(f"object {object_id} is not online, or not known")
        return _json(request, b"".join(object_pieces([row])))

    @app.route("/callbacks/rejected", methods=["GET"])
    async def rejects(self, request: IRequest) -> bytes:
        """Give what was sent and was no callback, newest first, a page of it."""
        limit = _limit(request)
        before = _integer(request, b"before")
        rows, has_more = await self._inbox.page_of_rejected(before, limit, REJECTED_BYTES)
        more = None
        if has_more:
            more = f"/callbacks/rejected?limit={limit}&before={rows[-1].number}"
        return await self._page(request, "rejected", rejected_pieces(rows), more)

    @app.handle_errors(Exception)
    def failed(self, request: IRequest, failure: Failure) -> bytes:
        """Say what is wrong."""
        error = failure.value
        if isinstance(error, NotAuthorizedError):
            request.setHeader(b"WWW-Authenticate", error.challenge)
        elif _STATUSES.get(type(error)) == HTTPStatus.SERVICE_UNAVAILABLE:
            request.setHeader(b"Retry-After", b"1")
        return self._errors.reply(request, failure)

    async def _page(
        self, request: IRequest, name: str, pieces: Iterable[bytes], more: str | None
    ) -> bytes:
        if self._slices is not None:
            pieces = await self._slices.collect(pieces)
        return _json(request, page(name, pieces, more))

    def _take(self, callback: Callback) -> None:
        self.accepted += 1
        self._accept_time.observe((self._now() - callback.received_us) / _US)
        self._arrived(callback)

    def _reject(self, received_us: int, error: NotACallbackError, body: bytes) -> Deferred[bytes]:
        """Keep what was sent, then say what is wrong with it."""
        self.rejected += 1
        kept = self._inbox.reject(received_us, str(error), body)

        def raise_error(_: object) -> bytes:
            raise error

        return kept.addBoth(raise_error)

    def _since_us(self) -> int:
        return self._now() - self._lifespan_us


def _apart(taken: Deferred[None], request: IRequest) -> Deferred[bytes]:
    """Give a Deferred that may be cancelled: what becomes of a callback is not its sender's.

    Once it is, nothing holds on to the request and its body: the callback may wait for long.
    """
    settled: Deferred[None] = Deferred()

    def settle(result: Any) -> None:
        if not settled.called:  # cancelled: its sender is gone
            settled.callback(result)

    taken.addBoth(settle)
    return settled.addCallback(_no_content, request)


def _no_content(_: None, request: IRequest) -> bytes:
    request.setResponseCode(_NO_CONTENT)
    return b""


def _limit(request: IRequest) -> int:
    values = request.args.get(b"limit", [])
    if not values:
        return PAGE
    if len(values) > 1 or not _LIMIT.fullmatch(values[0]) or int(values[0]) > LARGEST_PAGE:
        raise BadQueryError(f"limit takes one whole number from 1 to {LARGEST_PAGE}")
    return int(values[0])


def _integer(request: IRequest, name: bytes) -> int | None:
    values = request.args.get(name, [])
    if not values:
        return None
    if len(values) > 1:
        raise BadQueryError(f"{name.decode()} is given more than once")
    return _int64(values[0].decode("latin-1"), name.decode())


def _int64(text: str, what: str) -> int:
    number = int(text) if _ID.fullmatch(text) else INT64_MAX + 1
    if not INT64_MIN <= number <= INT64_MAX:
        raise BadQueryError(f"{what} is a whole number of 64 bits")
    return number


def _json(request: IRequest, text: bytes) -> bytes:
    request.setHeader(b"content-type", JSON)
    return text
