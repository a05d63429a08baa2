"""An HTTP/1.1 client for one source that is asked for many small things.

::

    client = client_for(
        "http://localhost:9010", reactor, connections=256, timeout_s=10, body_bytes=65536
    )
    answer = await client.get(b"/objects/7")

docs/http-client.rst says what it does and what it does not.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred

from daemon.http.answer import (
    Answer,
    AnswerTooLargeError,
    ConnectionFailedError,
    DeadlineExceededError,
    FetchError,
    MalformedAnswerError,
)
from daemon.http.client_endpoint import SourceEndpoint
from daemon.http.client_pool import PooledClient
from daemon.http.client_treq import TreqClient
from daemon.http.source_url import parse_source_url
from daemon.resolving import Resolve, resolve

__all__ = [
    "Answer",
    "AnswerTooLargeError",
    "Client",
    "ConnectionFailedError",
    "DeadlineExceededError",
    "FetchError",
    "MalformedAnswerError",
    "client_for",
]


class Client(Protocol):
    """Fetches from one source."""

    def get(self, path: bytes) -> Deferred[Answer]:
        """Fetch.

        :param path: appended to the source's URL; begins with ``/``.
        :returns: fires with the answer, whatever its status; fails with a :class:`FetchError`
            only. Cancelling gives the request up.
        :raises ValueError: this can be no path.
        """

    def close(self) -> Deferred[None]:
        """End all connections, and fail what is under way.

        :returns: fires when all of them are gone.
        """


def client_for(
    url: str,
    reactor: Any,
    *,
    connections: int,
    timeout_s: float,
    body_bytes: int,
    resolve: Resolve = resolve,
) -> Client:
    """Give a client for a source.

    :param url: where it is; ``http`` or ``https``.
    :param connections: at most so many at a time; requests beyond wait for their turn.
    :param timeout_s: seconds from :meth:`Client.get` to the end of the answer.
    :param body_bytes: the largest body of an answer.
    :param resolve: gives a name's addresses; blocks, and is called in a thread.
    :raises ValueError: the URL cannot be used; the message is one line.
    """
    source = parse_source_url(url)
    if source.scheme == "https":
        return TreqClient(
            source,
            reactor,
            connections=connections,
            timeout_s=timeout_s,
            body_bytes=body_bytes,
            resolve=resolve,
        )
    return PooledClient(
        source,
        SourceEndpoint(reactor, source.host, source.port, timeout_s=timeout_s, resolve=resolve),
        reactor,
        connections=connections,
        timeout_s=timeout_s,
        body_bytes=body_bytes,
    )
