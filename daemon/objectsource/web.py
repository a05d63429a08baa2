"""The object source's face: what it says of an object, after a while, and how it fails."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import Any, cast

from klein import Klein
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest

from daemon.http.limits import plain_text
from daemon.http.replies import Errors
from daemon.objectsource.behaviour import Answer, Behaviour, Fault, NotAnIdError, parse_id
from daemon.objectsource.faults import spoil
from daemon.objectsource.pauses import Pauses, StoppingError

MEDIA_TYPE = b"text/plain; charset=utf-8"


class OutOfOrderError(Exception):
    """The source was told to fail."""


class ObjectsAPI:
    """Answers for objects.

    :param behaviour: draws the answers.
    :param pauses: lets requests wait.
    :ivar given: how many answers of each kind were given: ``online``, ``offline``, faults.
    """

    app = Klein()

    def __init__(self, behaviour: Behaviour, pauses: Pauses) -> None:
        self._behaviour = behaviour
        self._pauses = pauses
        self.given: Counter[str] = Counter()
        self._errors = Errors(
            plain_text,
            {
                NotAnIdError: HTTPStatus.BAD_REQUEST,
                OutOfOrderError: HTTPStatus.INTERNAL_SERVER_ERROR,
                StoppingError: HTTPStatus.SERVICE_UNAVAILABLE,
            },
        )

    @app.route("/objects/<text>", methods=["GET"])
    async def state(self, request: IRequest, text: str) -> bytes:
        """Say whether an object is online."""
        answer = self._behaviour.answer(parse_id(text))
        await self._pauses.wait(answer.delay_s)
        self._count(answer)
        match answer.fault:
            case None | Fault.GARBAGE | Fault.WRONG_ID:
                request.setHeader(b"content-type", MEDIA_TYPE)
                return answer.body
            case Fault.ERROR:
                raise OutOfOrderError("out of order, as wanted")
            case Fault.HANG:
                await self._pauses.wait(None)
            case fault:
                await self._spoil(_transport(request), fault, answer.body)
        return b""  # which nobody waits for: only a client's end, or a stop, ends such a pause

    @app.handle_errors(Exception)
    def failed(self, request: IRequest, failure: Failure) -> bytes:
        """Answer for what went wrong."""
        return self._errors.reply(request, failure)

    async def _spoil(self, transport: Any, fault: Fault, body: bytes) -> None:
        """Fail below HTTP, where there is no room for a reply any more."""
        spoil(transport, fault, body)
        try:
            await self._pauses.wait(None)
        except StoppingError:
            transport.abortConnection()
            await Deferred()  # cancelled with the connection

    def _count(self, answer: Answer) -> None:
        state = "online" if answer.online else "offline"
        self.given[state if answer.fault is None else answer.fault.value] += 1


def _transport(request: IRequest) -> Any:
    """Give the connection below a request of our server: Klein has no words for failing."""
    return cast("Any", request).connection.transport
