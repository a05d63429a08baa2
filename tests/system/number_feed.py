"""A client of the number server that knows what it sent, and what of it must be in the log."""

from __future__ import annotations

import random
import threading
from pathlib import Path

from tests.system.clients import Client, lines
from tests.system.http_clients import Place


class NumberFeed:
    """Sends numbers to one daemon, some of them twice, and looks into its log now and then.

    :param place: where the daemon listens.
    :param log: the log of numbers.
    :param pause_s: before each block, beside some milliseconds.
    :ivar sent: all that may have arrived.
    :ivar seen: the log as it was last seen.
    """

    def __init__(self, place: Place, log: Path, pause_s: float = 0.0) -> None:
        self.sent: set[int] = set()
        self.seen = b""
        self._place = place
        self._log = log
        self._pause_s = pause_s
        self._random = random.Random()  # noqa: S311

    def run(self, stopped: threading.Event) -> None:
        """Send until someone says stop, or nobody listens any more.

        Who is disconnected, since the disk is full, connects again.
        """
        try:
            while not stopped.wait(0.01):
                self._send(stopped)
        except ConnectionRefusedError:
            return

    def _send(self, stopped: threading.Event) -> None:
        client = Client(self._place.address)
        try:
            while not stopped.wait(self._pause_s + self._random.uniform(0, 0.005)):
                block = [
                    self._random.randrange(10 ** self._random.randint(1, 9))
                    for _ in range(self._random.randint(1, 30))
                ]
                self.sent.update(block)
                client.send(lines(block))
                if self._random.random() < 0.1:
                    self.seen = self._log.read_bytes()
        except ConnectionError:
            return
        finally:
            client.close()
