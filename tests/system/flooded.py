"""A whole daemon without much patience, crowds that ask too much of it, and the bounds of that."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from daemon.http.connection import FLUSH_BYTES
from tests.system.callbacks import IMMEDIATE, body_of, object_source
from tests.system.conftest import Starter
from tests.system.floods import PIECE_BYTES, Crowd, Hostile
from tests.system.http_clients import TEXT, request
from tests.system.regulars import (
    ABOVE_INFO,
    Regulars,
    descriptors,
    memory_bytes,
    require_service_to_newcomers,
)
from tests.system.running import eventually
from tests.system.whole import WEB, Whole

LONG = os.environ.get("LONG_TESTS", "") not in {"", "0"}
TIMES = 10 if LONG else 1

CONNECTIONS = 60
"""What each HTTP service takes at once."""

CROWD = 10
"""How many do the same to one service: all kinds together stay under the limit."""

LAZY = 20 if LONG else 2
"""How many never read what one service answers. Until nobody takes any more, each has megabytes."""

PLACES = 5

HEADER_S = 1.0
IDLE_S = 2.5
SLACK_BYTES = 8 * 1024 * 1024
OBJECTS = 1_000
LARGEST_REPLY_BYTES = 128 * 1024
"""No reply that is asked for here is larger."""

EACH_BYTES = PIECE_BYTES + FLUSH_BYTES + 2 * LARGEST_REPLY_BYTES
"""What a connection may cost whose requests are read ahead, and whose replies are not read."""

TO_THE_SOURCE = 2
"""Connections to the source of objects that may be kept for half a minute, beside those before."""

LINES = 200
"""At most so many lines of the log for a flood of thousands of connections."""

MULTIPART = "multipart/form-data; boundary=x"

BODIES = {
    "timestamp": request("PUT", "/timestamp", content_type=TEXT, content_length="60"),
    "counter": request("PUT", "/", content_length="60"),
    "hash": request("POST", "/hash", content_type=MULTIPART, content_length="600")
    + b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n',
    "callback": request("POST", "/callback", transfer_encoding="chunked") + b"3c\r\n",
    "admin": request("GET", "/healthz", content_length="60"),
}
"""Heads of requests whose bodies will not be whole."""

LARGE = {
    "timestamp": "/timestamp",
    "counter": "/",
    "hash": "/stats",
    "callback": f"/objects?limit={OBJECTS}&after=1",
    "admin": "/metrics",
}
"""What each service has the most to say to."""


def flooded(start: Starter) -> Whole:
    """Start a daemon without much patience, with a page of objects."""
    source = start.port()
    object_source(start, *IMMEDIATE, port=source)
    whole = Whole(
        start,
        source,
        "hash.delay=0.02",
        "counter.window=36000",
        f"numbers.clients={PLACES}",
        *(
            f"{name}.{setting}"
            for name in WEB
            for setting in (
                f"max_connections={CONNECTIONS}",
                f"header_timeout={HEADER_S}",
                "body_timeout=1",
                f"idle_timeout={IDLE_S}",
            )
        ),
    )
    whole.live()
    ids = [2 * number for number in range(1, OBJECTS + 1)]
    assert whole.ask("callback", "POST", "/callback", body_of(ids)).status == 204
    eventually(lambda: whole.database.ids() >= set(ids))
    # What is made once is made now, so that what grows later grows because of a flood.
    with unread(whole) as crowd:
        crowd.push()
        require_service_to_newcomers(whole)
    require_service_to_newcomers(whole)
    return whole


@contextmanager
def unharmed(whole: Whole) -> Iterator[Whole]:
    """See that a daemon is afterwards as it was before."""
    held, memory, log = descriptors(whole), memory_bytes(whole), len(whole.daemon.stderr)
    yield whole
    eventually(lambda: descriptors(whole) <= held + TO_THE_SOURCE)
    require_service_to_newcomers(whole)
    logged = whole.daemon.stderr[log:]
    assert not ABOVE_INFO.search(logged), logged
    assert logged.count("\n") < LINES, logged[:2_000]
    assert memory_bytes(whole) <= memory + SLACK_BYTES


@contextmanager
def watched(whole: Whole, may_grow_bytes: int) -> Iterator[Regulars]:
    """Give regular clients, and see in the end that the daemon's memory stayed within bounds.

    :param may_grow_bytes: what the limits allow what is done meanwhile to cost.
    """
    before = memory_bytes(whole)
    with Regulars(whole) as regulars:
        regulars.require_service()
        yield regulars
        regulars.require_service()
        assert memory_bytes(whole) <= before + may_grow_bytes + SLACK_BYTES


def until(condition: Callable[[], bool], regulars: Regulars) -> None:
    """Wait for something, with everyone served meanwhile."""

    def is_so() -> bool:
        regulars.require_service()
        return condition()

    eventually(is_so)


def to_all(whole: Whole, count: int, what: Callable[[str], bytes], **options: bool) -> Crowd:
    """Connect clients to each HTTP service."""
    return Crowd(
        Hostile(whole.address(name), what(name), **options) for name in WEB for _ in range(count)
    )


def unread(whole: Whole) -> Crowd:
    """Ask all services for as much as they have, and read none of it."""
    return to_all(whole, LAZY, lambda name: request("GET", LARGE[name]) * 10_000, reads=False)
