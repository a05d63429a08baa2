"""What systemd is told, on a real datagram socket."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from daemon.health import Health, Phase
from daemon.metrics import Metrics
from daemon.notify import EXTEND_S, LOOK_S, STATUS_CHARACTERS, Systemd, summary
from daemon.overview import Member, Overview
from tests.systemd import Listener


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path, as the path of a socket must be."""
    with TemporaryDirectory(prefix="tsdaemon-") as folder:
        yield Path(folder)


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, folder: Path) -> Iterator[Listener]:
    listener = Listener(
        str(folder / "notify") if request.param == "path" else f"@tsdaemon-{os.getpid()}"
    )
    yield listener
    listener.close()


@pytest.fixture
def overview() -> Overview:
    """A daemon with two services that runs."""
    overview = Overview(phase=Phase.RUNNING)
    for name in ("black", "green"):
        health = Health(name)
        health.enter(Phase.RUNNING)
        overview.members[name] = Member(health, Metrics(name, overview.registry))
    return overview


@pytest.fixture
def clock() -> Clock:
    return Clock()


def systemd(clock: Clock, listener: Listener, **more: str) -> Systemd:
    return Systemd(clock, {"NOTIFY_SOCKET": listener.address, **more})


def health(overview: Overview, name: str) -> Health:
    return overview.members[name].health


def test_it_says_that_it_is_ready_and_how_it_is(clock, listener, overview):
    told = systemd(clock, listener)
    assert listener.heard() == []
    told.ready(overview)
    assert listener.heard() == [{"READY": "1", "STATUS": "well: black, green"}]
    told.end()


def test_a_change_of_status_is_told_once_and_within_seconds(clock, listener, overview):
    told = systemd(clock, listener)
    told.ready(overview)
    listener.heard()
    health(overview, "green").degrade("disk", "it is full")
    assert listener.heard() == []
    clock.advance(LOOK_S)
    assert listener.heard() == [{"STATUS": "green is degraded: it is full; well: black"}]
    clock.pump([LOOK_S] * 5)
    assert listener.heard() == []
    health(overview, "green").recover("disk")
    health(overview, "black").fail("file", "it is gone")
    clock.advance(LOOK_S)
    assert listener.heard() == [{"STATUS": "black cannot do its job: it is gone; well: green"}]
    told.end()


def test_the_watchdog_hears_twice_in_its_time_from_the_reactor_only(clock, listener, overview):
    told = systemd(clock, listener, WATCHDOG_USEC="10000000", WATCHDOG_PID=str(os.getpid()))
    told.ready(overview)
    assert listener.heard()[1:] == [{"WATCHDOG": "1"}]
    clock.pump([5.0, 5.0, 5.0])
    barks = [each for each in listener.heard() if each == {"WATCHDOG": "1"}]
    assert len(barks) == 3
    told.end()
    clock.pump([5.0, 5.0])
    assert listener.heard() == []


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "1"},
    ],
)
def test_nobody_barks_for_a_watchdog_that_is_off_or_another_process_s(
    clock, listener, overview, variables
):
    told = systemd(clock, listener, **variables)
    told.ready(overview)
    clock.pump([1.0] * 20)
    assert all("WATCHDOG" not in each for each in listener.heard())
    told.end()


def test_a_watchdog_that_names_no_process_means_this_one(clock, listener, overview):
    told = systemd(clock, listener, WATCHDOG_USEC="10000000")
    told.ready(overview)
    assert {"WATCHDOG": "1"} in listener.heard()
    told.end()


def test_a_reload_is_told_with_its_time_and_its_end(clock, listener, overview):
    told = systemd(clock, listener)
    told.ready(overview)
    listener.heard()
    with told.reloading():
        (begun,) = listener.heard()
        assert begun["RELOADING"] == "1"
        assert begun["MONOTONIC_USEC"].isdecimal()
    assert listener.heard() == [{"READY": "1"}]
    told.end()


def test_while_it_drains_it_asks_for_time_until_the_end(clock, listener, overview):
    told = systemd(clock, listener)
    told.ready(overview)
    listener.heard()
    overview.phase = Phase.DRAINING
    health(overview, "green").enter(Phase.STOPPED)
    told.stopping()
    first, *more = listener.heard()
    assert first == {"STOPPING": "1", "STATUS": "stopping: black"}
    assert more == [{"EXTEND_TIMEOUT_USEC": "10000000"}]
    clock.pump([EXTEND_S] * 2)
    assert listener.heard().count({"EXTEND_TIMEOUT_USEC": "10000000"}) == 2
    health(overview, "black").enter(Phase.STOPPED)
    clock.advance(LOOK_S)
    assert {"STATUS": "stopping: all services have stopped"} in listener.heard()
    told.end()
    assert clock.getDelayedCalls() == []


def test_what_keeps_it_from_starting_is_told_without_passwords(clock, listener):
    told = systemd(clock, listener)
    told.failed("callback: no such\nhost: postgresql://me:hidden@db/objects")
    assert listener.heard() == [
        {"STATUS": "not started: callback: no such host: postgresql://me:***@db/objects"}
    ]
    told.end()


def test_what_nobody_takes_holds_nobody_up_and_is_told_later(clock, folder, overview):
    """Systemd may be started anew, with a socket of its own at the same place."""
    address = str(folder / "notify")
    told = Systemd(clock, {"NOTIFY_SOCKET": address})
    with capturedLogs() as events:
        told.ready(overview)
        clock.pump([LOOK_S] * 3)
    assert len(events) == 1
    listener = Listener(address)
    clock.advance(LOOK_S)
    assert listener.heard() == [{"READY": "1", "STATUS": "well: black, green"}]
    clock.advance(LOOK_S)
    assert listener.heard() == []
    told.end()
    listener.close()


def test_a_full_socket_holds_nobody_up_and_the_watchdog_is_told_later(clock, listener, overview):
    told = systemd(clock, listener, WATCHDOG_USEC="2000000")
    told.ready(overview)
    with capturedLogs() as events:
        clock.pump([1.0] * 10_000)
    assert [event["log_namespace"] for event in events] == ["daemon.notify.Systemd"]
    assert len(listener.heard()) < 10_000
    clock.advance(1.0)
    assert {"WATCHDOG": "1"} in listener.heard()
    told.end()


@pytest.mark.parametrize("address", ["", "/" + "x" * 200, "vsock:2:1234", "@"])
def test_where_there_is_no_such_socket_the_daemon_lives_all_the_same(clock, overview, address):
    told = Systemd(clock, {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "2000000"})
    told.ready(overview)
    with told.reloading():
        clock.advance(1.0)
    told.failed("why")
    told.stopping()
    clock.advance(1.0)
    told.end()
    told.stopping()
    assert clock.getDelayedCalls() == []


def test_no_child_is_to_speak_in_its_place(clock):
    environment = {
        "NOTIFY_SOCKET": "@none",
        "WATCHDOG_USEC": "1",
        "WATCHDOG_PID": "1",
        "HOME": "/",
    }
    Systemd(clock, environment).end()
    assert environment == {"HOME": "/"}


def test_a_long_status_is_cut(overview):
    health(overview, "green").degrade("disk", "full " * 1000)
    assert len(summary(overview)) == STATUS_CHARACTERS
    assert summary(overview).endswith("…")


def test_a_daemon_without_a_service_that_is_well_says_so(overview):
    for name in ("black", "green"):
        health(overview, name).degrade("disk", "full")
    assert summary(overview).endswith("; well: none")
