"""A wheel of the project, a wheel of the example plugin, and the two installed together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from daemon import __version__
from tests.packaging.environments import (
    PINS,
    Environment,
    build,
    clean_environment,
    copy_checkout,
)
from tests.system.running import TIMEOUT_S, ReservedPort, eventually

EXAMPLE = Path("docs", "examples", "tsdaemon-echo")

needs_network = pytest.mark.skipif(
    os.environ.get("NO_NETWORK", "") not in {"", "0"},
    reason="NO_NETWORK is set: pip cannot fetch what the daemon depends on",
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout in which the program was run before."""
    copy = copy_checkout(tmp_path_factory.mktemp("copy") / "checkout")
    for left_behind in ("twisted/plugins/dropin.cache", "daemon/__pycache__/tap.cpython-311.pyc"):
        path = copy / left_behind
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"left behind")
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel, beside its sdist."""
    return build(checkout, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def echo_wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example plugin's wheel."""
    return build(checkout / EXAMPLE, tmp_path_factory.mktemp("echo-dist"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the project's wheel, and what that depends on."""
    environment = Environment(tmp_path_factory.mktemp("wheel") / "venv")
    environment.install(wheel)
    return environment


@pytest.fixture(scope="module")
def editable(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with an editable install, made as the Makefile makes it."""
    environment = Environment(tmp_path_factory.mktemp("editable") / "venv")
    environment.install("--requirement", PINS)
    environment.install("--no-deps", "--no-build-isolation", "--editable", checkout)
    return environment


@pytest.fixture
def with_echo(environment: Environment, echo_wheel: Path) -> Iterator[Environment]:
    """The environment with the wheel, and the example plugin installed too."""
    with environment.with_installed(echo_wheel):
        yield environment


def test_the_wheel_holds_the_daemon_and_its_door_and_nothing_else(
    checkout: Path, wheel: Path
) -> None:
    with ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith("tsdaemon-")}
    modules = {str(path.relative_to(checkout)) for path in checkout.glob("daemon/**/*.py")}

    assert "twisted/plugins/tsdaemon_plugin.py" in names
    assert modules <= names
    beside = {
        path
        for kind in ("html", "css", "js", "svg", "json")
        for path in checkout.glob(f"daemon/**/*.{kind}")
    }
    assert {"page.html", "page.css", "page.js", "openapi.json"} <= {path.name for path in beside}
    assert {str(path.relative_to(checkout)) for path in beside} <= names
    # Either of these would hide the plugin, or Twisted itself.
    assert "twisted/__init__.py" not in names
    assert "twisted/plugins/__init__.py" not in names
    assert [name for name in names if name.endswith(("dropin.cache", ".pyc"))] == []
    assert {name.partition("/")[0] for name in names} == {"daemon", "twisted"}


def test_the_wheel_holds_every_file_that_the_program_reads(checkout: Path, wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (scripts,) = [name for name in names if name.endswith("/entry_points.txt")]
        assert "tsdaemon = daemon.cli.main:main" in archive.read(scripts).decode().splitlines()
    data = {
        str(path.relative_to(checkout))
        for path in (checkout / "daemon").rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert {Path(name).suffix for name in data} >= {
        ".sql",
        ".html",
        ".css",
        ".js",
        ".json",
        ".typed",
    }
    assert data <= names


def test_the_wheel_brings_what_an_operator_installs(checkout: Path, wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        shared = {
            name.partition(".data/data/")[2]: archive.read(name)
            for name in archive.namelist()
            if ".data/data/" in name
        }
    for kept, name in {
        "etc/completion/tsdaemon.bash": "share/bash-completion/completions/tsdaemon",
        "etc/completion/_tsdaemon": "share/zsh/site-functions/_tsdaemon",
        "etc/completion/tsdaemon.fish": "share/fish/vendor_completions.d/tsdaemon.fish",
        "etc/prometheus/tsdaemon.rules.yml": "share/tsdaemon/tsdaemon.rules.yml",
        "etc/tsdaemon.toml": "share/tsdaemon/tsdaemon.toml",
        "etc/systemd/tsdaemon.service": "share/tsdaemon/systemd/tsdaemon.service",
    }.items():
        assert shared[name] == (checkout / kept).read_bytes()


def test_the_sdist_holds_every_file_that_a_clone_has(checkout: Path, wheel: Path) -> None:
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("daemon", "docs", "etc", "requirements", "tests", "twisted", "benchmarks")
    for folder in folders:
        kept = {
            str(path.relative_to(checkout))
            for path in (checkout / folder).rglob("*")
            if path.is_file()
            and path.suffix != ".pyc"
            and path.name not in {"dropin.cache", "numbers.log"}
            and "docs/_build" not in str(path)
        }
        assert kept - names == set()
    assert [name for name in names if name.startswith("docs/_build")] == []
    assert {"README.rst", "CHANGELOG.rst", "LICENSE", "tsdaemon.tac", ".ci/run"} <= names


def test_the_sdist_holds_the_tests_and_nothing_that_a_run_left_behind(wheel: Path) -> None:
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {
        "Makefile",
        "pyproject.toml",
        "requirements/run.txt",
        "tests/packaging/test_wheel.py",
        "twisted/plugins/tsdaemon_plugin.py",
    } <= names
    assert [name for name in names if name.endswith(("dropin.cache", ".pyc"))] == []


@needs_network
def test_twistd_finds_the_daemon_in_a_wheel(environment: Environment) -> None:
    assert "tsdaemon" in _subcommands(environment)


@needs_network
def test_twistd_finds_the_daemon_in_an_editable_install(editable: Environment) -> None:
    assert "tsdaemon" in _subcommands(editable)


@needs_network
def test_the_console_script_is_installed(environment: Environment) -> None:
    finished = environment.run("tsdaemon", "--version")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == f"tsdaemon {__version__}\n"
    assert tomllib.loads(environment.run("tsdaemon", "check").stdout)["numbers"]["clients"] == 5


@needs_network
def test_an_installed_daemon_checks_its_settings(environment: Environment) -> None:
    assert "numbers" in _check(environment)


@needs_network
def test_a_plugin_from_outside_adds_its_settings(
    environment: Environment, echo_wheel: Path
) -> None:
    before = _check(environment)
    with environment.with_installed(echo_wheel):
        between = _check(environment)
    after = _check(environment)

    echo = {"listen": "tcp:4007:interface=127.0.0.1", "greeting": "hello, ", "longest_line": 1024}
    assert between == before | {"echo": echo}
    assert after == before


@needs_network
def test_a_plugin_from_outside_is_set_like_any_other(with_echo: Environment) -> None:
    assert _check(with_echo, "--set", "echo.longest_line=80")["echo"]["longest_line"] == 80


@needs_network
def test_a_wrong_setting_of_a_plugin_from_outside_stops_the_start(with_echo: Environment) -> None:
    finished = with_echo.twistd(
        *("-n", "--pidfile=", "tsdaemon", "--only", "echo", "--set", "echo.longest_line=0")
    )

    assert finished.returncode == 2
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert "echo.longest_line: got '0'" in line
    assert "wanted a whole number >= 1, <= 65536 (bytes)" in line


@needs_network
def test_a_plugin_from_outside_serves_and_stops(with_echo: Environment, tmp_path: Path) -> None:
    port = ReservedPort()
    with _serving_echo(with_echo, tmp_path, port) as process:
        with socket.create_connection((port.host, port.number), TIMEOUT_S) as client:
            client.sendall(b"world\nand ")
            replies = client.makefile("rb")
            assert replies.readline() == b"good day, world\n"
            client.sendall(b"moon\n")
            assert replies.readline() == b"good day, and moon\n"

            process.send_signal(signal.SIGTERM)
            assert replies.readline() == b""
            replies.close()
        assert process.wait(TIMEOUT_S) == 0
    port.close()
    assert (tmp_path / "stdout").read_text() == ""
    assert {path.name for path in tmp_path.iterdir()} == {"stdout", "stderr"}


@contextmanager
def _serving_echo(
    environment: Environment, folder: Path, port: ReservedPort
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the example's service in a folder, where its output goes too, until the block's end."""
    command: list[str | Path] = [
        *(environment.twistd_path, "-n", "--pidfile=", "tsdaemon", "--only", "echo"),
        *("--set", f"echo.listen=tcp:{port.number}:interface={port.host}"),
        *("--set", "echo.greeting=good day, "),
    ]
    errors = folder / "stderr"
    with (folder / "stdout").open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(
            command, cwd=folder, env=clean_environment(), stdout=stdout, stderr=stderr
        )
    try:
        eventually(lambda: process.poll() is not None or "ready: echo" in errors.read_text())
        assert process.poll() is None, errors.read_text()
        yield process
    finally:
        process.kill()
        process.wait()


def _subcommands(environment: Environment) -> set[str]:
    """Give the names that ``twistd --help`` lists under Commands."""
    finished = environment.twistd("--help")
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.partition("Commands:\n")[2].splitlines()
    return {line.split()[0] for line in lines if line.split()}


def _check(environment: Environment, *flags: str) -> dict[str, Any]:
    """Give the effective settings that ``--check`` prints."""
    finished = environment.twistd("tsdaemon", "--check", *flags)
    assert (finished.returncode, finished.stderr) == (0, "")
    return tomllib.loads(finished.stdout)
