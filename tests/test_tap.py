"""The command line, and the daemon put together from it."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from daemon import __version__
from daemon.numbers.service import Settings
from daemon.plugin import discover
from daemon.settings import load, to_toml
from daemon.tap import Options, makeService

EXAMPLE = Path(__file__).parent.parent / "etc" / "tsdaemon.toml"


@pytest.fixture(autouse=True)
def _signals_as_before():
    """A command line that is read holds the signals of the process: here, pytest's."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, held)


def parsed(*words: str, environment: dict[str, str] | None = None) -> Options:
    options = Options(environment or {})
    options.parseOptions(list(words))
    return options


def refused(capsys, *words: str, environment: dict[str, str] | None = None) -> str:
    """Give the one line that a wrong command line ends with."""
    with pytest.raises(SystemExit) as raised:
        parsed(*words, environment=environment)
    assert raised.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("tsdaemon: ")
    return str(err)


def test_without_flags_all_services_start_with_their_defaults():
    options = parsed()
    assert list(options.chosen) == list(discover())
    assert options.settings.daemon.log_format == "text"


def test_flags_and_set_and_file_make_up_the_settings(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text('log_format = "json"\n[numbers]\nclients = 2\nlog = "a"\n')
    options = parsed(
        "--config", str(file), "--set", "numbers.log=b", "--state", "/s", "--drain-timeout", "3"
    )
    assert options.settings.daemon.log_format == "json"
    assert options.settings.daemon.state == "/s"
    assert options.settings.daemon.drain_timeout == 3.0
    numbers = options.settings.services["numbers"]
    assert isinstance(numbers, Settings)
    assert (numbers.clients, numbers.log) == (2, "b")


def test_the_file_and_the_choice_may_come_from_the_environment(tmp_path):
    file = tmp_path / "a.toml"
    file.write_text("drain_timeout = 4\n")
    options = parsed(environment={"TSDAEMON_CONFIG": str(file), "TSDAEMON_ONLY": "numbers"})
    assert options.settings.daemon.drain_timeout == 4.0
    assert list(options.chosen) == ["numbers"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "nmbers"], "--only: got 'nmbers', wanted names of services: "),
        (["--without", "x"], "--without: got 'x'"),
        (["--only", "numbers", "--without", "numbers"], "leave no service to start"),
        (["--frobnicate"], "option --frobnicate not recognized"),
        (["numbers"], "got 'numbers', wanted flags only"),
        (["--set", "numbers.clients=0"], "numbers.clients: got '0'"),
        (["--log-format", "xml"], "log_format: got 'xml' from --log-format, wanted json or text"),
        (["--drain-timeout", "0"], "wanted a number > 0"),
        (["--state", ""], "state: got ''"),
        (["--config", "/no/such/file"], "--config: cannot read /no/such/file: No such file"),
        (["--set", "numbers.listen=tcp"], "numbers.listen: got 'tcp', wanted a Twisted endpoint"),
        (["--set", "numbers.listen=tcp:x"], "numbers.listen: got 'tcp:x'"),
        (["--set", "numbers.listen=ssl:1:privateKey=/no"], "numbers.listen: got"),
        (["--set", "numbers.listen=tcp:1:bogus=2"], "numbers.listen: got"),
        (["--set", "numbers.listen="], "numbers.listen: got ''"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(capsys, words, said):
    assert said in refused(capsys, *words)


def test_a_broken_plugin_is_one_line_and_status_2(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "daemon.numbers.service", None)  # its import now fails
    assert "service plugin 'numbers' cannot be loaded" in refused(capsys)


def test_check_prints_settings_that_are_accepted_again(capsys, tmp_path):
    with pytest.raises(SystemExit) as raised:
        parsed("--check", "--set", "numbers.clients=7")
    assert raised.value.code == 0
    printed = capsys.readouterr().out
    assert tomllib.loads(printed)["numbers"]["clients"] == 7
    file = tmp_path / "printed.toml"
    file.write_text(printed)
    assert parsed("--config", str(file)).settings == parsed("--set", "numbers.clients=7").settings


def test_version(capsys):
    with pytest.raises(SystemExit) as raised:
        parsed("--version")
    assert raised.value.code == 0
    assert capsys.readouterr().out == f"tsdaemon {__version__}\n"


def test_help_keeps_its_examples_on_lines_of_their_own(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    text = capsys.readouterr().out
    assert "\n  twistd -n tsdaemon --config /etc/tsdaemon.toml --log-format json\n" in text
    assert "\n  numbers      Takes nine-digit numbers" in text


def test_the_example_file_lists_every_setting_with_its_default():
    plugins = discover()
    settings = load({name: plugin.settings for name, plugin in plugins.items()})
    descriptions = {name: plugin.description for name, plugin in plugins.items()}
    text = EXAMPLE.read_text()
    head, _, body = text.partition("\n\n")
    assert all(line.startswith("#") for line in head.splitlines())
    assert body == to_toml(settings, descriptions, commented=True)


def test_the_daemon_holds_the_chosen_services(tmp_path):
    options = parsed("--only", "numbers", "--state", str(tmp_path / "state"))
    daemon = makeService(options, MemoryReactorClock())
    assert [service.name for service in daemon] == ["numbers"]
    assert not (tmp_path / "state").exists()


def test_timers_do_not_go_by_the_wall_clock():
    """In a process of its own: the change is for good, and pytest's reactor runs already."""
    program = (
        "import time; from daemon.tap import Options, makeService;"
        "options = Options({}); options.parseOptions([]); makeService(options);"
        "from twisted.internet import reactor;"
        "print(abs(reactor.seconds() - time.monotonic()) < 60)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "True\n"


@pytest.mark.parametrize(
    ("command", "path", "ours"),
    [
        (["twistd", "-n", "tsdaemon", "--only", "numbers"], None, True),
        (["twistd", "-ny", "tsdaemon.tac"], None, True),
        (["twistd", "--nodaemon", "--logfile=a.log", "-y", "tsdaemon.tac"], "a.log", True),
        (["twistd", "-nl", "a.log", "tsdaemon"], "a.log", True),
        (["twistd", "-n", "-l", "-", "tsdaemon"], None, True),
        (["twistd", "--pidfile=p", "tsdaemon"], "twistd.log", True),
        (["/usr/bin/twistd", "tsdaemon"], "twistd.log", True),
        (["twistd", "-n", "--syslog", "tsdaemon"], None, False),
        (["twistd", "-n", "--logger=a.b", "tsdaemon"], None, False),
        (["pytest", "--no-such-flag"], None, True),
    ],
)
def test_the_log_goes_where_twistd_was_told(tmp_path, monkeypatch, command, path, ours):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", command)
    daemon = makeService(parsed(), MemoryReactorClock())
    assert (daemon.daemon_log is not None) == ours
    assert [found.name for found in tmp_path.iterdir()] == ([path] if path else [])
    if daemon.daemon_log and daemon.daemon_log.file:
        daemon.daemon_log.file.close()
