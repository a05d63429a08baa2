"""The part of systemd that the daemon sees: unit files, sockets passed, and who listens to it."""

from __future__ import annotations

import json
import select
import shlex
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

UNITS: Final = Path(__file__).parents[1] / "etc" / "systemd"

ENVIRONMENT_IN_UNITS: Final = "/opt/tsdaemon/bin/"
"""Where the units expect the programs of the environment in which the wheel is installed."""

SERVICES: Final = ("admin", "callback", "counter", "hash", "numbers", "timestamp")

_LAUNCH: Final = """
import fcntl, json, os, sys
passed, words = json.loads(sys.argv[1]), sys.argv[2:]
aside = {name: fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 100) for name, number in passed.items()}
for place, descriptor in enumerate(aside.values(), 3):
    os.dup2(descriptor, place)
os.environ["LISTEN_FDS"] = str(len(passed))
os.environ.setdefault("LISTEN_FDNAMES", ":".join(passed))
os.environ["LISTEN_PID"] = os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(words[0], words)
"""


def read_unit(name: str) -> dict[str, list[str]]:
    """Read a unit file: the values of each key, of whatever section."""
    text = (UNITS / name).read_text().replace("\\\n", "")
    values: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def exec_start(name: str, *, config: Path, instance: str = "") -> list[str]:
    """Give the command line of a service unit, its programs taken from this environment.

    :param config: in place of the file that the unit names.
    """
    (line,) = read_unit(name)["ExecStart"]
    words = shlex.split(line.replace("%i", instance))
    assert words[0].startswith(ENVIRONMENT_IN_UNITS)
    words[0] = str(Path(sys.executable).parent / words[0].removeprefix(ENVIRONMENT_IN_UNITS))
    words[words.index("--config") + 1] = str(config)
    return words


def launch(passed: Mapping[str, socket.socket]) -> list[str]:
    """Give what runs a command line with sockets passed to it, as systemd does."""
    numbers = {name: listening.fileno() for name, listening in passed.items()}
    return [sys.executable, "-c", _LAUNCH, json.dumps(numbers)]


def descriptors(passed: Mapping[str, socket.socket]) -> Sequence[int]:
    """Give what a child must inherit for :func:`launch`."""
    return [listening.fileno() for listening in passed.values()]


class Listener:
    """A socket on which daemons are heard.

    :param address: where it is bound; ``@`` before an abstract name.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.setblocking(False)

    def heard(self) -> list[dict[str, str]]:
        """Give what was told since the last time, a dictionary for each datagram."""
        told: list[dict[str, str]] = []
        while True:
            try:
                lines = self._socket.recv(65_536).decode().split("\n")
            except BlockingIOError:
                return told
            told.append(dict(line.split("=", 1) for line in lines))

    def is_silent_for(self, seconds: float) -> bool:
        """Whether nobody tells anything for so long."""
        return not select.select([self._socket], [], [], seconds)[0]

    def close(self) -> None:
        self._socket.close()
