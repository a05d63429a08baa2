"""Logs, and ways to start."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from tests.system.clients import fresh_numbers
from tests.system.conftest import Starter
from tests.system.running import RunningDaemon

TAC = Path(__file__).parents[2] / "tsdaemon.tac"

TEXT_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} \[[^]]+\] .*")


def serve_and_stop(daemon: RunningDaemon) -> None:
    """Let a daemon do all that it logs: numbers, a bad line, a reload, and its end."""
    numbers = fresh_numbers(3)
    daemon.connect().send_numbers(numbers)
    daemon.wait_for(numbers)
    assert daemon.connect().send(b'"\xff\x00\n').until_end() == b""
    assert daemon.stop() == 0


def test_logs_are_lines_of_text_on_stderr_and_stdout_is_empty(start: Starter):
    daemon = start()
    serve_and_stop(daemon)
    assert daemon.stdout == ""
    lines = daemon.stderr.splitlines()
    assert all(TEXT_LINE.fullmatch(line) for line in lines), lines
    for said in ("ready: numbers", "invalid line", "stopping: SIGTERM", "since the last report"):
        assert sum(said in line for line in lines) == 1


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_logs_are_json_objects_on_stderr_if_so_wanted(start: Starter, how: str):
    if how == "flag":
        daemon = start("--log-format", "json")
    else:
        daemon = start(environment={"TSDAEMON_LOG_FORMAT": "json"})
    serve_and_stop(daemon)
    assert daemon.stdout == ""
    events = [json.loads(line) for line in daemon.stderr.splitlines()]
    for event in events:
        assert datetime.fromisoformat(event["time"]).tzinfo is not None
        assert event["level"] in {"info", "warn", "error", "critical"}
        assert isinstance(event["namespace"], str)
        assert event["message"]
    messages = [event["message"] for event in events]
    assert "ready: numbers" in messages
    assert any("invalid line" in message for message in messages)
    (ready,) = [event for event in events if event["message"] == "ready: numbers"]
    assert ready["namespace"] == "daemon.lifecycle.Daemon"
    assert ready["level"] == "info"


def test_twistds_own_log_file_is_obeyed(start: Starter, tmp_path: Path):
    port, log = start.port(), tmp_path / "twistd.log"
    listen = f"numbers.listen=tcp:{port.number}:interface=127.0.0.1"
    arguments = ["-n", "--pidfile=", f"--logfile={log}", "tsdaemon", "--set", listen]
    daemon = RunningDaemon(start.folder(), arguments, (port.host, port.number))
    start.adopt(daemon).wait_until_ready(log)
    serve_and_stop(daemon)
    assert daemon.stdout == ""
    assert daemon.stderr == ""
    assert "stopping: SIGTERM" in log.read_text()


def test_the_tac_file_starts_the_daemon_with_settings_from_the_environment(start: Starter):
    port = start.port()
    daemon = RunningDaemon(
        start.folder(),
        ["-n", "--pidfile=", "-y", TAC],
        (port.host, port.number),
        environment={
            "TSDAEMON_NUMBERS_LISTEN": f"tcp:{port.number}:interface=127.0.0.1",
            "TSDAEMON_NUMBERS_CLIENTS": "1",
        },
    )
    start.adopt(daemon).wait_until_ready()
    numbers = fresh_numbers(3)
    client = daemon.connect()
    client.send_numbers(numbers)
    daemon.wait_for(numbers)
    assert daemon.connect().until_end() == b""
    client.send(b"terminate\n")
    assert daemon.wait() == 0
    assert daemon.stdout == ""
    assert "stopping: terminate from 127.0.0.1" in daemon.stderr


def test_a_wrong_setting_stops_the_tac_file_as_well(start: Starter):
    daemon = RunningDaemon(
        start.folder(),
        ["-n", "--pidfile=", "-y", TAC],
        ("127.0.0.1", 1),
        environment={"TSDAEMON_NUMBERS_CLIENTS": "0"},
    )
    start.adopt(daemon)
    assert daemon.wait() == 2
    assert daemon.stdout == ""
    assert daemon.stderr.splitlines()[-1].startswith("tsdaemon: numbers.clients: got '0'")


def test_only_chosen_services_are_named_when_ready(start: Starter):
    daemon = start("--only", "numbers")
    assert daemon.stop() == 0
    assert "ready: numbers\n" in daemon.stderr
