"""The callback service stops and starts again: nothing is lost on the way."""

from __future__ import annotations

import itertools
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.callbacks import (
    IMMEDIATE,
    LONG_S,
    Sender,
    even,
    object_source,
    online,
    post,
    receiver,
    url_of,
)
from tests.system.conftest import Starter
from tests.system.http_clients import Place, WebDaemon, flags, tcp
from tests.system.running import TWISTD, ReservedPort, eventually

IDS = range(500)


@pytest.fixture(scope="module")
def source_port(module_start: Starter) -> ReservedPort:
    """The port of a source whose even objects are online."""
    port = module_start.port()
    object_source(module_start, *IMMEDIATE, port=port)
    return port


def test_lookups_under_way_when_it_stops_are_done_after_the_next_start(
    start: Starter, source_port: ReservedPort
):
    place, folder, slow_port = tcp(start.port()), start.folder(), start.port()
    slow = object_source(start, "--min-delay", "3600", "--max-delay", "3600", port=slow_port)
    daemon = receiver(start, place, folder, slow_port)
    for first in range(0, 500, 50):
        assert post(daemon, IDS[first : first + 50]) == 204
    assert daemon.stop() == 0
    slow.kill()
    daemon = receiver(start, place, folder, source_port)
    eventually(lambda: online(daemon) == even(IDS))
    assert daemon.stop() == 0


def test_what_is_done_when_it_stops_is_not_done_again(start: Starter):
    source_port, place, folder = start.port(), tcp(start.port()), start.folder()
    source = object_source(start, *IMMEDIATE, port=source_port)
    daemon = receiver(start, place, folder, source_port)
    assert post(daemon, IDS) == 204
    eventually(lambda: online(daemon) == even(IDS))
    assert daemon.stop() == 0
    daemon = receiver(start, place, folder, source_port)
    assert online(daemon) == even(IDS)
    assert daemon.stop() == 0
    assert source.stop() == 0
    assert "of objects: 250 offline, 250 online;" in source.stderr


LAUNCH = """
import os, sys
descriptor = int(sys.argv[1])
os.dup2(descriptor, 3)
if descriptor != 3:
    os.close(descriptor)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="callback", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What systemd does when a service with a socket starts."""


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket that outlives the daemons to which it is passed."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        yield listening


def activated(
    start: Starter, listening: socket.socket, folder: Path, source: ReservedPort
) -> WebDaemon:
    """Start a daemon that is given its socket."""
    place = Place("systemd:domain=INET:index=0", listening.getsockname())
    settings = flags("callback", place, source=url_of(source), lifespan=LONG_S)
    daemon = WebDaemon(
        folder,
        ["-n", "--pidfile=", "tsdaemon", *settings],
        place.address,
        command=[sys.executable, "-c", LAUNCH, str(listening.fileno()), TWISTD],
        descriptors=[listening.fileno()],
    )
    start.adopt(daemon)
    return daemon.wait_until_ready()


def test_over_restarts_with_a_socket_of_systemd_no_callback_is_refused_or_lost(
    start: Starter, listening: socket.socket, source_port: ReservedPort
):
    """Senders wait a second at most; also those that gave up have been heard."""
    folder = start.folder()
    daemon = activated(start, listening, folder, source_port)
    serials = itertools.count(1)
    address = listening.getsockname()
    with ExitStack() as stack:
        senders = [stack.enter_context(Sender(address, serials, keep=False)) for _ in range(4)]
        for _ in range(2):
            before = len(senders[0].answered)
            eventually(lambda: len(senders[0].answered) > before + 50)  # noqa: B023
            assert daemon.stop() == 0
            daemon = activated(start, listening, folder, source_port)
        before = len(senders[0].answered)
        eventually(lambda: len(senders[0].answered) > before + 50)
    sent = even(set().union(*(sender.sent for sender in senders)))
    eventually(lambda: online(daemon) == sent)
    assert [status for sender in senders for status in sender.wrong] == []
    assert sum(sender.refused for sender in senders) == 0
