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


@pytest.mark.parametrize("wrong", WRONG, ids=[f"{name}={text}" for name, text, _, _ in WRONG])
@pytest.mark.parametrize("source", ["file", "environment", "flag"])
def test_a_wrong_value_is_refused_from_every_source(capsys, tmp_path, source, wrong):
    name, text, toml, wanted = wrong
    words, environment = [], {}
    if source == "file":
        file = tmp_path / "settings.toml"
        file.write_text(f"{name} = {toml}\n")
        words = ["--config", str(file)]
    elif source == "environment":
        environment = {"TSDAEMON_" + name.replace(".", "_").upper(): text}
    else:
        words = ["--set", f"{name}={text}"]
    line = refused(capsys, *words, environment=environment)
    assert f"{name}: got " in line
    assert text in line.lower()
    assert f"wanted {wanted}" in line


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--set", "numbers.client=5"], "numbers.client"),
        (["--set", "colour=blue"], "colour"),
        (["--set", "nombers.clients=5"], "nombers"),
        (["--set", "numbers.clients"], "numbers.clients"),
        (["--set"], "--set"),
        (["--only", "numbers,hush"], "'hush'"),
        (["--drain-timeout", "soon"], "--drain-timeout"),
        (["--config", "."], "cannot read ."),
    ],
)
def test_an_unknown_or_unreadable_flag_is_named(capsys, words, named):
    assert named in refused(capsys, *words)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"TSDAEMON_NUMBERS_CLIENT": "5"}, "TSDAEMON_NUMBERS_CLIENT"),
        ({"TSDAEMON_NOMBERS_CLIENTS": "5"}, "TSDAEMON_NOMBERS_CLIENTS"),
        ({"TSDAEMON_ONLY": "hush"}, "'hush'"),
        ({"TSDAEMON_CONFIG": "missing.toml"}, "missing.toml"),
    ],
)
def test_an_unknown_variable_is_named(capsys, environment, named):
    assert named in refused(capsys, environment=environment)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[numbers]\nclient = 5\n", "numbers.client"),
        ("[nombers]\nclients = 5\n", "nombers"),
        ("numbers = 5\n", "numbers"),
        ("colour = 5\n", "colour"),
        ("[numbers\nclients = 5\n", "settings.toml is not TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(capsys, tmp_path, content, named):
    file = tmp_path / "settings.toml"
    file.write_text(content)
    assert named in refused(capsys, "--config", str(file))


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
