"""The command line and the settings: a mistake is one line and exit status 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.running import Finished, run_tsdaemon, run_twistd


def refusal(finished: Finished) -> str:
    """Give the one line on stderr that says why the daemon did not start."""
    assert finished.status == 2
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("tsdaemon: ")
    return line


def test_a_wrong_value_is_refused_from_every_source(tmp_path: Path):
    file = tmp_path / "settings.toml"
    file.write_text("numbers.clients = 0\n")
    for line in (
        refusal(run_tsdaemon(tmp_path, "--config", file)),
        refusal(run_tsdaemon(tmp_path, environment={"TSDAEMON_NUMBERS_CLIENTS": "0"})),
        refusal(run_tsdaemon(tmp_path, "--set", "numbers.clients=0")),
    ):
        assert line.startswith("tsdaemon: numbers.clients: got ")
        assert ", wanted a whole number >= 1" in line


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be_is_refused_without_a_traceback(tmp_path: Path, port: int):
    finished = run_tsdaemon(tmp_path, "--set", f"numbers.listen=tcp:{port}")
    assert finished.status != 0
    assert "Traceback" not in finished.stderr
    assert str(port) in finished.last_error


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path):
    (tmp_path / "settings.toml").write_bytes(b"[numbers]\nlog = '\xff'\n")
    line = refusal(run_tsdaemon(tmp_path, "--config", "settings.toml"))
    assert "settings.toml is not UTF-8" in line


def test_a_refused_start_leaves_no_file(tmp_path: Path):
    refusal(run_tsdaemon(tmp_path, "--set", "numbers.clients=0"))
    assert list(tmp_path.iterdir()) == []


def test_help_shows_the_examples_as_they_are_typed(tmp_path: Path):
    finished = run_tsdaemon(tmp_path, "--help")
    assert finished.status == 0
    assert finished.stderr == ""
    for line in (
        "  twistd -n tsdaemon",
        "  twistd -n tsdaemon --only numbers --set numbers.log=/var/lib/numbers.log",
        "  twistd -n tsdaemon --config /etc/tsdaemon.toml --log-format json",
        "  TSDAEMON_NUMBERS_CLIENTS=3 twistd -n tsdaemon --check",
    ):
        assert line in finished.stdout.splitlines()
    assert "\n  numbers " in finished.stdout


def test_version_is_printed(tmp_path: Path):
    finished = run_tsdaemon(tmp_path, "--version")
    assert finished.status == 0
    assert finished.stderr == ""
    assert finished.stdout.startswith("tsdaemon ")


def test_twistd_lists_the_daemon(tmp_path: Path):
    finished = run_twistd(tmp_path, "--help")
    assert finished.status == 0
    assert "\n    tsdaemon " in finished.stdout
