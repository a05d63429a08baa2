"""``python -m daemon.timestamp [TIMESTAMP]``: the round trip, with both ends in one process."""

from __future__ import annotations

import sys
import time
from http import HTTPStatus
from typing import Any

import treq
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from daemon.http.limits import plain_text
from daemon.http.server import KleinFactory
from daemon.output import STDOUT, write
from daemon.timestamp.register import Register
from daemon.timestamp.web import MEDIA_TYPE, TimestampAPI
from daemon.tokens import Tokens
from daemon.waiters import Waiters

TIMEOUT_S = 10.0


class RoundTripError(Exception):
    """The timestamp did not come back."""


async def round_trip(reactor: Any, timestamp: str) -> str:
    """Start the service on a free port, store a timestamp, and read it back.

    :param reactor: runs both ends.
    :param timestamp: decimal seconds, as the service takes them.
    :returns: what was read back.
    :raises RoundTripError: the service refused it.
    """
    waiters = Waiters(reactor)
    register = Register("roundtrip", on_change=waiters.wake)
    api = TimestampAPI(register, register.write, waiters, reactor, tokens=Tokens(), max_wait_s=0)
    factory = KleinFactory(api.app, reactor, render_refusal=plain_text)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
    pool = HTTPConnectionPool(reactor, persistent=False)
    try:
        client = treq.client.HTTPClient(Agent(reactor, pool=pool, connectTimeout=TIMEOUT_S))
        url = f"http://127.0.0.1:{port.getHost().port}/timestamp"
        stored = await client.put(
            url,
            data=timestamp.encode("utf-8", "surrogateescape"),
            headers=Headers({b"Content-Type": [MEDIA_TYPE]}),
            timeout=TIMEOUT_S,
        )
        if stored.code != HTTPStatus.NO_CONTENT:
            raise RoundTripError((await treq.text_content(stored)).strip())
        read = await client.get(url, timeout=TIMEOUT_S)
        text = await treq.text_content(read)
        if read.code != HTTPStatus.OK:
            raise RoundTripError(text.strip())
        return str(text)
    finally:
        await port.stopListening()
        await factory.drain()


def main(arguments: list[str]) -> None:
    """Run the round trip and print what came back; ends the process.

    :param arguments: a timestamp, or nothing for now.
    """
    if len(arguments) > 1 or arguments[:1] in (["-h"], ["--help"]):
        sys.exit("usage: python -m daemon.timestamp [TIMESTAMP]")
    timestamp = arguments[0] if arguments else str(int(time.time()))

    async def run(reactor: Any) -> None:
        try:
            write(STDOUT, (await round_trip(reactor, timestamp)).encode() + b"\n")
        except Exception as error:
            sys.stderr.write(f"timestamp: {' '.join(str(error).split()) or type(error).__name__}\n")
            raise SystemExit(1) from error

    react(lambda reactor: Deferred.fromCoroutine(run(reactor)))


if __name__ == "__main__":
    main(sys.argv[1:])
