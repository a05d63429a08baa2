"""The console script ``tsdaemon`` beside a real daemon, as a person at a shell sees it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.system.conftest import Starter
from tests.system.running import (
    TIMEOUT_S,
    Finished,
    ReservedPort,
    RunningDaemon,
    eventually,
)

TSDAEMON = Path(sys.executable).parent / "tsdaemon"
HASH = "ZEHhWB65gUlzdVwtDQArEyx+KVLzp/aTaRaPlBzYRIFj6vjFdqEb0Q5B8zVKCZ0vKbZPZklJz0Fd7su2A+gf7Q=="


class Shell:
    """Runs the script against a daemon with the numbers, hash and admin services.

    :param delay_s: until a job is ready.
    """

    def __init__(self, start: Starter, *, delay_s: float = 0.5) -> None:
        self._ports = {name: start.port() for name in ("numbers", "hash", "admin")}
        listen = [
            word
            for name, port in self._ports.items()
            for word in ("--set", f"{name}.listen=tcp:{port.number}:interface={port.host}")
        ]
        more = ["--set", f"hash.delay={delay_s}", "--set", "numbers.report_interval=0.1"]
        arguments = ["-n", "--pidfile=", "tsdaemon", "--only", "numbers,hash,admin"]
        self.folder = start.folder()
        self.daemon = start.adopt(
            RunningDaemon(self.folder, [*arguments, *listen, *more], self._address("numbers"))
        ).wait_until_ready()

    def __call__(self, *words: str | Path, typed: bytes = b"") -> Finished:
        """Run the script to its end."""
        finished = subprocess.run(
            [TSDAEMON, *words],
            cwd=self.folder,
            input=typed,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return Finished(finished.returncode, finished.stdout.decode(), finished.stderr.decode())

    @property
    def to(self) -> tuple[str, str]:
        """The flag that says where the number server is."""
        host, port = self._address("numbers")
        return "--to", f"{host}:{port}"

    def url(self, service: str) -> tuple[str, str]:
        """The flag that says where a service is."""
        host, port = self._address(service)
        return "--url", f"http://{host}:{port}"

    def _address(self, service: str) -> tuple[str, int]:
        port = self._ports[service]
        return port.host, port.number


@pytest.fixture(scope="module")
def shell(module_start: Starter) -> Shell:
    """A shell beside a daemon that all tests of this module share."""
    return Shell(module_start)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of 100,000 numbers, each with the prefix of nobody else's."""
    path = tmp_path / "numbers.txt"
    path.write_bytes(b"".join(b"5%08d\n" % number for number in range(100_000)))
    return path


def test_a_file_ends_up_in_the_log(shell: Shell, file: Path) -> None:
    finished = shell("numbers", "send", file, *shell.to)
    assert (finished.status, finished.stderr) == (0, "")
    assert finished.stdout.startswith("sent 100000 numbers over 5 connections in ")
    shell.daemon.wait_for(range(500_000_000, 500_100_000))


def test_standard_input_is_sent_as_well(shell: Shell) -> None:
    finished = shell("numbers", "send", "-", *shell.to, typed=b"000000042\n000000043")
    assert finished.status == 0
    shell.daemon.wait_for([42, 43])


def test_a_bad_line_is_named_and_what_is_before_it_is_in_the_log(
    shell: Shell, tmp_path: Path
) -> None:
    path = tmp_path / "bad.txt"
    good = b"".join(b"6%08d\n" % number for number in range(50_000))
    path.write_bytes(good + b"no number\n" + good)
    finished = shell("numbers", "send", path, *shell.to)
    assert finished.status == 1
    (line,) = finished.stderr.splitlines()
    assert "bad.txt, line 50001 (byte 500000): 'no number' is not nine digits" in line
    shell.daemon.wait_for(range(600_000_000, 600_050_000))


def test_places_that_others_have_are_left_to_them(shell: Shell, file: Path) -> None:
    others = [shell.daemon.connect() for _ in range(3)]
    for number, other in enumerate(others):
        other.send(b"70000000%d\n" % number)
    shell.daemon.wait_for(range(700_000_000, 700_000_003))
    finished = shell("numbers", "send", file, *shell.to)
    assert finished.status == 0
    assert "over 2 of 5 connections" in finished.stdout

    others += [shell.daemon.connect() for _ in range(2)]
    others[3].send(b"700000003\n")
    others[4].send(b"700000004\n")
    shell.daemon.wait_for([700_000_003, 700_000_004])
    refused = shell("numbers", "send", file, *shell.to)
    assert refused.status == 2
    assert "refuses all connections" in refused.stderr
    shell.daemon.hang_up()


def test_status_is_a_table_of_the_services(shell: Shell) -> None:
    finished = shell("status", *shell.url("admin"))
    assert (finished.status, finished.stderr) == (0, "")
    summary, head, *rows = finished.stdout.splitlines()
    assert re.match(r"tsdaemon \S+ at http://\S+ is ready, up \d+ ", summary)
    assert head.split()[:2] == ["SERVICE", "STATE"]
    assert [row.split()[:2] for row in rows] == [
        ["admin", "ready"],
        ["hash", "ready"],
        ["numbers", "ready"],
    ]


def test_status_as_json_can_be_read(shell: Shell) -> None:
    finished = shell("status", *shell.url("admin"), "--json")
    assert finished.status == 0
    document = json.loads(finished.stdout)
    assert document["ready"] is True
    assert set(document["services"]) == {"admin", "hash", "numbers"}


def test_status_asks_the_admin_service_and_no_other(shell: Shell) -> None:
    finished = shell("status", *shell.url("hash"))
    assert finished.status == 2
    assert finished.stdout == ""
    assert "admin service does not listen there" in finished.stderr


def test_nobody_to_ask_is_exit_status_2(shell: Shell) -> None:
    port = ReservedPort()
    url = f"http://127.0.0.1:{port.number}"
    for words in (["status"], ["hash", "wait", "1"], ["hash", "submit"]):
        finished = shell(*words, "--url", url, typed=b"secret")
        assert finished.status == 2
        assert finished.stderr == f"tsdaemon: {url}: Connection refused\n"
    port.close()


def test_a_password_becomes_a_job_and_the_job_a_hash(shell: Shell) -> None:
    submitted = shell("hash", "submit", *shell.url("hash"), typed=b"angryMonkey\n")
    assert submitted.status == 0
    waited = shell("hash", "wait", submitted.stdout.strip(), *shell.url("hash"))
    assert (waited.status, waited.stdout, waited.stderr) == (0, f"{HASH}\n", "")


def test_a_job_that_never_was_is_told(shell: Shell) -> None:
    finished = shell("hash", "wait", "999999", *shell.url("hash"))
    assert (finished.status, finished.stdout) == (1, "")
    assert " 404 " in finished.stderr
    assert finished.stderr.count("\n") == 1


def test_a_password_of_any_length_is_taken_or_refused(shell: Shell) -> None:
    most = 64 * 1024
    taken = shell("hash", "submit", *shell.url("hash"), typed=b"\xff" * most)
    assert taken.status == 0
    refused = shell("hash", "submit", *shell.url("hash"), typed=b"\xff" * (most + 1))
    assert refused.status == 1
    assert " 413 " in refused.stderr


def test_the_round_trip_prints_what_came_back(shell: Shell) -> None:
    finished = shell("timestamp", "1700000000.25")
    assert finished == Finished(0, "1700000000.25\n", "")
    wrong = shell("timestamp", "yesterday")
    assert (wrong.status, wrong.stdout) == (1, "")
    assert wrong.stderr.count("\n") == 1


def test_check_does_what_the_daemon_would(shell: Shell) -> None:
    finished = shell("check", "--set", "numbers.clients=3")
    assert (finished.status, finished.stderr) == (0, "")
    assert "\nclients = 3\n" in finished.stdout
    wrong = shell("check", "--set", "numbers.clients=none")
    assert (wrong.status, wrong.stdout) == (2, "")
    assert wrong.stderr.count("\n") == 1


# A shell gives its programs all signals, whatever this process may have blocked or ignored.
_TAKE_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.pthread_sigmask(signal.SIG_SETMASK, [])
signal.signal(signal.SIGINT, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """The script in a terminal of its own."""

    def __init__(self, *words: str | Path) -> None:
        self._descriptor, other_end = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_TERMINAL, TSDAEMON, *words],
            stdin=other_end,
            stdout=other_end,
            stderr=other_end,
            start_new_session=True,
        )
        os.close(other_end)
        self.shown = b""

    def read_until(self, wanted: bytes) -> None:
        """Read what is shown until something comes."""
        while wanted not in self.shown:
            self.shown += self._read()

    def type(self, text: bytes) -> None:
        """Type something."""
        os.write(self._descriptor, text)

    def end(self) -> int:
        """Wait for the script's end, and give its exit status; negative: the signal."""
        with suppress(OSError):  # how a terminal says that nobody is there any more
            while piece := self._read():
                self.shown += piece
        os.close(self._descriptor)
        return self._process.wait(TIMEOUT_S)

    def _read(self) -> bytes:
        ready, _, _ = select.select([self._descriptor], [], [], TIMEOUT_S)
        if not ready:
            self._process.kill()
        assert ready, f"nothing more is shown: {self.shown!r}"
        return os.read(self._descriptor, 4096)


def test_a_password_is_asked_for_and_not_shown(shell: Shell) -> None:
    terminal = Terminal("hash", "submit", *shell.url("hash"))
    terminal.read_until(b"Password: ")
    terminal.type(b"angryMonkey\n")
    assert terminal.end() == 0
    assert re.fullmatch(rb"Password: \r\n[0-9]+\r\n", terminal.shown)


def test_a_terminal_gets_a_progress_bar(shell: Shell, file: Path) -> None:
    terminal = Terminal("numbers", "send", file, *shell.to, "--rate", "200000")
    terminal.read_until(b"[")
    terminal.read_until(b"% ")
    assert terminal.end() == 0
    assert b"\r\x1b[Ksent 100000 numbers" in terminal.shown


def test_ctrl_c_is_quiet(shell: Shell) -> None:
    terminal = Terminal("numbers", "send", "-", *shell.to, "--connections", "1")
    terminal.type(b"800000001\n")
    shell.daemon.wait_for([800_000_001])
    terminal.type(b"\x03")
    assert terminal.end() == 130
    assert b"Traceback" not in terminal.shown


def test_terminate_in_a_file_ends_the_daemon_when_all_is_in_the_log(
    start: Starter, file: Path
) -> None:
    shell = Shell(start)
    with file.open("ab") as more:
        more.write(b"terminate\n")
    finished = shell("numbers", "send", file, *shell.to)
    assert (finished.status, finished.stderr) == (0, "")
    assert finished.stdout.endswith(", then terminate\n")
    assert shell.daemon.wait() == 0
    assert len(shell.daemon.lines()) == 100_000


def test_a_daemon_that_drains_is_not_ready(start: Starter) -> None:
    shell = Shell(start, delay_s=3600)
    assert shell("hash", "submit", *shell.url("hash"), typed=b"secret").status == 0
    shell.daemon.signal(signal.SIGTERM)
    seen = eventually(
        lambda: [
            finished
            for finished in [shell("status", *shell.url("admin"))]
            if "not ready" in finished.stdout
        ]
    )
    assert seen[0].status == 1
    assert " is not ready (draining), up " in seen[0].stdout
