"""Clients that take all descriptors there are."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.system.callbacks import body_of
from tests.system.clients import Client
from tests.system.faults.shaky import Shaky
from tests.system.http_clients import EndedError
from tests.system.running import eventually
from tests.system.whole import WEB

ROOM = 100
"""Descriptors that the daemon may have beside those that it has."""

MANY = 300

LATE = 1_000_000
"""An object that the load does not name."""

LINES = 60
"""Lines of the log that are no flood."""

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def descriptors(whole: Shaky) -> int:
    """Give how many descriptors the daemon has."""
    return len(os.listdir(f"/proc/{whole.daemon.pid}/fd"))  # noqa: PTH208


def processor_s(whole: Shaky) -> float:
    """Give how much of a processor's time the daemon has used."""
    fields = Path(f"/proc/{whole.daemon.pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / TICKS_A_SECOND


def logged(whole: Shaky) -> int:
    """Give how many lines the daemon has logged."""
    return whole.daemon.stderr.count("\n")


def is_refused(whole: Shaky, name: str) -> bool:
    """Whether a new client hears that there is no room; more than some are just closed."""
    try:
        reply = whole.ask(name, "GET", "/")
    except EndedError:
        return False
    return (reply.status, reply.fields.get("retry-after")) == (503, "1")


@contextmanager
def taken(whole: Shaky) -> Iterator[ExitStack]:
    """Let clients of all HTTP services take all descriptors that the daemon may have."""
    _, hard = resource.prlimit(whole.daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(whole.daemon.pid, resource.RLIMIT_NOFILE, (descriptors(whole) + ROOM, hard))
    with ExitStack() as stack:
        for _ in range(MANY):
            for name in WEB[:4]:
                stack.callback(Client(whole.places[name].address).close)
        yield stack
    resource.prlimit(whole.daemon.pid, resource.RLIMIT_NOFILE, (hard, hard))


def test_without_descriptors_who_is_connected_is_served_and_others_are_refused(shaky: Shaky):
    """And when nobody asks for anything, the daemon is idle."""
    whole, load = shaky, shaky.load
    whole.live()
    with load.running():
        before = logged(whole)
        with taken(whole):
            load.advance()
        load.advance()
        whole.wait_for_troubles()
    load.require_log()
    load.require_kept()
    whole.require_all_callbacks()
    assert logged(whole) - before < LINES
    before = logged(whole)
    with taken(whole):
        for name in WEB[:4]:
            eventually(partial(is_refused, whole, name))
        used_s = processor_s(whole)
        time.sleep(1)  # in which a busy loop would use all of it
        assert processor_s(whole) - used_s < 0.5
        assert whole.daemon.is_running
    eventually(lambda: whole.ask("callback", "POST", "/callback", body_of([LATE])).status == 204)
    whole.require_all_callbacks(LATE)
    assert logged(whole) - before < LINES
    whole.wait_for_troubles()
    assert whole.daemon.stop() == 0
