"""A real daemon tells systemd how it is; a socket of the test listens in its place."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.system.conftest import Starter
from tests.system.http_clients import WebDaemon, flags, tcp
from tests.system.running import TWISTD, RunningDaemon, eventually
from tests.systemd import Listener, launch

WATCHDOG_S = 0.5
FORM = "application/x-www-form-urlencoded"


class Heard:
    """All that was heard so far."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self.all: list[dict[str, str]] = []

    def listen(self) -> list[dict[str, str]]:
        """Hear what there is to hear, and give all so far."""
        self.all += self._listener.heard()
        return self.all

    def wait_for(self, **fields: str) -> None:
        """Wait until somebody tells this."""
        eventually(lambda: any(fields.items() <= told.items() for told in self.listen()))

    def is_silent(self) -> bool:
        """Whether nothing more comes for twice the time of the watchdog."""
        self.listen()
        return self._listener.is_silent_for(2 * WATCHDOG_S)


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest) -> Iterator[Listener]:
    with TemporaryDirectory(prefix="tsdaemon-") as folder:
        listener = Listener(f"{folder}/notify" if request.param == "path" else f"@{folder}")
        yield listener
        listener.close()


def watched(start: Starter, listener: Listener, service: str, **settings: object) -> WebDaemon:
    """Start a daemon that systemd watches."""
    place = tcp(start.port())
    daemon = WebDaemon(
        start.folder(),
        [TWISTD, "-n", "--pidfile=", "tsdaemon", *flags(service, place, **settings)],
        place.address,
        environment={
            "NOTIFY_SOCKET": listener.address,
            "WATCHDOG_USEC": str(round(WATCHDOG_S * 1_000_000)),
        },
        command=launch({}),
    )
    start.adopt(daemon)
    return daemon


def test_from_ready_to_the_end_all_is_told(start: Starter, listener: Listener):
    daemon, heard = watched(start, listener, "hash", delay=2.5), Heard(listener)
    heard.wait_for(READY="1", STATUS="well: hash")
    reply = daemon.ask("POST", "/hash", b"password=x", content_type=FORM)
    assert reply.status == 200
    heard.wait_for(WATCHDOG="1")
    daemon.signal(signal.SIGHUP)
    heard.wait_for(RELOADING="1")
    heard.wait_for(READY="1")
    assert daemon.stop() == 0
    heard.wait_for(STOPPING="1", STATUS="stopping: hash")
    heard.wait_for(EXTEND_TIMEOUT_USEC="10000000")
    names = [set(told) - {"STATUS", "MONOTONIC_USEC"} for told in heard.all]
    stopping = names.index({"STOPPING"})
    assert {"READY"} not in names[stopping:]
    assert names[names.index({"RELOADING"}) + 1] == {"READY"}
    # The job takes 2.5 s, and systemd is asked for more time once a second.
    assert names[stopping:].count({"EXTEND_TIMEOUT_USEC"}) >= 2


def test_a_reactor_that_is_stuck_lets_the_watchdog_bark(start: Starter, listener: Listener):
    daemon, heard = watched(start, listener, "counter"), Heard(listener)
    heard.wait_for(WATCHDOG="1")
    with daemon.frozen():
        assert heard.is_silent()
    heard.all.clear()
    heard.wait_for(WATCHDOG="1")
    assert daemon.stop() == 0


def test_why_it_does_not_start_is_told(start: Starter, listener: Listener):
    taken, heard = start(), Heard(listener)
    assert isinstance(taken.address, tuple)
    listen = f"numbers.listen=tcp:{taken.address[1]}:interface=127.0.0.1"
    daemon = RunningDaemon(
        start.folder(),
        ["-n", "--pidfile=", "tsdaemon", "--only", "numbers", "--set", listen],
        taken.address,
        environment={"NOTIFY_SOCKET": listener.address},
    )
    start.adopt(daemon)
    assert daemon.wait() == 1
    (told,) = heard.listen()
    assert told["STATUS"].startswith("not started: numbers: cannot listen on tcp:")


def test_where_systemd_is_gone_the_daemon_serves_and_stops_as_ever(start: Starter, tmp_path: Path):
    daemon = start(environment={"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "100000"})
    daemon.connect().send_numbers([1])
    daemon.wait_for([1])
    daemon.signal(signal.SIGHUP)
    eventually(lambda: "SIGHUP" in daemon.stderr)
    assert daemon.stop() == 0
    assert daemon.stderr.count("systemd does not take what it is told") == 1
