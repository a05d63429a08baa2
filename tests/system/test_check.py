"""``--check``: the effective settings, and where they come from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.system.running import run_tsdaemon


def checked(folder: Path, *flags: str | Path, **options: Any) -> str:
    """Give what ``--check`` prints."""
    finished = run_tsdaemon(folder, "--check", *flags, **options)
    assert finished.stderr == ""
    assert finished.status == 0
    return finished.stdout


def test_check_prints_toml_that_config_accepts_again(tmp_path: Path):
    first = checked(tmp_path, "--set", 'numbers.log=a "quoted" \\ name', "--set", "state=/s")
    (tmp_path / "settings.toml").write_text(first)
    assert checked(tmp_path, "--config", "settings.toml") == first
    settings = tomllib.loads(first)
    assert settings["numbers"]["log"] == 'a "quoted" \\ name'
    assert settings["state"] == "/s"


def test_check_touches_nothing(tmp_path: Path):
    checked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path):
    (tmp_path / "settings.toml").write_text(
        'drain_timeout = 1\n[numbers]\nclients = 1\nreport_interval = 1\nlog = "file"\n'
    )
    settings = tomllib.loads(
        checked(
            tmp_path,
            "--config",
            "settings.toml",
            "--set",
            "numbers.clients=3",
            "--set",
            "numbers.clients=4",
            "--drain-timeout",
            "3",
            environment={
                "TSDAEMON_NUMBERS_CLIENTS": "2",
                "TSDAEMON_NUMBERS_REPORT_INTERVAL": "2",
                "TSDAEMON_DRAIN_TIMEOUT": "2",
            },
        )
    )
    assert settings["numbers"]["clients"] == 4
    assert settings["numbers"]["report_interval"] == 2
    assert settings["numbers"]["log"] == "file"
    assert settings["numbers"]["terminate_from"] == "loopback"
    assert settings["drain_timeout"] == 3


def test_the_file_may_be_named_by_the_environment(tmp_path: Path):
    (tmp_path / "settings.toml").write_text("[numbers]\nclients = 9\n")
    printed = checked(tmp_path, environment={"TSDAEMON_CONFIG": "settings.toml"})
    assert tomllib.loads(printed)["numbers"]["clients"] == 9


def test_systemds_state_directory_is_the_default_and_flags_win(tmp_path: Path):
    environment = {"STATE_DIRECTORY": "/var/lib/tsdaemon:/var/lib/more"}
    assert 'state = "/var/lib/tsdaemon"' in checked(tmp_path, environment=environment)
    assert 'state = "/s"' in checked(tmp_path, "--state", "/s", environment=environment)


DSN = "postgresql://u:secret@h/d?password=secret2&sslmode=require"


def test_check_prints_passwords_as_stars(tmp_path: Path):
    printed = checked(tmp_path, "--set", f"numbers.log={DSN}")
    assert "postgresql://u:***@h/d?password=***&sslmode=require" in printed
    assert "secret" not in printed


@pytest.mark.parametrize(
    "setting",
    [
        f"numbers.clients={DSN}",
        f"numbers.listen={DSN}",
        f"numbers.terminate_from={DSN}",
        f"{DSN}",
        f"log_format={DSN}",
    ],
)
def test_a_refusal_does_not_tell_passwords(tmp_path: Path, setting: str):
    finished = run_tsdaemon(tmp_path, "--set", setting)
    assert finished.status == 2
    assert "secret" not in finished.stderr
