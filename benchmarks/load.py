"""Server processes under load: start, stop, what they cost, and their port.

Linux only: everything is read from ``/proc``, so that looking at a server never
takes one of its client places.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")
TCP_LISTEN = "0A"
POLL_SECONDS = 0.001
START_SECONDS = 30.0
STOP_SECONDS = 60.0
TAIL_LINES = 20


class BenchmarkError(Exception):
    """A run which cannot be counted; its text is for the person who runs it."""


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket, as the kernel shows it."""

    inode: str
    backlog: int
    """Connections made by clients which the server has not accepted yet."""


def listeners(port: int) -> list[Listener]:
    """Return the sockets which listen on ``port``, IPv4 and IPv6."""
    found = []
    for table in ("tcp", "tcp6"):
        path = PROC / "net" / table
        rows = path.read_text("ascii").splitlines()[1:] if path.exists() else []
        for fields in map(str.split, rows):
            local_port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == TCP_LISTEN and local_port == port:
                backlog = int(fields[4].partition(":")[2], 16)
                found.append(Listener(inode=fields[9], backlog=backlog))
    return found


def stat_fields(pid: int) -> list[str]:
    """Return ``/proc/PID/stat`` from the state (field 3) on; empty if it is gone."""
    try:
        text = (PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    # The name in brackets may hold spaces and brackets itself.
    return text.rpartition(")")[2].split()


def process_tree(root: int) -> list[int]:
    """Return ``root`` and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := stat_fields(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    tree = [root]
    for pid in tree:
        tree.extend(children.get(pid, ()))
    return tree


def cpu_seconds(root: int) -> float:
    """Return user and system CPU seconds of a process tree, all threads.

    Children which ended and were waited for are included.
    """
    ticks = 0
    for pid in process_tree(root):
        ticks += sum(map(int, stat_fields(pid)[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_bytes(root: int) -> int:
    """Return the sum of the peak resident sizes (VmHWM) of a process tree, bytes."""
    total = 0
    for pid in process_tree(root):
        try:
            status = (PROC / str(pid) / "status").read_text("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                total += int(line.split()[1]) * 1024
    return total


def open_sockets(root: int) -> Iterator[str]:
    """Yield the inodes of the sockets which a process tree holds."""
    for pid in process_tree(root):
        try:
            links = [str(fd.readlink()) for fd in (PROC / str(pid) / "fd").iterdir()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for link in links:
            if link.startswith("socket:["):
                yield link[len("socket:[") : -1]


def tail(path: Path) -> str:
    """Return the last lines of a text file."""
    lines = path.read_text("utf-8", "replace").splitlines()[-TAIL_LINES:]
    return "\n".join(f"    {line}" for line in lines) or "    (empty)"


class ServerProcess:
    """A server in a folder of its own, started on entry and gone after exit."""

    def __init__(self, name: str, command: Sequence[str], port: int, folder: Path) -> None:
        self.name = name
        self.port = port
        self.folder = folder
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the server and wait until it listens, without connecting to it."""
        if listeners(self.port):
            raise BenchmarkError(f"something else listens on port {self.port}")
        with (
            (self.folder / "stdout").open("wb") as out,
            (self.folder / "stderr").open("wb") as err,
        ):
            self._process = self._start(out.fileno(), err.fileno())
        try:
            self._wait_until_listening()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill what may be left of the server."""
        self._kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The started process."""
        if self._process is None:
            raise RuntimeError("the server has not been started")
        return self._process

    def cpu_seconds(self) -> float:
        """Return the CPU seconds the server has used since its start."""
        return cpu_seconds(self.process.pid)

    def peak_bytes(self) -> int:
        """Return the peak resident size so far, bytes."""
        return peak_bytes(self.process.pid)

    def require_alive(self) -> None:
        """Raise with the end of the server's output if it has ended."""
        status = self.process.poll()
        if status is not None:
            raise self.failure(f"ended early with status {status}")

    def failure(self, what: str) -> BenchmarkError:
        """Return an exception which says ``what`` and shows the server's output."""
        return BenchmarkError(
            f"{self.name}: {what}\n"
            f"  end of stdout:\n{tail(self.folder / 'stdout')}\n"
            f"  end of stderr:\n{tail(self.folder / 'stderr')}"
        )

    def wait_until_accepted(self, seconds: float = START_SECONDS) -> None:
        """Wait until the server has accepted every connection made so far."""
        deadline = time.monotonic() + seconds
        while any(listener.backlog for listener in listeners(self.port)):
            self.require_alive()
            if time.monotonic() > deadline:
                raise self.failure(f"did not accept within {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def wait_until_gone(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the end of the process and return its status."""
        # Popen.wait() with a time-out sleeps up to 50 ms too long; a pidfd does not.
        descriptor = os.pidfd_open(self.process.pid)
        try:
            ended, _, _ = select.select([descriptor], [], [], seconds)
        finally:
            os.close(descriptor)
        if not ended:
            raise self.failure(f"did not end within {seconds:g} s")
        return self.process.wait()

    def terminate(self) -> int:
        """Send SIGTERM, wait for the end and return the exit status."""
        self.require_alive()
        self.process.send_signal(signal.SIGTERM)
        return self.wait_until_gone()

    def _start(self, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self._command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                # A process group of its own: nothing of it can outlive the run.
                start_new_session=True,
            )
        except OSError as error:
            raise BenchmarkError(f"{self.name}: cannot start: {error}") from error

    def _wait_until_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._is_listening():
            self.require_alive()
            if time.monotonic() > deadline:
                raise self.failure(f"does not listen on port {self.port}")
            time.sleep(0.01)

    def _is_listening(self) -> bool:
        inodes = {listener.inode for listener in listeners(self.port)}
        # Another program's listener on the same port must not count.
        return bool(inodes) and not inodes.isdisjoint(open_sockets(self.process.pid))

    def _kill(self) -> None:
        if self._process is None:
            return
        # Its descendants too; nothing is left to kill after a normal end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
