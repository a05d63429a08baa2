"""What systemd is told: that the daemon is ready, how it is, that it lives, that it stops.

The protocol is that of ``sd_notify(3)``: a datagram of ``NAME=value`` lines to the socket that the
environment names. Where it names none, nobody is told anything.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from daemon.health import Phase, State
from daemon.overview import Overview
from daemon.redaction import redact

LOOK_S: Final = 2.0
"""How often the status is looked at; it is told when it has changed."""

EXTEND_S: Final = 1.0
EXTENSION_S: Final = 10.0
"""While it drains, the daemon asks this often for that much more time, as long as it lives."""

STATUS_CHARACTERS: Final = 500

_US: Final = 1_000_000


class NotifySocket:
    """The socket on which systemd listens.

    :param address: a path, or, with ``@`` before it, a name in Linux's abstract namespace.
    """

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def send(self, fields: dict[str, str]) -> bool:
        """Send one datagram; False when nobody is there to take it, or takes it at once."""
        text = "\n".join(f"{name}={value}" for name, value in fields.items())
        try:
            self._socket.sendto(text.encode(errors="backslashreplace"), self._address)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()


class Systemd:
    """Tells systemd how the daemon is, from the reactor: one that is stuck tells nothing.

    What systemd does not take is told again at the next look. It never holds the daemon up.

    :param clock: schedules.
    :param environment: where ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` are taken
        out, so that no child of the daemon speaks in its place.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, environment: MutableMapping[str, str]) -> None:
        address = environment.pop("NOTIFY_SOCKET", "")
        self._watchdog_us = environment.pop("WATCHDOG_USEC", "")
        self._watchdog_pid = environment.pop("WATCHDOG_PID", "")
        self._socket = NotifySocket(address) if address else None
        self._untold: dict[str, str] = {}
        self._status = ""
        self._deaf = False
        self._overview = Overview()
        self._looks = self._loop(clock, self._look)
        self._extensions = self._loop(clock, self._extend)
        self._watchdog = self._loop(clock, self._bark)

    def ready(self, overview: Overview) -> None:
        """Say that the daemon serves, and go on to tell how it is."""
        if self._socket is None:
            return
        self._overview = overview
        self._status = summary(overview)
        self._tell(READY="1", STATUS=self._status)
        self._looks.start(LOOK_S, now=False)
        interval_s = self._watchdog_interval_s()
        if interval_s is not None:
            self._watchdog.start(interval_s)

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say that settings are being read anew, and that they have been."""
        self._tell(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
        try:
            yield
        finally:
            for name in ("RELOADING", "MONOTONIC_USEC"):
                self._untold.pop(name, None)
            self._tell(READY="1")

    def stopping(self) -> None:
        """Say that the daemon drains, and ask for the time that it needs, again and again."""
        if self._socket is None:
            return
        self._untold.clear()
        self._status = summary(self._overview)
        self._tell(STOPPING="1", STATUS=self._status)
        self._extensions.start(EXTEND_S)

    def failed(self, why: str) -> None:
        """Say why the daemon does not start."""
        self._tell(STATUS=_one_line(f"not started: {why}"))

    def end(self) -> None:
        """Tell nothing any more."""
        for loop in (self._looks, self._extensions, self._watchdog):
            if loop.running:
                loop.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _loop(self, clock: IReactorTime, work: Callable[[], None]) -> LoopingCall:
        loop = LoopingCall(work)
        loop.clock = clock
        return loop

    def _watchdog_interval_s(self) -> float | None:
        """Half of the time after which systemd takes the daemon for stuck."""
        us, pid = self._watchdog_us, self._watchdog_pid
        if not us.isdecimal() or int(us) == 0 or pid not in ("", str(os.getpid())):
            return None
        return int(us) / _US / 2

    def _look(self) -> None:
        status = summary(self._overview)
        if status != self._status:
            self._status = status
            self._tell(STATUS=status)
        elif self._untold:
            self._tell()

    def _extend(self) -> None:
        self._tell(EXTEND_TIMEOUT_USEC=str(round(EXTENSION_S * _US)))

    def _bark(self) -> None:
        self._tell(WATCHDOG="1")

    def _tell(self, **fields: str) -> None:
        """Tell this, and what could not be told before."""
        if self._socket is None:
            return
        self._untold |= fields
        if self._socket.send(self._untold):
            self._untold = {}
            self._deaf = False
        elif not self._deaf:
            self._deaf = True
            self.log.warn("systemd does not take what it is told; the daemon tries on")


def summary(overview: Overview) -> str:
    """Say in one line how the daemon is: its services, and what is wrong with which."""
    healths = [member.health for member in overview.members.values()]
    if overview.phase is Phase.DRAINING:
        busy = [health.service for health in healths if health.state is not State.STOPPED]
        return _one_line(f"stopping: {', '.join(busy) or 'all services have stopped'}")
    troubles = [
        f"{health.service} {'cannot do its job' if not health.ok else 'is degraded'}: {health.why}"
        for health in healths
        if health.degraded
    ]
    well = [health.service for health in healths if not health.degraded]
    return _one_line("; ".join([*troubles, f"well: {', '.join(well) or 'none'}"]))


def _one_line(text: str) -> str:
    """Cut text down to one line without passwords, of a length that ``systemctl`` shows."""
    line = " ".join(redact(text).split())
    return line if len(line) <= STATUS_CHARACTERS else f"{line[: STATUS_CHARACTERS - 1]}…"
