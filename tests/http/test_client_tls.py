"""Sources behind TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.endpoints import serverFromString
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.web.client import BrowserLikePolicyForHTTPS

from daemon.http.client import (
    Client,
    ConnectionFailedError,
    DeadlineExceededError,
    client_for,
)
from daemon.http.client_treq import TreqClient
from daemon.http.source_url import parse_source_url
from tests.certificates import write_self_signed
from tests.http.sources import Script, Source, answer, eventually, failure_of, says, silent

pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate for localhost."""
    return write_self_signed(tmp_path_factory.mktemp("tls") / "both.pem")


def trusting(certificate: Path) -> BrowserLikePolicyForHTTPS:
    """Trust one certificate alone."""
    loaded = Certificate.loadPEM(certificate.read_bytes())
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates([loaded]))


@asynccontextmanager
async def secure(
    reactor: Any, certificate: Path, script: Script, *, timeout_s: float = 10.0
) -> AsyncIterator[tuple[Source, Client, str]]:
    """Serve over TLS; gives the source, a client that trusts it, and its URL."""
    source = Source(script)
    endpoint = f"ssl:0:interface=127.0.0.1:privateKey={certificate}"
    port = await serverFromString(reactor, endpoint).listen(source)
    url = f"https://localhost:{port.getHost().port}"
    trusted = trusting(certificate)
    client = TreqClient(
        parse_source_url(url),
        reactor,
        connections=2,
        timeout_s=timeout_s,
        body_bytes=1000,
        policy=trusted,
    )
    try:
        yield source, client, url
    finally:
        await client.close()
        await eventually(reactor, lambda: not source.open)
        await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_source_is_asked_over_one_connection_again_and_again(reactor, certificate):
    async with secure(reactor, certificate, says(answer(b"secret"))) as (source, client, _):
        for _ in range(3):
            assert (await client.get(b"/objects/1")).body == b"secret"
        assert source.made == 1


@pytest_twisted.ensureDeferred
async def test_one_that_the_system_does_not_trust_is_told_nothing(reactor, certificate):
    async with secure(reactor, certificate, says(answer(b"secret"))) as (source, _, url):
        client = client_for(url, reactor, connections=1, timeout_s=10, body_bytes=1000)
        assert isinstance(await failure_of(client.get(b"/objects/1")), ConnectionFailedError)
        assert source.asked == []
        await client.close()


@pytest_twisted.ensureDeferred
async def test_a_server_that_speaks_no_tls_is_a_failure(reactor):
    source = Source(silent)
    port = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(source)

    client = client_for(
        f"https://localhost:{port.getHost().port}",
        reactor,
        connections=1,
        timeout_s=10,
        body_bytes=1000,
    )
    get = client.get(b"/")
    await eventually(reactor, lambda: bool(source.open))
    for connection in source.open:
        connection.transport.write(answer(b"in the clear"))
    assert isinstance(await failure_of(get), ConnectionFailedError)
    await client.close()
    await port.stopListening()


@pytest_twisted.ensureDeferred
async def test_a_deadline_ends_the_connection_without_waiting_for_a_goodbye(reactor, certificate):
    async with secure(reactor, certificate, silent, timeout_s=0.3) as (source, client, _):
        assert isinstance(await failure_of(client.get(b"/")), DeadlineExceededError)
        await eventually(reactor, lambda: not source.open)
