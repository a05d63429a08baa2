"""The container file, as far as it can be tried without a container."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.packaging.environments import CHECKOUT, TIMEOUT_S, run
from tests.system.conftest import Starter, start
from tests.system.running import RunningDaemon, run_tsdaemon

__all__ = ["start"]

FILE = CHECKOUT / "etc" / "container" / "Containerfile"
BIN = Path(sys.executable).parent


def steps() -> list[tuple[str, str]]:
    """Give the instructions with what follows each, long lines joined."""
    text = re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line]


def only(instruction: str) -> str:
    """Give what follows the one instruction of this kind."""
    (found,) = [words for name, words in steps() if name == instruction]
    return found


def settings() -> dict[str, str]:
    """Give the settings of the daemon that the image has in its environment."""
    pairs = dict(word.split("=", 1) for word in only("ENV").split())
    return {name: value for name, value in pairs.items() if name.startswith("TSDAEMON_")}


def test_every_service_listens_where_the_ports_are_exposed(tmp_path: Path) -> None:
    finished = run_tsdaemon(tmp_path, "--check", environment=settings())
    assert (finished.status, finished.stderr) == (0, "")
    effective = tomllib.loads(finished.stdout)
    listen = {
        table["listen"]
        for table in effective.values()
        if isinstance(table, dict) and "listen" in table
    }
    assert listen == {f"tcp:{port}" for port in only("EXPOSE").split()}


def test_it_writes_to_its_volume_only_and_is_not_root() -> None:
    volume = only("VOLUME")
    given = settings()
    assert given["TSDAEMON_STATE"].startswith(f"{volume}/")
    assert given["TSDAEMON_NUMBERS_LOG"].startswith(f"{volume}/")
    assert [words for name, words in steps() if name == "WORKDIR"][-1] == volume
    user, _, group = only("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    names = [name for name, _ in steps()]
    assert names.index("USER") < names.index("CMD")


def test_what_is_copied_is_there_and_what_is_private_is_left_out() -> None:
    for name, words in steps():
        if name == "COPY" and not words.startswith("--from"):
            assert all((CHECKOUT / source).exists() for source in words.split()[:-1])
    ignored = (CHECKOUT / ".containerignore").read_text().splitlines()
    assert {".git", ".venv", "tsdaemon-state", "numbers.log"} <= set(ignored)


def test_the_list_of_plugins_can_be_written(tmp_path: Path) -> None:
    (step,) = [words for name, words in steps() if name == "RUN" and "getPlugins" in words]
    code = step.partition("-c ")[2].strip('"')
    finished = run(sys.executable, "-c", code, folder=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_its_command_starts_a_daemon_that_its_health_check_finds(start: Starter) -> None:
    program, *arguments = json.loads(only("CMD"))
    assert program == "twistd"
    ports = {port: start.port() for port in only("EXPOSE").split()}
    folder = start.folder()
    environment = {
        name: re.sub(
            r"^tcp:(\d+)$", lambda found: f"tcp:{ports[found[1]].number}:interface=127.0.0.1", value
        ).replace(only("VOLUME"), str(folder))
        for name, value in settings().items()
    }
    daemon = RunningDaemon(
        folder, arguments, ("127.0.0.1", ports["4000"].number), environment=environment
    )
    start.adopt(daemon).wait_until_ready()

    check = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    assert check[:2] == ["python", "-c"]
    code = check[2].replace("9180", str(ports["9180"].number))
    assert _status(code) == 0
    assert daemon.stop() == 0
    assert _status(code) != 0
    assert {path.name for path in folder.iterdir()} == {"numbers.log", "state"}


def _status(code: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=TIMEOUT_S, check=False
    ).returncode
