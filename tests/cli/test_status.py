"""``tsdaemon status``: what is printed of what the admin service tells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daemon.cli.main import main
from daemon.cli.status import duration
from tests.cli.servers import answering, reply, serving

WELL: dict[str, Any] = {
    "version": "1.2.3",
    "state": "running",
    "ready": True,
    "uptime_seconds": 3 * 3600 + 5 * 60 + 7,
    "process": {"resident_bytes": 63 * 1024 * 1024},
    "services": {
        "callback": {
            "state": "degraded",
            "ok": True,
            "degraded": True,
            "why": "the database is down",
            "since": "2026-11-26T14:28:41.041Z",
        },
        "hash": {"state": "ready", "why": None, "since": "2026-11-26T14:00:00Z"},
    },
}


def tell(document: object, *flags: str, ready: bool = True, status: str = "200 OK") -> int:
    """Run the command against a server that tells this."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    readyz = reply("200 OK" if ready else "503 Service Unavailable", b"{}")
    with serving(answering(readyz, reply(status, body)), clients=2) as port:
        return main(["status", "--url", f"http://127.0.0.1:{port}", *flags])


def test_a_table_has_a_line_for_each_service(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(WELL) == 0
    summary, *table = capsys.readouterr().out.splitlines()
    assert summary.startswith("tsdaemon 1.2.3 at http://127.0.0.1:")
    assert summary.endswith(" is ready, up 3 h 5 min, 63 MiB")
    assert table == [
        "SERVICE   STATE     SINCE (UTC)          WHY",
        "callback  degraded  2026-11-26 14:28:41  the database is down",
        "hash      ready     2026-11-26 14:00:00",
    ]


def test_a_daemon_that_is_not_ready_is_exit_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    draining = WELL | {"state": "draining", "ready": False}
    assert tell(draining, ready=False) == 1
    assert " is not ready (draining), up" in capsys.readouterr().out


def test_json_is_what_the_daemon_tells(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(WELL, "--json") == 0
    assert json.loads(capsys.readouterr().out) == WELL


def test_it_is_ready_only_if_both_answers_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(WELL, "--json", ready=False) == 1
    assert json.loads(capsys.readouterr().out)["ready"] is False


def test_nothing_that_is_told_reaches_the_terminal_as_a_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evil = "\x1b[2J\r\nfake"
    services = {evil: {"state": evil, "since": evil, "why": evil}}
    assert tell({"version": evil, "ready": True, "services": services}) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\r" not in out
    assert len(out.splitlines()) == 3


@pytest.mark.parametrize(
    "document",
    [b"", b"ok", b"[]", b"null", b'{"services": []}', b'{"services": {"a": 1}}', b"[" * 100_000],
)
def test_another_server_is_told(capsys: pytest.CaptureFixture[str], document: bytes) -> None:
    assert tell(document) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "admin service does not listen there" in err
    assert err.count("\n") == 1


def test_an_error_is_no_status() -> None:
    assert tell(WELL, status="500 Internal Server Error") == 2


def test_a_server_without_readyz_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(answering(reply("404 Not Found"))) as port:
        assert main(["status", "--url", f"http://127.0.0.1:{port}"]) == 2
    assert "/readyz is answered 404" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h 0 min"),
        (90_061, "1 d 1 h"),
        (-5, "0 s"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
