"""One client process: makes lookups, a number of them at a time; prints seconds and CPU seconds.

``pool`` is the project's client; ``treq`` is treq as it comes, with a pool of connections that
keeps as many as there are lookups in flight.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from benchmarks.reference.immediate_source import BODY
from daemon.http.client import client_for

TIMEOUT_S = 10.0
BODY_BYTES = 65536

Lookup = Callable[[bytes], Deferred[bytes]]


def pool_lookup(reactor: Any, url: str, flying: int) -> Lookup:
    """Give a lookup by the project's client."""
    client = client_for(
        url, reactor, connections=flying, timeout_s=TIMEOUT_S, body_bytes=BODY_BYTES
    )
    return lambda path: client.get(path).addCallback(lambda answer: answer.body)


def treq_lookup(reactor: Any, url: str, flying: int) -> Lookup:
    """Give a lookup by treq."""
    import treq
    from treq.client import HTTPClient
    from twisted.web.client import Agent, HTTPConnectionPool

    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = flying
    client = HTTPClient(Agent(reactor, pool=pool))
    base = url.encode()
    return lambda path: client.get(base + path, timeout=TIMEOUT_S).addCallback(treq.content)


CLIENTS = {"pool": pool_lookup, "treq": treq_lookup}


class Run:
    """Looks one object after another up, in a number of chains."""

    def __init__(self, lookup: Lookup, lookups: int) -> None:
        self._lookup = lookup
        self._left = lookups

    def chain(self) -> Deferred[None]:
        """Look objects up until none is left; fires then."""
        done: Deferred[None] = Deferred()
        self._next(done)
        return done

    def _next(self, done: Deferred[None]) -> None:
        if self._left <= 0:
            done.callback(None)
            return
        self._left -= 1
        lookup = self._lookup(b"/objects/%d" % self._left)
        lookup.addCallback(self._found, done).addErrback(done.errback)

    def _found(self, body: bytes, done: Deferred[None]) -> None:
        if body != BODY:
            raise ValueError(f"answered {body!r}")
        self._next(done)


async def measure(reactor: Any, options: argparse.Namespace) -> None:
    """Run, and print what it took."""
    lookup = CLIENTS[options.client](reactor, options.url, options.in_flight)
    warm_up = Run(lookup, 2 * options.in_flight)
    await gatherResults([warm_up.chain() for _ in range(options.in_flight)], consumeErrors=True)
    run = Run(lookup, options.lookups)
    started, cpu = time.perf_counter(), time.process_time()
    await gatherResults([run.chain() for _ in range(options.in_flight)], consumeErrors=True)
    print(f"{time.perf_counter() - started:.6f} {time.process_time() - cpu:.6f}")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lookup_client")
    parser.add_argument("client", choices=list(CLIENTS))
    parser.add_argument("--url", required=True)
    parser.add_argument("--lookups", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    options = parser.parse_args()

    def run(reactor: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(measure(reactor, options))

    react(run)


if __name__ == "__main__":
    main()
