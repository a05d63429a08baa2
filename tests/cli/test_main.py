"""What every command does alike: help, mistakes, ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemon import __version__
from daemon.cli import status
from daemon.cli.main import main

TIMEOUT_S = 30


def ends_with(arguments: list[str]) -> int:
    """Run a command that argparse itself ends."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(["--version"]) == 0
    assert capsys.readouterr().out == f"tsdaemon {__version__}\n"


def test_help_shows_examples_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for example in (
        "  tsdaemon check --config /etc/tsdaemon.toml",
        "  seq -f %09.0f 0 999999 | tsdaemon numbers send -",
        "  tsdaemon hash wait $(tsdaemon hash submit)",
    ):
        assert example in lines


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["frobnicate"],
        ["numbers"],
        ["hash"],
        ["status", "--frobnicate"],
        ["status", "surplus"],
        ["numbers", "send"],
        ["numbers", "send", "x", "--connections", "0"],
        ["numbers", "send", "x", "--connections", "1.5"],
        ["numbers", "send", "x", "--connections", "1001"],
        ["numbers", "send", "x", "--rate", "0"],
        ["numbers", "send", "x", "--rate", "nan"],
        ["numbers", "send", "x", "--timeout", "-1"],
        ["hash", "wait"],
        ["hash", "wait", "first"],
        ["hash", "wait", "0"],
        ["hash", "submit", "angryMonkey"],
        ["hash", "submit", "--password", "angryMonkey"],
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert ends_with(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("tsdaemon")
    assert "--help" in err


def test_check_prints_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert main(["check", "--set", "numbers.clients=3"]) == 0
    assert "\nclients = 3\n" in capsys.readouterr().out


def test_check_refuses_what_the_daemon_would(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--set", "numbers.clients=0"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tsdaemon: numbers.clients: got '0'")


def test_check_has_the_help_of_the_daemon(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--help"]) == 0
    assert "--drain-timeout SECONDS" in capsys.readouterr().out


def test_ctrl_c_is_quiet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(status, "tell_status", interrupted)
    assert main(["status"]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("arguments", [["check"], ["--help"], ["timestamp", "5"]])
def test_a_reader_who_leaves_is_no_error_to_tell(tmp_path: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        finished = subprocess.run(
            [sys.executable, "-m", "daemon.cli", *arguments],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
            check=False,
        )
    assert b"Traceback" not in finished.stderr
    assert finished.stderr.count(b"\n") == (arguments[0] == "timestamp")
    assert finished.returncode == {"check": 141, "--help": 0, "timestamp": 1}[arguments[0]]
