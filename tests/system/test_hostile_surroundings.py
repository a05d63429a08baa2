"""What surrounds the daemon misbehaves: signals at any moment, readers that do not read."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.system.clients import fresh_numbers, lines
from tests.system.conftest import Starter
from tests.system.running import TWISTD, RunningDaemon, eventually, run_twistd

TAC = Path(__file__).parents[2] / "tsdaemon.tac"


def arguments_for(port: int, *twistd: str | Path) -> list[str | Path]:
    return [*twistd, "tsdaemon", "--set", f"numbers.listen=tcp:{port}:interface=127.0.0.1"]


def listening_on(
    start: Starter, endpoint: str, address: tuple[str, int] | str, *flags: str
) -> RunningDaemon:
    listen = f"numbers.listen={endpoint}"
    arguments = ["-n", "--pidfile=", "tsdaemon", "--set", listen, *flags]
    return start.adopt(RunningDaemon(start.folder(), arguments, address)).wait_until_ready()


def wait_for_words(daemon: RunningDaemon, words: str) -> None:
    eventually(lambda: words in daemon.stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_daemon_starts_waits_until_it_can_stop_in_good_order(
    start: Starter, number: signal.Signals
):
    for _ in range(3):
        port = start.port()
        arguments = arguments_for(port.number, "-n", "--pidfile=")
        daemon = start.adopt(RunningDaemon(start.folder(), arguments, (port.host, port.number)))
        wait_for_words(daemon, "starting up")
        daemon.signal(number)
        assert daemon.wait() == 0
        assert f"stopping: {number.name}" in daemon.stderr
        assert "Traceback" not in daemon.stderr


def test_sigterm_at_any_moment_ends_the_daemon_and_leaves_no_log_of_a_start_that_was_none(
    start: Starter,
):
    """Before the command line is read the system ends the process; from then on the daemon."""
    for delay_s in (0.0, 0.1, 0.2, 0.3, 0.4, 0.6):
        port = start.port()
        arguments = arguments_for(port.number, "-n", "--pidfile=")
        daemon = start.adopt(RunningDaemon(start.folder(), arguments, (port.host, port.number)))
        time.sleep(delay_s)  # not to wait for anything: it is the moment that varies
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() in {0, -signal.SIGTERM}
        assert daemon.wait() == 0 or not daemon.log.exists()


def test_in_the_background_a_port_taken_is_told_to_the_foreground(start: Starter):
    first = start()
    assert isinstance(first.address, tuple)
    folder = start.folder()
    refused = run_twistd(folder, *arguments_for(first.address[1], "--pidfile=second.pid"))
    assert refused.status == 1
    log = (folder / "twistd.log").read_text()
    assert "numbers: cannot listen on tcp:" in log
    assert not (folder / "numbers.log").exists()


@pytest.mark.parametrize("flags", [["tsdaemon"], ["-y", TAC]], ids=["plugin", "tac"])
def test_in_the_background_it_logs_to_twistds_file_and_sighup_opens_that_anew(
    start: Starter, flags: list[str | Path]
):
    port, folder = start.port(), start.folder()
    environment = os.environ | {"TSDAEMON_NUMBERS_LISTEN": f"tcp:{port.number}:interface=127.0.0.1"}
    subprocess.run([TWISTD, *flags], cwd=folder, env=environment, check=True, timeout=15)
    log = folder / "twistd.log"
    pid = int((folder / "twistd.pid").read_text())
    try:
        eventually(lambda: "ready:" in log.read_text())
        log.rename(folder / "old.log")
        os.kill(pid, signal.SIGHUP)
        eventually(lambda: log.exists() and "SIGHUP" in log.read_text())
    finally:
        os.kill(pid, signal.SIGTERM)
    eventually(lambda: "Server Shut Down" in log.read_text())
    eventually(lambda: not (folder / "twistd.pid").exists())


def test_a_log_that_nobody_reads_stops_nothing(start: Starter):
    port, folder = start.port(), start.folder()
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [TWISTD, *arguments_for(port.number, "-n", "--pidfile=")],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=writer,
    )
    os.close(writer)
    try:
        log = folder / "numbers.log"
        eventually(log.exists)
        os.set_blocking(reader, False)
        for _ in range(300):
            with socket.create_connection((port.host, port.number), timeout=10) as client:
                client.sendall(b"x\n")
                try:
                    client.recv(1)
                except ConnectionResetError:
                    continue
        (number,) = fresh_numbers(1)
        with socket.create_connection((port.host, port.number), timeout=10) as client:
            client.sendall(lines([number]))
            eventually(lambda: log.read_text() == f"{number}\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        os.close(reader)
        process.kill()
        process.wait()


def test_closed_standard_descriptors_lead_no_line_elsewhere(start: Starter):
    port, folder = start.port(), start.folder()
    command = [TWISTD, *arguments_for(port.number, "-n", "--pidfile="), "--set"]
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', *command, "numbers.report_interval=0.1"],
        cwd=folder,
    )
    try:
        log = folder / "numbers.log"
        eventually(log.exists)
        numbers = fresh_numbers(3)
        with socket.create_connection((port.host, port.number), timeout=10) as client:
            client.sendall(lines(numbers[:2]))
            eventually(lambda: log.read_text().count("\n") == 2)
            client.sendall(lines(numbers[2:]))
            eventually(lambda: log.read_text().count("\n") == 3)
            assert sorted(log.read_text().split()) == sorted(map(str, numbers))
            client.settimeout(0.5)
            with pytest.raises(TimeoutError):
                client.recv(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()


def test_urgent_data_on_a_unix_socket_holds_nobody_up(start: Starter, tmp_path: Path):
    path = str(tmp_path / "socket")
    daemon = listening_on(start, f"unix:{path}", path, "--set", "numbers.clients=1")
    numbers = fresh_numbers(3)
    with socket.socket(socket.AF_UNIX) as first:
        first.connect(path)
        first.sendall(lines(numbers[:1]))
        daemon.wait_for(numbers[:1])
        with daemon.frozen():
            first.sendall(lines(numbers[1:2]))
            first.send(b"X", socket.MSG_OOB)
            first.shutdown(socket.SHUT_WR)
            second = daemon.connect()
        second.send_numbers(numbers[2:])
        daemon.wait_for(numbers)
    assert daemon.stop() == 0


def test_a_log_emptied_by_someone_else_gets_whole_lines_still(start: Starter):
    daemon = start()
    numbers = fresh_numbers(4)
    client = daemon.connect().send_numbers(numbers[:2])
    daemon.wait_for(numbers[:2])
    os.truncate(daemon.log, 0)
    client.send_numbers(numbers[2:])
    daemon.wait_for(numbers[2:])
    assert sorted(daemon.lines()) == sorted(map(str, numbers[2:]))
    eventually(lambda: "someone has cut or removed it" in daemon.stderr)
    assert daemon.stop() == 0


def test_behind_a_proxy_that_names_no_client_nobody_may_terminate(start: Starter):
    port = start.port()
    endpoint = f"haproxy:tcp:{port.number}:interface=127.0.0.1"
    daemon = listening_on(start, endpoint, (port.host, port.number))
    for header in (b"PROXY UNKNOWN \r\n", b"PROXY TCP4 foo bar 1 2\r\n"):
        assert daemon.connect().send(header + b"terminate\n").until_end() == b""
    numbers = fresh_numbers(1)
    daemon.connect().send(b"PROXY TCP4 192.0.2.1 127.0.0.1 5 6\r\n" + lines(numbers))
    daemon.wait_for(numbers)
    assert daemon.is_running
    assert "Traceback" not in daemon.stderr
