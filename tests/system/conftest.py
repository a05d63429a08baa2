"""Daemons to test; whatever a test does, none outlives it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.running import ReservedPort, RunningDaemon


class Starter:
    """Starts daemons in folders of their own.

    :param folder: holds them.
    :param stack: ends them.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._serial = itertools.count()

    def __call__(
        self,
        *flags: str | Path,
        port: ReservedPort | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        stdout: int | None = None,
    ) -> RunningDaemon:
        """Start the number server, unless flags say otherwise, on a port of its own."""
        port = port or self.port()
        kind = "tcp6" if ":" in port.host else "tcp"
        host = port.host.replace(":", r"\:")
        listen = f"numbers.listen={kind}:{port.number}:interface={host}"
        arguments = ["-n", "--pidfile=", "tsdaemon", "--only", "numbers", "--set", listen, *flags]
        daemon = RunningDaemon(
            folder or self.folder(),
            arguments,
            (port.host, port.number),
            environment=environment,
            stdout=stdout,
        )
        return self.adopt(daemon).wait_until_ready()

    def adopt(self, daemon: RunningDaemon) -> RunningDaemon:
        """See to it that a daemon ends."""
        return self._stack.enter_context(daemon)

    def port(self, host: str = "127.0.0.1") -> ReservedPort:
        """Give a free port."""
        port = ReservedPort(host)
        self._stack.callback(port.close)
        return port

    def folder(self) -> Path:
        """Give an empty folder."""
        folder = self._folder / f"folder-{next(self._serial)}"
        folder.mkdir()
        return folder


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts daemons that end with the test."""
    with ExitStack() as stack:
        yield Starter(tmp_path, stack)


@pytest.fixture(scope="module")
def module_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Starts daemons that end with the tests of a module."""
    with ExitStack() as stack:
        yield Starter(tmp_path_factory.mktemp("shared"), stack)


@pytest.fixture(scope="module")
def shared_daemon(module_start: Starter) -> RunningDaemon:
    """A daemon that the tests of a module share."""
    return module_start()


@pytest.fixture
def daemon(shared_daemon: RunningDaemon) -> Iterator[RunningDaemon]:
    """The shared daemon, without clients at first and at last."""
    yield shared_daemon
    shared_daemon.hang_up()
    assert shared_daemon.is_running
