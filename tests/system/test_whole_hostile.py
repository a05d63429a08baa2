"""Bytes of all kinds on every port of the whole daemon, which serves the others as before."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Sequence
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.system.callbacks import IMMEDIATE, object_source
from tests.system.clients import Client
from tests.system.conftest import Starter
from tests.system.http_clients import HTTPClient
from tests.system.regulars import (
    ABOVE_INFO,
    descriptors,
    memory_bytes,
    require_service_to_newcomers,
)
from tests.system.running import eventually
from tests.system.whole import SERVICES, WEB, Whole

EXAMPLES = 20_000 if os.environ.get("LONG_TESTS", "") not in {"", "0"} else 200
CONNECTIONS = 300
"""Before the memory is looked at, and again until it is looked at a second time."""

SLACK_BYTES = 4 * 1024 * 1024

PATHS = {
    "timestamp": "/timestamp",
    "counter": "/",
    "hash": "/hash",
    "callback": "/callback",
    "admin": "/healthz",
}
"""What each HTTP service has."""

STOPS = re.compile(rb"terminate|shutdown", re.IGNORECASE)
"""What stops the daemon, as it should."""

PIECES = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"PUT /timestamp HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n",
        b"POST /hash HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\n",
        b"POST /callback HTTP/1.1\r\nHost: a\r\n",
        b"GET /objects?after=",
        b"GET /hash/",
        b"GET /timestamp?wait=",
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b"HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"Content-Length: ",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: websocket\r\nConnection: upgrade\r\n",
        b"If-None-Match: ",
        b"Accept: */*;q=",
        b"--x\r\nContent-Disposition: form-data; name=password\r\n\r\n",
        b'{"object_ids":[',
        b"1700000000",
        b"password=",
        b"123456789\n",
        b"000000000",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"18446744073709551616",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PROXY TCP4 192.0.2.1 192.0.2.1 1 1\r\n",
        b"\x00" * 300,
        b"a" * 20_000,
    ]
)


def harmless(pieces: Sequence[bytes]) -> bool:
    """Whether nothing in it asks the daemon to stop."""
    return not STOPS.search(b"".join(pieces))


ATTACKS = st.lists(PIECES | st.binary(max_size=200), max_size=12).filter(harmless)


def attack(whole: Whole, name: str, pieces: Sequence[bytes], end: str) -> None:
    """Send pieces to a service, and end the connection; it has to be let go."""
    client = Client(whole.places[name].address)
    with closing(client):
        for piece in pieces:
            client.send_while_possible(piece)
        if end == "reset":
            client.reset()
        elif end == "finish":
            try:
                client.finish()
            except OSError:
                return
            client.until_end()


@pytest.fixture
def whole(start: Starter) -> Whole:
    """A daemon with all services, and a source."""
    source = start.port()
    object_source(start, *IMMEDIATE, port=source)
    whole = Whole(start, source, "hash.delay=0.1", "counter.window=36000")
    whole.live()
    return whole


def test_bytes_of_all_kinds_on_every_port_change_nothing_for_others(whole: Whole):
    """Those who were connected before are served, and so are those who come after."""
    require_service_to_newcomers(whole)
    before = {name: HTTPClient(whole.places[name].address) for name in WEB}

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.sampled_from(SERVICES), ATTACKS, st.sampled_from(["finish", "reset", "close"]))
    def one_by_one(name: str, pieces: Sequence[bytes], end: str) -> None:
        attack(whole, name, pieces, end)
        assert whole.daemon.is_running
        if name in WEB:
            assert before[name].ask("OPTIONS", PATHS[name]).status in {200, 204}

    one_by_one()
    for client in before.values():
        client.close()
    require_service_to_newcomers(whole)
    assert not ABOVE_INFO.search(whole.daemon.stderr), whole.daemon.stderr
    assert whole.daemon.stop() == 0


def test_bytes_of_all_kinds_leave_nothing_in_memory(whole: Whole):
    chance = random.Random(4000)  # noqa: S311

    def flood() -> None:
        for _ in range(CONNECTIONS):
            pieces = [chance.randbytes(chance.randint(0, 20_000))]
            attack(whole, chance.choice(SERVICES), pieces, chance.choice(["finish", "reset"]))

    flood()
    held, memory = descriptors(whole), memory_bytes(whole)
    flood()
    assert memory_bytes(whole) <= memory + SLACK_BYTES
    eventually(lambda: descriptors(whole) <= held)
    require_service_to_newcomers(whole)
