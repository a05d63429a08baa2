"""The places of the number server: how many clients it serves at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Client(Protocol):
    """Someone who holds a place."""

    def has_hung_up(self) -> bool:
        """Whether the other side has ended, even if not all it sent is read."""

    def read_received(self) -> None:
        """Read what the system has received from the client so far."""

    def disconnect(self) -> None:
        """Close the connection."""


Occupant = TypeVar("Occupant", bound=Client)


class Places(Generic[Occupant]):
    """A fixed number of places, each taken by one client and given back once.

    :param limit: how many.
    :ivar turned_away: how many clients got none.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: set[Occupant] = set()
        self.turned_away = 0

    def __iter__(self) -> Iterator[Occupant]:
        """Go through the clients, as they are now."""
        return iter(list(self._taken))

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, client: Occupant) -> bool:
        """Give a client a place, if there is one.

        Before the answer is no, the clients that have hung up are read to their end and lose
        their places: the system may tell of a new connection before the end of an old one that
        came first.
        """
        if not self.closed and len(self._taken) >= self._limit:
            self._settle()
        if len(self._taken) >= self._limit:
            self.turned_away += 1
            return False
        self._taken.add(client)
        return True

    @property
    def closed(self) -> bool:
        """Whether nobody gets a place any more."""
        return self._limit == 0

    def close(self) -> None:
        """Give no place to anyone from now on."""
        self._limit = 0

    def give_back(self, client: Occupant) -> None:
        """Free a client's place; for one that has none, nothing changes."""
        self._taken.discard(client)

    def _settle(self) -> None:
        for client in self:
            if client.has_hung_up():
                client.read_received()
                client.disconnect()
                self.give_back(client)
