"""The certificate of an endpoint, and what becomes of it when its files change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from zope.interface.verify import verifyObject

from daemon.health import Health
from daemon.plugin import Host, ReloadError
from daemon.state import StateFolder
from daemon.tls import Certificate, CertificateError, is_tls
from tests.certificates import write_self_signed

# Twisted hands pyOpenSSL what that no longer likes.
pytestmark = pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A file with a key and its certificate, and others beside it."""
    for name in ("a.pem", "b.pem"):
        write_self_signed(tmp_path / name)
    shutil.copy(tmp_path / "a.pem", tmp_path / "live.pem")
    return tmp_path


@pytest.fixture
def endpoint(files: Path) -> str:
    return f"ssl:port=8443:privateKey={files}/live.pem:interface=127.0.0.1"


def serial_of(context: SSL.Context) -> int:
    """Give the serial number of the certificate that a client would see."""
    server, client = SSL.Connection(context), SSL.Connection(SSL.Context(SSL.TLS_METHOD))
    server.set_accept_state()
    client.set_connect_state()
    client.set_tlsext_host_name(b"localhost")
    for _ in range(4):
        for here, there in ((client, server), (server, client)):
            with suppress(SSL.WantReadError):
                here.do_handshake()
            with suppress(SSL.WantReadError):
                there.bio_write(here.bio_read(65_536))
    certificate = client.get_peer_certificate()
    assert certificate is not None
    return certificate.get_serial_number()


def test_new_files_are_for_new_connections(files, endpoint):
    certificate = Certificate(endpoint)
    verifyObject(IOpenSSLContextFactory, certificate)
    before = certificate.getContext()
    first = serial_of(before)
    shutil.copy(files / "b.pem", files / "live.pem")
    assert serial_of(certificate.getContext()) == first
    certificate.reload()
    assert serial_of(certificate.getContext()) != first
    assert serial_of(before) == first


UNREADABLE = "OpenSSL cannot read a key or a certificate ("


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("no key", UNREADABLE),
        ("garbage", UNREADABLE),
        ("empty", UNREADABLE),
        ("other key", "Certificate public and private keys do not match"),
        ("gone", "[Errno 2] No such file or directory"),
        ("a folder", "[Errno 21] Is a directory"),
    ],
)
def test_files_that_cannot_be_used_change_nothing(files, broken, why):
    live, public = files / "live.pem", files / "public.pem"
    text = live.read_text()
    public.write_text(text[text.index("-----BEGIN CERTIFICATE") :])
    endpoint = f"ssl:8443:privateKey={live}:certKey={public}"
    certificate = Certificate(endpoint)
    first = serial_of(certificate.getContext())
    live.unlink()
    match broken:
        case "no key":
            shutil.copy(public, live)
        case "other key":
            shutil.copy(files / "b.pem", live)
        case "garbage":
            live.write_bytes(b"\xff\x00" * 100)
        case "empty":
            live.touch()
        case "a folder":
            live.mkdir()
    with pytest.raises(CertificateError) as raised:
        certificate.reload()
    said = str(raised.value)
    assert said.startswith(f"{endpoint}: {why}")
    assert "\n" not in said
    assert "PRIVATE" not in said
    assert serial_of(certificate.getContext()) == first


@pytest.mark.parametrize("around", ["", "haproxy:"])
def test_it_listens_where_the_endpoint_says_with_the_certificate_of_the_moment(endpoint, around):
    reactor = MemoryReactor()
    certificate = Certificate(around + endpoint)
    certificate.listen_on(reactor).listen(Factory())
    ((port, _, context, _, interface),) = reactor.sslServers
    assert (port, interface) == (8443, "127.0.0.1")
    assert context is certificate


def test_a_service_s_certificate_is_read_anew_when_its_host_says_so(files, endpoint, tmp_path):
    reloads: dict[str, Callable[[], None]] = {}
    host = Host(
        MemoryReactor(),
        StateFolder(tmp_path),
        Health("tea"),
        print,
        on_reload=reloads.__setitem__,
    )
    host.listen(endpoint, Factory())
    host.listen("tcp:8080", Factory())
    (reload,) = reloads.values()
    reload()
    (files / "live.pem").unlink()
    with pytest.raises(ReloadError, match=r"live\.pem"):
        reload()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ssl:8443", True),
        ("haproxy:ssl:port=1", True),
        ("tcp:80:interface=ssl", False),
        ("tls:/etc/certificates:port=1", False),
        ("unix:/run/ssl", False),
    ],
)
def test_endpoints_with_files_of_their_own_are_known(text, expected):
    assert is_tls(text) is expected
