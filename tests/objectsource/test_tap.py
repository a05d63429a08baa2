"""The command line of the object source, and the source put together from it."""

from __future__ import annotations

import signal

import pytest
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactorClock

from daemon import __version__
from daemon.objectsource.behaviour import Fault, Ways
from daemon.objectsource.tap import Options, makeService


@pytest.fixture(autouse=True)
def _process_as_before(monkeypatch):
    """A command line that is read holds the signals of the process: here, pytest's."""
    monkeypatch.setattr(Factory, "noisy", Factory.noisy)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, held)


def parsed(*words: str) -> Options:
    options = Options()
    options.parseOptions(list(words))
    return options


def test_without_flags_it_is_as_the_real_source_is():
    source = parsed().source
    assert source.listen == "tcp:9010:interface=127.0.0.1"
    assert source.callback == "http://127.0.0.1:9090/callback"
    assert (source.callbacks, source.period, source.patience, source.seed) == (True, 5, 1, None)
    assert source.ways() == Ways(rates=dict.fromkeys(Fault, 0.0))


def test_flags_say_how_it_is():
    rates = [f"--{fault.value.replace('_', '-')}-rate=0.1" for fault in Fault]
    source = parsed(
        *("--min-delay", "0", "--max-delay", "1.5", "--online", "odd", "--ids", "-5..5"),
        *("--max-per-callback", "3", "--period", "0", "--seed", "4", "--no-callbacks"),
        *("--callback", "https://[::1]/x", "--patience", "2", *rates),
    ).source
    assert source.ways() == Ways(
        online="odd",
        min_delay_s=0,
        max_delay_s=1.5,
        rates=dict.fromkeys(Fault, 0.1),
        ids=range(-5, 6),
        max_per_callback=3,
    )
    assert (source.period, source.seed, source.callbacks, source.patience) == (0, 4, False, 2)
    assert source.callback == "https://[::1]/x"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--frobnicate"], "option --frobnicate not recognized"),
        (["--max-body", "5"], "option --max-body not recognized"),
        (["serve"], "got 'serve', wanted flags only"),
        (["--period"], "option --period requires argument"),
        (["--period", "soon"], "got 'soon' from --period, wanted a number >= 0"),
        (["--error-rate", "1.1"], "got '1.1' from --error-rate, wanted a number >= 0, <= 1"),
        (["--reset-rate", "nan"], "got 'nan' from --reset-rate"),
        (["--error-rate", "0.6", "--hang-rate", "0.5"], "all rates together are more than 1"),
        (["--min-delay", "5"], "min_delay is 5, and max_delay 4.3"),
        (["--ids", "9..1"], "ids: got '9..1', wanted FIRST..LAST"),
        (["--max-per-callback", "-1"], "got '-1' from --max-per-callback"),
        (["--online", "maybe"], "from --online, wanted all or even or none or odd or random"),
        (["--seed", "x"], "got 'x' from --seed, wanted a whole number or nothing"),
        (["--listen", "tcp"], "listen: got 'tcp', wanted a Twisted endpoint"),
        (["--callback", "ftp://x/"], "callback: got 'ftp://x/', wanted a URL such as"),
        (["--callback", "http:///x"], "callback: got 'http:///x'"),
        (["--callback", "http://[::1/x"], "callback: got"),
        (["--callback", "http://a:99999/"], "callback: got"),
        (["--callback", "http://a/b c"], "callback: got"),
        (["--callback", "http://joe:secret@a/"], "callback: got"),
        (["--log-format", "xml"], "got 'xml' from --log-format, wanted json or text"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(capsys, words, said):
    with pytest.raises(SystemExit) as raised:
        parsed(*words)
    assert raised.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("tsobjectsource: ")
    assert said in err
    assert "secret" not in err


def test_help_has_every_flag_and_the_examples_as_they_are_typed(capsys):
    with pytest.raises(SystemExit):
        parsed("--help")
    text = capsys.readouterr().out
    for flag in Options.optParameters + Options.optFlags:
        assert f"\n  --{flag[0]} " in text or f"\n  --{flag[0]}\n" in text
    assert "\n  --period VALUE [default: 5.0]\n" in text
    assert (
        "\n  twistd -n tsobjectsource --period 1 --min-delay 0 --max-delay 0.1 --seed 1\n" in text
    )


def test_version(capsys):
    with pytest.raises(SystemExit) as raised:
        parsed("--version")
    assert raised.value.code == 0
    assert capsys.readouterr().out == f"tsobjectsource {__version__}\n"


def test_the_source_is_one_service_and_makes_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = makeService(parsed("--log-format", "json"), MemoryReactorClock())
    assert [service.name for service in source] == ["objectsource"]
    assert list(tmp_path.iterdir()) == []
