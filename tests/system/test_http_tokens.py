"""Who may change something over HTTP: tokens, and the warning when there are none."""

from __future__ import annotations

import signal
from hashlib import sha256
from pathlib import Path

import pytest

from tests.system.conftest import Starter
from tests.system.http_clients import Reply, WebDaemon, flags, serve, tcp
from tests.system.running import eventually, run_tsdaemon

WARNING = "can be reached from other machines, and no tokens are asked for"


def digest(token: str) -> str:
    """Give the line of a tokens file for a token."""
    return sha256(token.encode()).hexdigest() + "\n"


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    """A file with one token: first."""
    path = tmp_path / "tokens"
    path.write_text("# of the tests\n" + digest("first"))
    return path


@pytest.fixture
def daemon(start: Starter, tokens_file: Path) -> WebDaemon:
    """A daemon that asks for tokens."""
    return serve(start, "timestamp", "--set", f"auth.tokens_file={tokens_file}")


def put(daemon: WebDaemon, token: str) -> Reply:
    """Write a timestamp with a token."""
    return daemon.put("1", authorization=f"Bearer {token}")


def reload(daemon: WebDaemon) -> None:
    """Have the tokens file read anew."""
    before = daemon.stderr.count("SIGHUP: the log is open anew")
    daemon.signal(signal.SIGHUP)
    eventually(lambda: daemon.stderr.count("SIGHUP: the log is open anew") > before)


def test_with_a_tokens_file_writing_needs_a_token_and_reading_none(daemon: WebDaemon):
    without = daemon.put("1")
    assert (without.status, without.fields["www-authenticate"]) == (401, "Bearer")
    assert without.fields["content-type"].startswith("text/plain")
    unknown = put(daemon, "second")
    assert unknown.status == 401
    assert "invalid_token" in unknown.fields["www-authenticate"]
    basic = daemon.put("1", authorization="Basic Zmlyc3Q6Zmlyc3Q=")
    assert basic.status == 401
    assert daemon.get().status == 404
    assert put(daemon, "first").status == 204
    assert daemon.get().status == 200
    assert "first" not in daemon.stderr


def test_sighup_takes_new_tokens_and_keeps_the_old_ones_when_the_file_is_broken(
    daemon: WebDaemon, tokens_file: Path
):
    client = daemon.connect()
    tokens_file.write_text(digest("second"))
    assert put(daemon, "first").status == 204
    reload(daemon)
    assert put(daemon, "first").status == 401
    assert put(daemon, "second").status == 204
    for broken in ("no digest\n", digest("third") + "x\n", None):
        if broken is None:
            tokens_file.unlink()
        else:
            tokens_file.write_text(broken)
        before = daemon.stderr.count("the tokens stay as they were")
        reload(daemon)
        assert daemon.stderr.count("the tokens stay as they were") == before + 1
        assert put(daemon, "second").status == 204
        assert put(daemon, "third").status == 401
    assert client.ask("GET", "/timestamp").status == 200


def test_without_a_readable_tokens_file_nothing_starts(start: Starter, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.write_text("no digest\n")
    for path in (tmp_path / "missing", broken):
        finished = run_tsdaemon(
            start.folder(),
            *flags("timestamp", tcp(start.port())),
            "--set",
            f"auth.tokens_file={path}",
        )
        assert finished.status == 2
        assert finished.stdout == ""
        assert finished.stderr.startswith("tsdaemon: ")
        assert finished.stderr.count("\n") == 1
        assert str(path) in finished.stderr


def test_who_can_be_reached_from_elsewhere_without_tokens_says_so(
    start: Starter, tokens_file: Path
):
    everywhere = tcp(start.port("0.0.0.0"))  # noqa: S104
    open_to_all = serve(start, "timestamp", place=everywhere, wait=False)
    guarded = serve(
        start,
        "timestamp",
        "--set",
        f"auth.tokens_file={tokens_file}",
        place=tcp(start.port("0.0.0.0")),  # noqa: S104
        wait=False,
    )
    local = serve(start, "timestamp", wait=False)
    assert WARNING in open_to_all.wait_until_ready().stderr
    assert WARNING not in guarded.wait_until_ready().stderr
    assert WARNING not in local.wait_until_ready().stderr
