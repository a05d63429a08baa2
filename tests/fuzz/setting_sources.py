"""Settings from a file, the environment and flags: they are taken, or one line says why not."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from daemon.admin.service import Settings as Admin
from daemon.callback.service import Settings as Callback
from daemon.counter.service import Settings as Counter
from daemon.hash.service import Settings as Hash
from daemon.numbers.service import Settings as Numbers
from daemon.settings import Settings, SettingsError, Tables, flag, load, to_toml
from daemon.timestamp.service import Settings as Timestamp
from tests.fuzz.places import new_folder

TABLES: Final[Tables] = {
    "admin": Admin,
    "callback": Callback,
    "counter": Counter,
    "hash": Hash,
    "numbers": Numbers,
    "timestamp": Timestamp,
}
_ABOUT: Final = dict.fromkeys(TABLES, "A service.")
_HIDDEN: Final = "***"
_BETWEEN: Final = b"\xfe"
"""Stands between the file, the environment and the flags."""


def run(data: bytes) -> None:
    """Read settings; write those that are taken, and read them again."""
    file, _, more = data.partition(_BETWEEN)
    environment, _, flags = more.partition(_BETWEEN)
    with new_folder() as folder:
        path = folder / "tsdaemon.toml"
        path.write_bytes(file)
        try:
            settings = load(
                TABLES,
                file=path,
                environment=_variables(environment),
                flags=[flag(text) for text in _text(flags).split("\n") if text],
            )
        except SettingsError as error:
            assert str(error)
            assert len(str(error).splitlines()) == 1, str(error)
            return
        text = to_toml(settings, _ABOUT)
        again = _reload(path, text)
        assert to_toml(again, _ABOUT) == text
        if _HIDDEN not in text:
            assert again == settings, text
        assert _reload(path, to_toml(settings, _ABOUT, commented=True)) == load(TABLES)


def _reload(path: Path, text: str) -> Settings:
    path.write_text(text, encoding="utf-8")
    return load(TABLES, file=path)


def _text(data: bytes) -> str:
    """Give what the system gives to a program."""
    return data.replace(b"\0", b"").decode("utf-8", "surrogateescape")


def _variables(data: bytes) -> dict[str, str]:
    pairs = [line.partition("=") for line in _text(data).split("\n")]
    return {name: value for name, _, value in pairs if name}


WORDS: Final = (
    b"[numbers]\n",
    b"[auth]\n",
    b"[callback]\n",
    b"tokens_file = ",
    b"log_levels = {",
    b"[log_levels]\n",
    b"clients = ",
    b"delay = ",
    b"1e400",
    b"nan",
    b"inf",
    b"0x10",
    b"1979-05-27",
    b'"""',
    b"'''",
    b"\\u0000",
    b"TSDAEMON_",
    b"TSDAEMON_HASH_DELAY=",
    b"TSDAEMON_LOG_LEVELS=",
    b"STATE_DIRECTORY=",
    b"hash.delay=",
    b"callback.database=",
    b"postgresql://u:p@h/d",
    b"tcp:80",
    _BETWEEN,
)
SEEDS: Final = (
    b"",
    b"state = 'x'\n[numbers]\nclients = 3\n[hash]\ndelay = 2.5\nkeep = true\n",
    b"[log_levels]\n\"daemon.http\" = 'warn'\n",
    b"log_levels = { a = 'info' }\n[auth]\ntokens_file = '/x'\n",
    b"[nothing]\na = 1\n",
    b"numbers = 1\n",
    b"a = " + b"[" * 200,
    b"\xef\xbb\xbfdrain_timeout = 1e-3\n",
    b"\xff",
    _BETWEEN + b"TSDAEMON_HASH_DELAY=2\nTSDAEMON_LOG_LEVELS=a=warn,b=info\nSTATE_DIRECTORY=/a:/b",
    _BETWEEN + b"TSDAEMON_STATE=\xff\nTSDAEMON_hash=1",
    _BETWEEN + _BETWEEN + b"hash.delay=nan\ncallback.database=postgresql://u:secret@h/d",
    _BETWEEN + _BETWEEN + b"numbers.clients=1_0\ndrain_timeout=0x10\nlog_levels={a='debug'}",
    _BETWEEN + _BETWEEN + b"callback.database=postgresql://h/d?password=secret&x=y",
)
