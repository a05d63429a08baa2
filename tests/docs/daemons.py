"""A daemon with all services and an object source, for the commands of the book."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.system.running import TIMEOUT_S, Finished, ReservedPort, RunningDaemon

BIN: Final = Path(sys.executable).parent

DEFAULT_PORTS: Final = {
    "timestamp": 8090,
    "counter": 8082,
    "hash": 8080,
    "callback": 9090,
    "numbers": 4000,
    "admin": 9180,
}
SOURCE_PORT: Final = 9010

_OF_CLIENTS: Final = {
    "status": "--url http://127.0.0.1:9180",
    "hash": "--url http://127.0.0.1:8080",
}
_ADDRESS: Final = re.compile(r'(127\.0\.0\.1"?(?::|, ?| ))(\d+)')


class Shop:
    """Runs commands beside a daemon, which is started again after one that ends it.

    The book's commands name the default ports; these are put in for them.

    :param folder: holds the daemons' folders.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._stack = ExitStack()
        self._ports = {name: self._reserve() for name in (*DEFAULT_PORTS, "source")}
        self._daemon: RunningDaemon | None = None
        self._start_source()

    def close(self) -> None:
        """End all of it."""
        self._stack.close()

    def run(self, command: str) -> Finished:
        """Run a command of a shell."""
        return self._run(["bash", "-o", "pipefail", "-c", self._here(command)])

    def run_script(self, script: str) -> Finished:
        """Run a program."""
        return self._run([sys.executable, "-c", self._here(script)])

    def daemon(self) -> RunningDaemon:
        """Give the daemon that runs; a new one, if none does."""
        if self._daemon is None or not self._daemon.is_running:
            self._count += 1
            flags = ["hash.delay=0.5", f"callback.source=http://127.0.0.1:{self._port('source')}"]
            flags += [
                f"{name}.listen=tcp:{self._port(name)}:interface=127.0.0.1"
                for name in DEFAULT_PORTS
            ]
            words = [word for flag in flags for word in ("--set", flag)]
            self._daemon = self._stack.enter_context(
                RunningDaemon(
                    self._folder / f"daemon-{self._count}" / "folder",
                    ["-n", "--pidfile=", "tsdaemon", *words],
                    ("127.0.0.1", self._port("numbers")),
                )
            ).wait_until_ready()
        return self._daemon

    def _run(self, words: list[str]) -> Finished:
        log = self.daemon().log
        finished = subprocess.run(
            words,
            cwd=log.parent,
            env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Finished(finished.returncode, self._there(finished.stdout), finished.stderr)

    def _here(self, text: str) -> str:
        """Put the ports of this daemon in; where none is named, the default is meant."""
        for command, flag in _OF_CLIENTS.items():
            text = re.sub(rf"(tsdaemon {command}\b(?: (?:wait|submit))?)", rf"\1 {flag}", text)
        text = text.replace("numbers send -", "numbers send - --to 127.0.0.1:4000")
        ports = {str(port): str(self._port(name)) for name, port in DEFAULT_PORTS.items()}
        return _ADDRESS.sub(lambda found: found[1] + ports.get(found[2], found[2]), text)

    def _there(self, text: str) -> str:
        """Put the default ports back in."""
        ports = {str(self._port(name)): str(port) for name, port in DEFAULT_PORTS.items()}
        return _ADDRESS.sub(lambda found: found[1] + ports.get(found[2], found[2]), text)

    def _port(self, name: str) -> int:
        return self._ports[name].number

    def _reserve(self) -> ReservedPort:
        port = ReservedPort()
        self._stack.callback(port.close)
        return port

    def _start_source(self) -> None:
        flags = ["--no-callbacks", "--min-delay", "0", "--max-delay", "0.05", "--online", "even"]
        flags += ["--listen", f"tcp:{self._port('source')}:interface=127.0.0.1"]
        source = RunningDaemon(
            self._folder / "source" / "folder",
            ["-n", "--pidfile=", "tsobjectsource", *flags],
            ("127.0.0.1", self._port("source")),
        )
        self._stack.enter_context(source)
