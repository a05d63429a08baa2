"""Nobody who is connected already is reset when a port closes."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.protocol import Factory, Protocol

from daemon import backlog


@pytest.fixture
def reactor() -> Any:
    """The real reactor."""
    from twisted.internet import reactor as installed

    return installed


class Met(Factory):
    """Notes who was accepted."""

    noisy = False

    def __init__(self) -> None:
        self.count = 0

    def buildProtocol(self, addr: Any) -> Protocol:  # noqa: ARG002
        self.count += 1
        return Protocol()


@pytest_twisted.ensureDeferred
async def test_all_who_wait_are_accepted_and_nobody_can_come_after_them(reactor):
    met = Met()
    port = reactor.listenTCP(0, met, interface="127.0.0.1", backlog=500)
    address = ("127.0.0.1", port.getHost().port)
    clients = [socket.create_connection(address) for _ in range(300)]
    assert met.count == 0
    backlog.take(port)
    assert met.count == 300
    with socket.socket() as late:
        late.setblocking(False)
        with pytest.raises(BlockingIOError):
            late.connect(address)
        assert late.connect_ex(address) != 0
    await port.stopListening()
    with socket.socket() as later, pytest.raises(ConnectionRefusedError):
        later.connect(address)
    for client in clients:
        client.close()


@pytest_twisted.ensureDeferred
async def test_a_unix_socket_too(reactor, tmp_path):
    met = Met()
    path = str(tmp_path / "socket")
    port = reactor.listenUNIX(path, met)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        backlog.take(port)
        assert met.count == 1
    await port.stopListening()


def test_what_is_no_port_of_twisteds_is_left_alone():
    backlog.take(None)
    backlog.take(object())
