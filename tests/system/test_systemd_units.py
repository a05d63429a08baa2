"""The unit files: what systemd itself says of them, and daemons started by their command lines."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from daemon.plugin import discover
from daemon.settings import load
from tests.system.clients import lines
from tests.system.conftest import Starter
from tests.system.http_clients import HTTPClient, request
from tests.system.running import RunningDaemon, eventually, run_twistd
from tests.systemd import (
    ENVIRONMENT_IN_UNITS,
    SERVICES,
    UNITS,
    descriptors,
    exec_start,
    launch,
    read_unit,
)

CONFIG = Path(__file__).parents[2] / "etc" / "tsdaemon.toml"
ALL = "tsdaemon.service"
ONE = "tsdaemon@.service"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="there is no systemd-analyze here to check the units with (Debian: apt install systemd)",
)


def analyze(*words: str | Path, units: Path = UNITS) -> subprocess.CompletedProcess[str]:
    """Ask systemd, which looks for units in a folder before its own."""
    return subprocess.run(
        ["systemd-analyze", *words],
        env=os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder of units as installed, whose programs are those of this environment."""
    here = f"{Path(exec_start(ALL, config=CONFIG)[0]).parent}/"
    for file in UNITS.glob("tsdaemon*"):
        (tmp_path / file.name).write_text(file.read_text().replace(ENVIRONMENT_IN_UNITS, here))
    for unit in (ALL, ONE):
        (tmp_path / f"{unit}.d").mkdir()
        shutil.copy(UNITS / "secrets.conf", tmp_path / f"{unit}.d")
    return tmp_path


@needs_systemd
@pytest.mark.parametrize("unit", [ALL, *(ONE.replace("@", f"@{name}") for name in SERVICES)])
def test_systemd_finds_nothing_wrong_with_a_unit(installed: Path, unit: str):
    sockets = [f"tsdaemon-{name}.socket" for name in SERVICES]
    checked = analyze("verify", "--man=no", unit, *sockets, units=installed)
    ours = [line for line in checked.stderr.splitlines() if "tsdaemon" in line]
    assert (checked.returncode, ours) == (0, [])


@needs_systemd
def test_systemd_would_find_what_is_wrong(installed: Path):
    unit = installed / ALL
    unit.write_text(unit.read_text().replace("UMask=", "UMaks="))
    assert "Unknown key 'UMaks'" in analyze("verify", "--man=no", ALL, units=installed).stderr


@needs_systemd
@pytest.mark.parametrize("unit", [ALL, ONE])
def test_little_is_exposed(unit: str):
    judged = analyze("security", "--offline=true", "--no-pager", UNITS / unit)
    match = re.search(r"Overall exposure level for \S+: ([0-9.]+)", judged.stdout)
    assert match is not None, judged.stderr
    assert float(match[1]) <= 1.5


def test_each_service_has_a_socket_of_its_name_at_its_default_port():
    settings = load({name: plugin.settings for name, plugin in discover().items()})
    assert set(SERVICES) <= set(settings.services)
    names = {file.name for file in UNITS.glob("*.socket")}
    assert names == {f"tsdaemon-{name}.socket" for name in SERVICES}
    for name in SERVICES:
        unit = read_unit(f"tsdaemon-{name}.socket")
        assert unit["FileDescriptorName"] == [name]
        assert unit["Service"] == [ALL]
        (address,) = unit["ListenStream"]
        host, _, port = address.partition(":")
        default = getattr(settings.services[name], "listen")  # noqa: B009  # one of many classes
        assert default == f"tcp:{port}:interface={host}"


def test_the_unit_needs_all_sockets_and_the_template_is_as_hard():
    sockets = {f"tsdaemon-{name}.socket" for name in SERVICES}
    unit, template = read_unit(ALL), read_unit(ONE)
    for key in ("Requires", "Sockets", "Also"):
        assert set(" ".join(unit[key]).split()) == sockets
        assert template[key] == ["tsdaemon-%i.socket"]
    own = {"Description", "ExecStart", "StateDirectory", "WorkingDirectory", "Conflicts"}
    own |= {"Requires", "Sockets", "Also"}
    for key in (unit.keys() | template.keys()) - own:
        assert unit[key] == template[key], key


# --- daemons


Sockets = Mapping[str, socket.socket]


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    """A socket for each service, as systemd holds them."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
            for name in SERVICES
        }


def run_unit(
    start: Starter, unit: str, sockets: Sockets, folder: Path, instance: str = ""
) -> RunningDaemon:
    """Start what a unit starts, with its sockets, state folder and working folder."""
    folder.mkdir(exist_ok=True)
    first = next(iter(sockets.values()))
    daemon = RunningDaemon(
        folder,
        exec_start(unit, config=CONFIG, instance=instance),
        first.getsockname(),
        environment={"STATE_DIRECTORY": str(folder)},
        command=launch(sockets),
        descriptors=descriptors(sockets),
    )
    start.adopt(daemon)
    return daemon.wait_until_ready()


ASK = {
    "admin": (request("GET", "/healthz"), 200),
    "callback": (request("POST", "/callback", b'{"object_ids":[]}'), 204),
    "counter": (request("GET", "/"), 200),
    "hash": (request("GET", "/stats"), 200),
    "timestamp": (request("GET", "/timestamp"), 404),
}
"""What to ask of each HTTP service, and the status that it has to have."""


def serves(name: str, address: tuple[str, int], folder: Path) -> bool:
    """Whether a service does its work at an address."""
    if name == "numbers":
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(lines([7]))
            eventually(lambda: (folder / "numbers.log").read_text() == "7\n")
        return True
    sent, status = ASK[name]
    client = HTTPClient(address)
    try:
        client.send(sent)
        return client.reply().status == status
    finally:
        client.close()


@pytest.mark.parametrize("name", SERVICES)
def test_the_template_runs_one_service_with_its_own_state(
    start: Starter, sockets: Sockets, tmp_path: Path, name: str
):
    folder = tmp_path / "state"
    daemon = run_unit(start, ONE, {name: sockets[name]}, folder, instance=name)
    assert serves(name, sockets[name].getsockname(), folder)
    assert daemon.stop() == 0
    assert f"ready: {name}\n" in daemon.stderr
    assert list(tmp_path.glob("*/tsdaemon-state")) == []


class Knocker:
    """Connects to one service again and again, asks something, and counts what it meets."""

    def __init__(self, name: str, address: tuple[str, int]) -> None:
        self.name = name
        self.refused = 0
        self.answered = 0
        self._address = address
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.002):
            try:
                connection = socket.create_connection(self._address, timeout=10)
            except ConnectionRefusedError:
                self.refused += 1
                continue
            with connection:
                self._ask(connection)

    def _ask(self, connection: socket.socket) -> None:
        """Ask once; a connection that the daemon ends while it stops is no refusal."""
        try:
            if self.name == "numbers":
                connection.sendall(lines([next(self._numbers)]))
                self.answered += 1
                return
            connection.sendall(ASK[self.name][0])
            self.answered += connection.recv(4096).startswith(b"HTTP/1.1 ")
        except ConnectionError:
            return


def test_over_restarts_no_service_refuses_a_connection(
    start: Starter, sockets: Sockets, tmp_path: Path
):
    folder = tmp_path / "state"
    daemon = run_unit(start, ALL, sockets, folder)
    with ExitStack() as stack:
        knockers = [
            stack.enter_context(Knocker(name, listening.getsockname()))
            for name, listening in sockets.items()
        ]

        def all_are_served() -> None:
            before = [each.answered for each in knockers]
            eventually(
                lambda: all(
                    each.answered > count + 20 for each, count in zip(knockers, before, strict=True)
                )
            )

        for _ in range(2):
            all_are_served()
            assert daemon.stop() == 0
            daemon = run_unit(start, ALL, sockets, folder)
        all_are_served()
    assert [(each.name, each.refused) for each in knockers if each.refused] == []
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.stderr


@pytest.mark.parametrize("names", [None, "other", "hash:counter"])
def test_a_socket_that_was_not_passed_under_its_name_is_one_line(tmp_path: Path, names: str | None):
    environment = {"LISTEN_FDS": "1"} | ({} if names is None else {"LISTEN_FDNAMES": names})
    words = exec_start(ONE, config=CONFIG, instance="counter")
    finished = run_twistd(tmp_path, *words[1:], environment=environment)
    assert finished.status == 2
    assert finished.stdout == ""
    (line,) = finished.stderr.splitlines()
    assert line.startswith("tsdaemon: counter.listen: got 'systemd:domain=INET:name=counter'")
    assert line.endswith(f"no such socket was passed by systemd (LISTEN_FDNAMES={names or ''})")
