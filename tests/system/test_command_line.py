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


WRONG = [
    # key, value as text, value in TOML, what the line says was wanted
    ("numbers.clients", "0", "0", "a whole number >= 1"),
    ("numbers.clients", "many", '"many"', "a whole number >= 1"),
    ("numbers.clients", "5.5", "5.5", "a whole number >= 1"),
    ("numbers.clients", "true", "true", "a whole number >= 1"),
    ("numbers.report_interval", "nan", "nan", "a number >= 0.1"),
    ("numbers.report_interval", "-1", "-1", "a number >= 0.1"),
    ("numbers.terminate_from", "nobody", '"nobody"', "anyone or loopback"),
    ("numbers.log", "", '""', "text, not empty"),
    ("numbers.listen", "nonsense:1", '"nonsense:1"', "a Twisted endpoint"),
    ("numbers.listen", "tcp:port", '"tcp:port"', "a Twisted endpoint"),
    ("numbers.listen", "tcp", '"tcp"', "a Twisted endpoint"),
    ("drain_timeout", "0", "0", "a number > 0"),
    ("log_format", "xml", '"xml"', "json or text"),
]
IDS = [f"{name}={text}" for name, text, _, _ in WRONG]


@pytest.mark.parametrize(("name", "text", "toml", "wanted"), WRONG, ids=IDS)
def test_a_wrong_value_is_refused_from_every_source(
    tmp_path: Path, name: str, text: str, toml: str, wanted: str
):
    file = tmp_path / "settings.toml"
    file.write_text(f"{name} = {toml}\n")
    variable = "TSDAEMON_" + name.replace(".", "_").upper()
    for line in (
        refusal(run_tsdaemon(tmp_path, "--config", file)),
        refusal(run_tsdaemon(tmp_path, environment={variable: text})),
        refusal(run_tsdaemon(tmp_path, "--set", f"{name}={text}")),
    ):
        assert name in line
        assert "got " in line
        assert text in line.lower()
        assert f"wanted {wanted}" in line


@pytest.mark.parametrize("port", [-1, 65536, 99999])
def test_a_port_that_cannot_be_is_refused_without_a_traceback(tmp_path: Path, port: int):
    finished = run_tsdaemon(tmp_path, "--set", f"numbers.listen=tcp:{port}")
    assert finished.status != 0
    assert "Traceback" not in finished.stderr
    assert str(port) in finished.last_error


@pytest.mark.parametrize(
    ("flags", "environment", "file", "named"),
    [
        (["--set", "numbers.client=5"], {}, "", "numbers.client"),
        (["--set", "colour=blue"], {}, "", "colour"),
        (["--set", "nombers.clients=5"], {}, "", "nombers"),
        (["--set", "numbers.clients"], {}, "", "numbers.clients"),
        (["--set"], {}, "", "--set"),
        (["--frobnicate"], {}, "", "--frobnicate"),
        (["--only", "numbers,hush"], {}, "", "'hush'"),
        (["--without", "hush"], {}, "", "'hush'"),
        (["--without", "numbers", "--only", "numbers"], {}, "", "no service"),
        (["numbers"], {}, "", "'numbers'"),
        (["--log-format", "xml"], {}, "", "--log-format"),
        (["--drain-timeout", "soon"], {}, "", "--drain-timeout"),
        (["--config", "missing.toml"], {}, "", "missing.toml"),
        (["--config", "."], {}, "", "cannot read ."),
        ([], {"TSDAEMON_NUMBERS_CLIENT": "5"}, "", "TSDAEMON_NUMBERS_CLIENT"),
        ([], {"TSDAEMON_NOMBERS_CLIENTS": "5"}, "", "TSDAEMON_NOMBERS_CLIENTS"),
        ([], {"TSDAEMON_ONLY": "hush"}, "", "'hush'"),
        ([], {"TSDAEMON_CONFIG": "missing.toml"}, "", "missing.toml"),
        ([], {}, "[numbers]\nclient = 5\n", "numbers.client"),
        ([], {}, "[nombers]\nclients = 5\n", "nombers"),
        ([], {}, "numbers = 5\n", "numbers"),
        ([], {}, "colour = 5\n", "colour"),
        ([], {}, "[numbers\nclients = 5\n", "settings.toml is not TOML"),
        ([], {}, "[numbers]\nlog = '\udcff'\n", "settings.toml is not UTF-8"),
    ],
)
def test_what_is_unknown_or_unreadable_is_refused(
    tmp_path: Path, flags: list[str], environment: dict[str, str], file: str, named: str
):
    if file:
        path = tmp_path / "settings.toml"
        path.write_text(file, errors="surrogateescape")
        flags = ["--config", "settings.toml"]
    assert named in refusal(run_tsdaemon(tmp_path, *flags, environment=environment))


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
