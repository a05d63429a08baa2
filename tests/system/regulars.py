"""Clients that use all services as they are meant to be used, whatever others do meanwhile."""

from __future__ import annotations

import itertools
import os
import re
from base64 import b64encode
from contextlib import ExitStack, closing
from hashlib import sha512
from pathlib import Path
from typing import Self

from tests.system.callbacks import body_of
from tests.system.clients import Client, fresh_numbers
from tests.system.hash_history import FORM
from tests.system.http_clients import TEXT, EndedError, HTTPClient, Reply
from tests.system.running import eventually
from tests.system.whole import WEB, Whole

ABOVE_INFO = re.compile(r"#(?:warn|error|critical)\]")

_numbers = itertools.count(1_000_000, 2)
"""Objects that nobody else has named; the source says that they are online."""


def memory_bytes(whole: Whole) -> int:
    """Give what the daemon has in memory."""
    pages = int(Path(f"/proc/{whole.daemon.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(whole: Whole) -> int:
    """Give how many descriptors the daemon has."""
    return sum(1 for _ in Path(f"/proc/{whole.daemon.pid}/fd").iterdir())


class Regulars:
    """A client of each service, each on a connection that stays open.

    :param whole: the daemon.
    """

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._web = {name: HTTPClient(whole.places[name].address) for name in WEB}
        self._feeder = Client(whole.places["numbers"].address)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for client in (*self._web.values(), self._feeder):
            self._stack.enter_context(closing(client))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def ask(
        self, name: str, method: str, target: str, body: bytes | None = None, **fields: str
    ) -> Reply:
        """Ask a service, on the connection that is there.

        :raises EndedError: the daemon has closed it.
        """
        return self._web[name].ask(method, target, body, **fields)

    def require_service(self) -> None:
        """See that each service does its job."""
        number = next(_numbers)
        at = str(number)
        ask = self.ask
        written = ask("timestamp", "PUT", "/timestamp", at.encode(), content_type=TEXT)
        assert written.status == 204
        assert ask("timestamp", "GET", "/timestamp").body == at.encode()
        before, after = (int(ask("counter", "GET", "/").body) for _ in range(2))
        assert after > before
        job = ask("hash", "POST", "/hash", f"password={at}".encode(), content_type=FORM)
        assert ask("callback", "POST", "/callback", body_of([number])).status == 204
        (line,) = fresh_numbers(1)
        self._feeder.send_numbers([line])
        read = ask("hash", "GET", f"/hash/{int(job.body)}", None, prefer="wait=10")
        assert (read.status, read.body) == (200, b64encode(sha512(at.encode()).digest()))
        eventually(lambda: ask("callback", "GET", f"/objects/{number}").status == 200)
        eventually(lambda: str(line) in self._whole.log.read_text().split("\n"))
        assert ask("admin", "GET", "/healthz").body == b"ok"


def require_service_to_newcomers(whole: Whole) -> None:
    """See that each service serves those who come now, and that none is in trouble."""

    def served() -> bool:
        # Places that were taken by others may not be free at once.
        try:
            with Regulars(whole) as regulars:
                regulars.require_service()
        except (EndedError, ConnectionError):
            return False
        return True

    eventually(served)
    assert whole.troubles() == {}
