"""A client of the counter that knows what it was answered, over restarts."""

from __future__ import annotations

import threading
import time

from tests.system.http_clients import EndedError, HTTPClient, Place


class Counted:
    """A client that asks again and again, over restarts, and knows what it was answered.

    :param pause_s: between a reply and the next request.

    :ivar answered: whole replies so far.
    :ivar lost: requests without a reply, which may have been counted or not.
    """

    def __init__(self, place: Place, pause_s: float = 0.0) -> None:
        self.answered = 0
        self.lost = 0
        self._place = place
        self._pause_s = pause_s

    def run(self, stopped: threading.Event) -> None:
        """Ask until someone says stop."""
        while not stopped.is_set():
            try:
                client = HTTPClient(self._place.address)
            except ConnectionError:
                time.sleep(0.01)
                continue
            try:
                while not stopped.wait(self._pause_s):
                    assert client.ask("GET", "/").status == 200
                    self.answered += 1
            except EndedError:
                self.lost += 1
            finally:
                client.close()
