"""How well a service is. Holds no service's knowledge."""

from __future__ import annotations

from twisted.logger import Logger


class Health:
    """The state of one service: well, or degraded for one or more reasons.

    Degraded means: the service runs, and someone should look at it. Every change is logged once.

    :param service: the service's name, for the log.
    """

    log = Logger()

    def __init__(self, service: str) -> None:
        self.service = service
        self._troubles: dict[str, str] = {}

    @property
    def why(self) -> str | None:
        """What is wrong, in one line; None when all is well."""
        return "; ".join(self._troubles.values()) or None

    def degrade(self, part: str, why: str) -> None:
        """Say that a part of the service is in trouble. The same again changes nothing.

        :param part: names the part, for :meth:`recover`.
        :param why: what is wrong with it, in one line.
        """
        if self._troubles.get(part) != why:
            self._troubles[part] = why
            self.log.error("{service} is degraded: {why}", service=self.service, why=why)

    def recover(self, part: str) -> None:
        """Say that a part is well again."""
        why = self._troubles.pop(part, None)
        if why is not None:
            self.log.info("{service} is over this: {why}", service=self.service, why=why)
