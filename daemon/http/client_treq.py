"""The same client over treq: for TLS, and as the reference that the pool is compared with."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

from treq.client import HTTPClient
from twisted.internet.defer import Deferred, DeferredSemaphore, fail, gatherResults
from twisted.internet.error import ConnectionClosed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    HTTPConnectionPool,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from daemon.http.answer import (
    Answer,
    AnswerTooLargeError,
    ConnectionFailedError,
    DeadlineExceededError,
    FetchError,
    MalformedAnswerError,
)
from daemon.http.client_wires import Wires
from daemon.http.source_url import SourceURL, check_path
from daemon.resolving import Resolve, resolve

IDLE_S: Final = 30
"""How long a connection is kept that has nothing to do."""


class TreqClient:
    """Fetches from one source with treq.

    What treq adds is taken away again: redirects, cookies, content codings; what it lacks is added:
    a bound on connections and sizes, and a deadline that includes the body.

    :param source: what is asked.
    :param reactor: connects, and schedules.
    :param connections: at most so many requests are under way.
    :param timeout_s: seconds from the request to the end of its answer.
    :param body_bytes: the largest body of an answer.
    :param policy: whom TLS trusts; None for whom the system does.
    :param resolve: gives a name's addresses; blocks, and is called in a thread.
    """

    def __init__(
        self,
        source: SourceURL,
        reactor: Any,
        *,
        connections: int,
        timeout_s: float,
        body_bytes: int,
        policy: IPolicyForHTTPS | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self._reactor = reactor
        self._timeout_s = timeout_s
        self._body_bytes = body_bytes
        # treq knows no addresses of IPv6; where the source is, the connections know.
        self._url = b"%b://source%b" % (source.scheme.encode(), source.path)
        self._headers = Headers({b"Host": [source.authority]})
        self._turns = DeferredSemaphore(connections)
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = connections
        self._pool.cachedConnectionTimeout = IDLE_S
        self._wires = Wires(
            source, reactor, policy, timeout_s=timeout_s, body_bytes=body_bytes, resolve=resolve
        )
        agent = Agent.usingEndpointFactory(reactor, self._wires, self._pool)
        # Which class of jars treq wants depends on its version; any of them does.
        no_cookies: Any = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
        self._treq = HTTPClient(_AsItIs(agent), no_cookies)
        self._under_way: dict[Deferred[Answer], Deferred[Answer]] = {}
        self._closed = False

    def get(self, path: bytes) -> Deferred[Answer]:
        """Fetch; see :meth:`daemon.http.client.Client.get`."""
        check_path(path)
        if self._closed:
            return fail(ConnectionFailedError("the client is closed"))
        answer: Deferred[Answer] = Deferred(self._give_up)
        work = Deferred.fromCoroutine(self._fetch(path))
        self._under_way[answer] = work
        work.addTimeout(self._timeout_s, self._reactor, self._too_late)
        work.addBoth(self._finished, answer)
        return answer

    def close(self) -> Deferred[None]:
        """End all connections; see :meth:`daemon.http.client.Client.close`."""
        self._closed = True
        for answer in list(self._under_way):
            self._give_up(answer)
            answer.errback(Failure(ConnectionFailedError("the client is closed")))
        kept = self._pool.closeCachedConnections()
        gone = gatherResults([kept, self._wires.close()])
        return gone.addCallback(lambda _: None)

    def _give_up(self, answer: Deferred[Answer]) -> None:
        work = self._under_way.pop(answer, None)
        if work is not None:
            work.cancel()

    def _finished(self, result: Answer | Failure, answer: Deferred[Answer]) -> None:
        if self._under_way.pop(answer, None) is not None:
            answer.callback(result)

    def _too_late(self, _result: object, timeout_s: float) -> Failure:
        return Failure(DeadlineExceededError(f"no whole answer in {timeout_s:g} s"))

    async def _fetch(self, path: bytes) -> Answer:
        await self._turns.acquire()
        try:
            return await self._ask(path)
        except FetchError:
            raise
        except Exception as error:
            raise _fetch_error(error) from error
        finally:
            self._turns.release()

    async def _ask(self, path: bytes) -> Answer:
        response = await self._treq.get(
            self._url + path, headers=self._headers, allow_redirects=False, unbuffered=True
        )
        body = _Body(self._body_bytes)
        response.deliverBody(body)
        if isinstance(response.length, int) and response.length > self._body_bytes:
            body.refuse()
        content = await body.whole
        fields = {name.lower(): values[-1] for name, values in response.headers.getAllRawHeaders()}
        return Answer(response.code, fields, content)


class _Body(Protocol):
    """Takes the body of an answer.

    :param body_bytes: how large it may be.
    :ivar whole: fires with it.
    """

    transport: Any

    def __init__(self, body_bytes: int) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self.transport.loseConnection())
        self._body_bytes = body_bytes
        self._taken = bytearray()

    def dataReceived(self, data: bytes) -> None:
        """Take bytes."""
        self._taken += data
        if len(self._taken) > self._body_bytes:
            self.refuse()

    def refuse(self) -> None:
        """Read no more of it."""
        if not self.whole.called:
            why = f"a body of more than {self._body_bytes} bytes"
            self.whole.errback(Failure(AnswerTooLargeError(why)))
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Learn that the body has ended, one way or the other."""
        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(bytes(self._taken))
        else:
            self.whole.errback(reason)


@implementer(IAgent)
class _AsItIs:
    """Keeps treq from asking for content codings, and from undoing them unasked.

    :param agent: does the work.
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,  # noqa: N803  # Twisted's
    ) -> Deferred[IResponse]:
        """Send a request."""
        if headers is not None:
            headers.removeHeader(b"accept-encoding")
        sent: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
        return sent.addCallback(self._without_coding)

    def _without_coding(self, response: IResponse) -> IResponse:
        response.headers.removeHeader(b"content-encoding")
        return response


def _fetch_error(error: Exception) -> FetchError:
    """Say in our words why a request of treq's has failed."""
    cause: BaseException = error
    while reasons := getattr(cause, "reasons", None):
        cause = reasons[0].value
    if isinstance(cause, FetchError):
        return cause
    why = f"{type(cause).__name__}: {cause}"
    broken = isinstance(cause, (ConnectionClosed, OSError))
    if isinstance(error, ResponseFailed) and not isinstance(error, ResponseNeverReceived):
        return ConnectionFailedError(why) if broken else MalformedAnswerError(why)
    return ConnectionFailedError(why)
