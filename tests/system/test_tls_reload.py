"""A certificate is replaced while the daemon serves."""

from __future__ import annotations

import shutil
import signal
import ssl
from pathlib import Path

import pytest

from tests.certificates import write_self_signed
from tests.system.conftest import Starter
from tests.system.http_clients import WebDaemon, serve, tcp
from tests.system.running import eventually


class Certificates:
    """Two certificates, one of which a daemon uses.

    :ivar live: the file that the daemon reads.
    """

    def __init__(self, folder: Path) -> None:
        self.live = folder / "live.pem"
        self.files = {name: write_self_signed(folder / name) for name in ("old", "new")}
        self.use("old")

    def use(self, name: str) -> None:
        """Put a certificate in place, as such tools do: by a rename."""
        staged = self.live.with_suffix(".staged")
        shutil.copy(self.files[name], staged)
        staged.rename(self.live)

    def trust(self, name: str) -> ssl.SSLContext:
        """Give what a client needs that trusts this certificate and no other."""
        return ssl.create_default_context(cafile=self.files[name])


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def daemon(start: Starter, certificates: Certificates) -> WebDaemon:
    """A daemon that speaks TLS."""
    live = certificates.live
    place = tcp(start.port(), kind="ssl", options=f":privateKey={live}:certKey={live}")
    return serve(start, "timestamp", place=place)


def reload(daemon: WebDaemon) -> None:
    """Have the files read anew."""
    before = daemon.stderr.count("SIGHUP: the log is open anew")
    daemon.signal(signal.SIGHUP)
    eventually(lambda: daemon.stderr.count("SIGHUP: the log is open anew") > before)


def trusts(daemon: WebDaemon, trust: ssl.SSLContext) -> bool:
    """Whether a new client that trusts this is served."""
    try:
        return daemon.connect(tls=trust).ask("GET", "/timestamp").status == 404
    except ssl.SSLCertVerificationError:
        return False


def test_new_clients_get_the_new_certificate_and_the_others_stay(
    daemon: WebDaemon, certificates: Certificates
):
    old, new = certificates.trust("old"), certificates.trust("new")
    client = daemon.connect(tls=old)
    assert client.ask("GET", "/timestamp").status == 404
    certificates.use("new")
    assert trusts(daemon, old)
    reload(daemon)
    assert trusts(daemon, new)
    assert not trusts(daemon, old)
    assert client.ask("GET", "/timestamp").status == 404
    assert daemon.stop() == 0


def test_a_broken_file_is_told_and_the_certificate_before_it_serves_on(
    daemon: WebDaemon, certificates: Certificates
):
    whole = certificates.live.read_text()
    for broken in (whole[: len(whole) // 2], "", None):
        if broken is None:
            certificates.live.unlink()
        else:
            certificates.live.write_text(broken)
        before = daemon.stderr.count("the certificates stay as they were: ssl:")
        reload(daemon)
        assert daemon.stderr.count("the certificates stay as they were: ssl:") == before + 1
        assert trusts(daemon, certificates.trust("old"))
    certificates.use("new")
    reload(daemon)
    assert trusts(daemon, certificates.trust("new"))
    assert "PRIVATE KEY" not in daemon.stderr
