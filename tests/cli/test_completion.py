"""What shells complete is what the script takes; bash and, where they are, zsh and fish say so."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.cli.parser import make_parser
from daemon.tap import USAGE

FOLDER = Path(__file__).parents[2] / "etc" / "completion"
FILES = ("tsdaemon.bash", "_tsdaemon", "tsdaemon.fish")
TIMEOUT_S = 30

ASK = r"""
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_tsdaemon
printf '%s\n' "${COMPREPLY[@]}"
"""


def commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Give each command with its flags."""
    flags = {flag for action in parser._actions for flag in action.option_strings}  # noqa: SLF001
    yield name, flags - {"-h"}
    for action in parser._actions:  # noqa: SLF001  # argparse has no other way to be asked
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for word, inner in action.choices.items():
                yield from commands(inner, f"{name} {word}".strip())


COMMANDS = dict(commands(make_parser("0")))
DAEMON_FLAGS = set(re.findall(r"--[a-z-]+", USAGE.partition("Every setting")[0]))


def complete(*words: str) -> set[str]:
    """Have a real bash complete the last word."""
    finished = subprocess.run(
        ["bash", "-c", ASK, "bash", FOLDER / "tsdaemon.bash", "tsdaemon", *words],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    assert finished.stderr == ""
    return set(finished.stdout.split())


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "check"])
def test_bash_completes_the_flags_of_each_command(command: str) -> None:
    assert complete(*command.split(), "--") == COMMANDS[command]


@pytest.mark.parametrize("command", COMMANDS)
def test_bash_completes_the_next_word_of_a_command(command: str) -> None:
    start = f"{command} ".lstrip()
    inner = {
        name.removeprefix(start).split()[0]
        for name in COMMANDS
        if name.startswith(start) and name != command
    }
    if inner:
        words = complete(*command.split(), "")
        assert {word for word in words if not word.startswith("-")} == inner


def test_bash_completes_the_flags_of_the_daemon_for_check() -> None:
    assert complete("check", "--") == DAEMON_FLAGS - {"--version", "--check"}


def test_bash_completes_values(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").touch()
    assert complete("check", "--config", f"{tmp_path}/s") == {f"{tmp_path}/settings.toml"}
    assert complete("numbers", "send", f"{tmp_path}/s") == {f"{tmp_path}/settings.toml"}
    assert complete("numbers", "send", f"{tmp_path}/s", f"{tmp_path}/s") == set()
    assert complete("numbers", "send", "--rate", "5", f"{tmp_path}/s") != set()
    assert complete("check", "--only", "ha") == {"hash"}
    assert complete("check", "--log-format", "") == {"json", "text"}
    assert complete("status", "--url", "") == set()


def test_bash_completes_the_services_that_there_are() -> None:
    from daemon.plugin import discover

    assert complete("check", "--without", "") == set(discover())


@pytest.mark.parametrize("name", FILES)
def test_every_command_and_flag_is_in_each_file(name: str) -> None:
    text = (FOLDER / name).read_text()
    for command, flags in COMMANDS.items():
        for word in {*command.split(), *flags}:
            assert re.search(rf"\b{word.lstrip('-')}\b", text), word
    for flag in DAEMON_FLAGS - {"--check"}:
        assert re.search(rf"\b{flag.lstrip('-')}\b", text), flag


@pytest.mark.parametrize(("shell", "name"), [("zsh", "_tsdaemon"), ("fish", "tsdaemon.fish")])
def test_the_other_shells_can_read_theirs(shell: str, name: str) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"no {shell} is installed here, so its completion was not read by it")
    subprocess.run([found, "-n", FOLDER / name], timeout=TIMEOUT_S, check=True)
