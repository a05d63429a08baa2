"""Clients over TLS that take their time, or are gone: even with the handshake."""

from __future__ import annotations

import select
import ssl
from pathlib import Path

import pytest

from tests.certificates import write_self_signed
from tests.system.conftest import Starter
from tests.system.floods import Crowd, Hostile, may_vanish
from tests.system.http_clients import HTTPClient, Place, WebDaemon, request, serve, tcp
from tests.system.running import eventually

IDLE_S = 1
LARGE = request("GET", "/callbacks/rejected?limit=1000")
"""Asks for some megabytes."""


class Endpoint:
    """A daemon that speaks TLS, without patience.

    :ivar hello: the first thing that a client sends; long, so that it can take long.
    """

    def __init__(self, start: Starter, certificate: Path) -> None:
        options = f":privateKey={certificate}:certKey={certificate}"
        self._place: Place = tcp(start.port(), kind="ssl", options=options)
        self._trust = ssl.create_default_context(cafile=certificate)
        self.daemon: WebDaemon = serve(
            start,
            "callback",
            place=self._place,
            idle_timeout=IDLE_S,
            header_timeout=IDLE_S,
            body_timeout=IDLE_S,
        )
        self.hello = self._hello(certificate)

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port."""
        address = self._place.address
        assert not isinstance(address, str)
        return address

    @property
    def descriptors(self) -> int:
        """How many the daemon has."""
        return sum(1 for _ in Path(f"/proc/{self.daemon.pid}/fd").iterdir())

    def connect(self) -> HTTPClient:
        """Connect a client, the handshake included."""
        return HTTPClient(self.address, tls=self._trust)

    def require_service(self) -> None:
        """See that a client is served."""
        client = self.connect()
        assert client.ask("OPTIONS", "*").status == 204
        client.close()

    def _hello(self, certificate: Path) -> bytes:
        context = ssl.create_default_context(cafile=certificate)
        context.set_alpn_protocols([f"{number:0>200}" for number in range(20)])
        leaving = ssl.MemoryBIO()
        session = context.wrap_bio(ssl.MemoryBIO(), leaving, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        return leaving.read()


@pytest.fixture(scope="module")
def endpoint(module_start: Starter, tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    """A daemon that the tests here share, which has much to show."""
    certificate = write_self_signed(tmp_path_factory.mktemp("tls") / "localhost.pem")
    endpoint = Endpoint(module_start, certificate)
    client = endpoint.connect()
    for _ in range(16):
        assert client.ask("POST", "/callback", b"\1" * 60_000).status == 400
    client.close()
    return endpoint


def is_broken(client: HTTPClient) -> bool:
    """Whether the daemon has ended the connection, also if what it sent is not read."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(0))


def test_hundreds_of_handshakes_begun_and_left_are_let_go_and_hinder_nobody(endpoint: Endpoint):
    before = endpoint.descriptors
    hello = endpoint.hello
    stages = (b"", hello[:1], hello[:5], hello[:-1], hello)
    with Crowd(Hostile(endpoint.address, sent) for sent in stages for _ in range(60)) as crowd:

        def all_ended() -> bool:
            endpoint.require_service()
            return crowd.all_ended()

        eventually(all_ended)
    eventually(lambda: endpoint.descriptors <= before)


def test_a_handshake_that_trickles_has_no_more_time_than_a_client_that_is_silent(
    endpoint: Endpoint,
):
    slow = Hostile(endpoint.address, endpoint.hello)

    def ended() -> bool:
        slow.step(at_most=1)
        return slow.has_been_broken()

    eventually(ended)
    assert 0 < slow.sent < len(endpoint.hello)
    slow.close()
    endpoint.require_service()


@pytest.mark.skipif(not may_vanish(), reason="TCP_REPAIR takes CAP_NET_ADMIN, that is, mostly root")
def test_clients_over_tls_that_vanish_without_a_packet_are_let_go(endpoint: Endpoint):
    """In the handshake, idle, in the middle of a head or a body, and amid replies."""
    before = endpoint.descriptors
    begun = [Hostile(endpoint.address, endpoint.hello) for _ in range(5)]
    for member in begun:
        member.step()
    body = request("POST", "/callback", content_length="60")
    sent = (request("OPTIONS", "*"), LARGE[:-1], body + b"1", LARGE * 3)
    clients = [endpoint.connect().send(data) for data in sent for _ in range(5)]
    for client in clients[:5]:
        assert client.reply().status == 204
    for member in begun:
        member.vanish()
    for client in clients:
        client.vanish()

    def are_gone() -> bool:
        endpoint.require_service()
        return endpoint.descriptors <= before

    eventually(are_gone)


def test_who_reads_a_large_reply_byte_by_byte_over_tls_is_dropped(endpoint: Endpoint):
    before = endpoint.descriptors
    slow = endpoint.connect().with_small_buffer().send(LARGE * 3)

    def dropped() -> bool:
        endpoint.require_service()
        return not slow.read_some(1) or is_broken(slow)

    eventually(dropped)
    slow.close()
    eventually(lambda: endpoint.descriptors <= before)


def test_who_reads_a_large_reply_over_tls_gets_all_of_it(endpoint: Endpoint):
    client = endpoint.connect()
    reply = client.send(LARGE).reply()
    assert reply.status == 200
    assert len(reply.body) > 5_000_000
    client.close()
