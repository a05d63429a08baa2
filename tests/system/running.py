"""Real twistd processes, and what a user can see of them."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from tests.system.clients import Client

TWISTD = Path(sys.executable).parent / "twistd"

TIMEOUT_S = 60.0
"""How long anything may take before a test gives up; no test asserts on speed by it.

Long enough for a machine that is busy with other things as well.
"""

Value = TypeVar("Value")

_REPORT = re.compile(r"Received (\d+) unique numbers, (\d+) duplicates\. Unique total: (\d+)")


def eventually(
    condition: Callable[[], Value], timeout_s: float = TIMEOUT_S, *, pause_s: float = 0.005
) -> Value:
    """Wait until a condition is true, and give what it gave.

    :param pause_s: between two looks.
    :raises AssertionError: it is not true in time.
    """
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {timeout_s} s"
        time.sleep(pause_s)
    return value


class Report(NamedTuple):
    """A report of the number server."""

    unique: int
    duplicates: int
    total: int

    @classmethod
    def parse(cls, line: str) -> Report:
        """Read a line, which must be a report and nothing else."""
        match = _REPORT.fullmatch(line)
        assert match is not None, f"no report: {line!r}"
        return cls(*map(int, match.groups()))


@dataclass(frozen=True)
class Finished:
    """A process that has ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def last_error(self) -> str:
        """The last line on stderr."""
        return self.stderr.splitlines()[-1]


def run_twistd(
    folder: Path, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run twistd, which is expected to end by itself."""
    finished = subprocess.run(
        [TWISTD, *arguments],
        cwd=folder,
        env=_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    return Finished(
        finished.returncode,
        finished.stdout.decode(errors="surrogateescape"),
        finished.stderr.decode(errors="surrogateescape"),
    )


def run_tsdaemon(
    folder: Path, *flags: str | Path, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run ``twistd -n tsdaemon``, which is expected to end by itself."""
    return run_twistd(folder, "-n", "--pidfile=", "tsdaemon", *flags, environment=environment)


class ReservedPort:
    """A free port that nobody else is given: it stays bound, and listening on it still works."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, 0))
        self.host: str = host
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


class RunningDaemon:
    """A daemon from its start to its end; leaving the context ends it and all clients for good.

    :param folder: its working folder; what it prints goes to files beside it.
    :param arguments: twistd's.
    :param address: where clients reach its number server.
    :param environment: variables beside the test's own.
    :param stdout: a descriptor to print reports to, instead of a file.
    :param command: what runs twistd.
    :param descriptors: to pass on.
    """

    _serial = itertools.count()

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str | Path],
        address: tuple[str, int] | str,
        *,
        environment: Mapping[str, str] | None = None,
        stdout: int | None = None,
        command: Sequence[str | Path] = (TWISTD,),
        descriptors: Sequence[int] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = next(self._serial)
        self.address = address
        self.log = folder / "numbers.log"
        self._stdout = folder.parent / f"stdout-{number}"
        self._stderr = folder.parent / f"stderr-{number}"
        self._clients: list[Client] = []
        with self._stdout.open("wb") as out, self._stderr.open("wb") as errors:
            self._process = subprocess.Popen(
                [*command, *arguments],
                cwd=folder,
                env=_environment(environment),
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout,
                stderr=errors,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self.kill()

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def stdout(self) -> str:
        """What it has printed on stdout so far."""
        return self._stdout.read_text()

    @property
    def stderr(self) -> str:
        """What it has logged on stderr so far."""
        return self._stderr.read_text(errors="surrogateescape")

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def wait_until_ready(self, log: Path | None = None) -> Self:
        """Wait for the line that says so.

        :param log: where the daemon logs; stderr if None.
        """
        log = log or self._stderr
        eventually(lambda: not self.is_running or (log.exists() and "ready:" in log.read_text()))
        assert self.is_running, self.stderr
        return self

    def connect(self, **options: Any) -> Client:
        """Connect a client, whose socket the daemon's end or :meth:`hang_up` closes."""
        client = Client(self.address, **options)
        self._clients.append(client)
        return client

    def hang_up(self) -> None:
        """Close all clients."""
        for client in self._clients:
            client.close()
        self._clients.clear()

    def lines(self) -> list[str]:
        """The whole lines in the log."""
        return self.log.read_bytes().decode("ascii").split("\n")[:-1]

    def wait_for(self, numbers: Iterable[int]) -> None:
        """Wait until all these numbers are in the log."""
        wanted = {str(number) for number in numbers}
        eventually(lambda: wanted <= set(self.lines()))

    def reports(self) -> list[Report]:
        """All whole lines on stdout, each of which must be a report."""
        return [Report.parse(line) for line in self.stdout.split("\n")[:-1]]

    def last_report(self) -> Report:
        """What was logged at the end, since the last report on stdout."""
        (line,) = [line for line in self.stderr.splitlines() if "since the last report: " in line]
        return Report.parse(line.partition("since the last report: ")[2])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let the process stand still, so that it finds everything that happens as one."""
        self.signal(signal.SIGSTOP)
        eventually(lambda: _state(self.pid) == "T")
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """Wait for the process's end, and give its exit status; negative: the signal."""
        return self._process.wait(timeout_s)

    def stop(self) -> int:
        """Ask the daemon to stop, and give its exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End the process as a crash does."""
        if self.is_running:
            self._process.kill()
        self._process.wait()


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    """Give the test's own environment without what the daemon reads settings from."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TSDAEMON_") and name != "STATE_DIRECTORY"
    }
    return inherited | dict(more or {})
