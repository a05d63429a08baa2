"""The whole daemon with its load and its faults."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from tests.system.callbacks import body_of, even, object_source
from tests.system.clients import Client, fresh_numbers
from tests.system.conftest import Starter
from tests.system.faults.control import Faults
from tests.system.hash_history import FORM
from tests.system.http_clients import TEXT, WebDaemon
from tests.system.running import ReservedPort, eventually
from tests.system.whole import Whole
from tests.system.whole_load import MixedLoad

LONG: Final = os.environ.get("LONG_TESTS", "") not in {"", "0"}
"""Whether there is time for more of the same."""

DELAY_S: Final = 0.5
"""From a job's arrival until its hash can be read."""

PAUSE_S: Final = 0.0 if LONG else 0.02
"""Between two requests of a client."""

POLL_S: Final = 0.1
"""Between two looks at what the admin port says: it costs more than to look at a file."""

NEED_NO_SYNC: Final = ("counter", "hash", "numbers")
"""Services whose answers do not wait for the disk."""

SYNC_S: Final = 0.1
"""How often what is kept in mapped files is synced."""

_DEPTH: Final = re.compile(r"^tsdaemon_callback_inbox_depth (\S+)$", re.MULTILINE)

REFUSED: Final = frozenset({503, 507})
"""What a write of a timestamp gets that was not stored."""


class Source(NamedTuple):
    """Where objects are looked up.

    :ivar port: where it listens, or another will.
    :ivar daemon: what listens there.
    """

    port: ReservedPort
    daemon: WebDaemon


def started_source(start: Starter, port: ReservedPort | None = None) -> Source:
    """Start a source that answers soon.

    :param port: where; a free one if None.
    """
    port = port or start.port()
    delays = ("--min-delay", "0", "--max-delay", "0.05")
    return Source(port, object_source(start, *delays, port=port))


class Shaky(Whole):
    """A daemon with all services, whose surroundings fail.

    :param faults: what fails.
    :param source: where objects are looked up.
    :ivar load: clients of all services.
    """

    def __init__(self, start: Starter, faults: Faults, source: Source, *settings: str) -> None:
        super().__init__(start, source.port, *settings, environment=faults.environment)
        self.faults = faults
        self.source = source
        self.load = MixedLoad(self, DELAY_S, REFUSED, PAUSE_S)

    @property
    def state(self) -> Path:
        """The folder for what outlives the daemon."""
        return self.log.parent / "tsdaemon-state"

    def wait_for_troubles(self, *names: str) -> dict[str, str]:
        """Wait until exactly these services say that something is wrong, and give what."""
        eventually(lambda: self.troubles().keys() == set(names), pause_s=POLL_S)
        return self.troubles()

    def inbox_depth(self) -> float:
        """Give how many callbacks are accepted and not settled."""
        text = self.ask("admin", "GET", "/metrics").body.decode()
        found = _DEPTH.search(text)
        assert found is not None
        return float(found[1])

    def require_all_callbacks(self, *more: int) -> None:
        """See that all callbacks that were sent arrived, also those whose sender had gone.

        :param more: objects that were named beside those of the load.
        """
        sent = set(more) | even(itertools.chain(*(sender.sent for sender in self.load.senders)))
        eventually(lambda: self.database.ids() == sent)


def touch(whole: Shaky, *names: str) -> None:
    """Have services change what they keep."""
    asked = {
        "timestamp": ("PUT", "/timestamp", b"1", TEXT),
        "counter": ("GET", "/", None, TEXT),
        "hash": ("POST", "/hash", b"password=a", FORM),
        "callback": ("POST", "/callback", body_of([2]), "application/json"),
    }
    for name in names:
        if name == "numbers":
            Client(whole.places[name].address).send_numbers(fresh_numbers(1)).close()
        else:
            method, target, body, kind = asked[name]
            whole.ask(name, method, target, body, content_type=kind)
