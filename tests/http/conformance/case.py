"""What a row of the table says, and short ways to write the usual rows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple


class Level(Enum):
    """Who wants it."""

    MUST = "the RFC demands it, or leaves a choice of which this is one"
    SHOULD = "the RFC recommends it"
    OURS = "the RFC is silent or more lenient; this server is strict"


MUST: Final = Level.MUST
SHOULD: Final = Level.SHOULD
OURS: Final = Level.OURS


class Seen(NamedTuple):
    """A request as the application gets it.

    :ivar method: as sent.
    :ivar target: path and query.
    :ivar body: the content, its transfer coding undone.
    :ivar host: the host that the request is for, without its port.
    """

    method: bytes
    target: bytes
    body: bytes = b""
    host: bytes = b"a"


@dataclass(frozen=True)
class Case:
    """A row: what a client sends on a new connection, and what becomes of it.

    :ivar id: its name in the test report.
    :ivar rule: the section, or the rule of this server.
    :ivar why: the rule in our words.
    :ivar send: the bytes; the client waits for what there is to come between two pieces.
    :ivar expect: the status of every final reply, in order.
    :ivar seen: the requests that reach the application.
    :ivar closes: the server ends the connection.
    :ivar level: who wants it.
    :ivar continues: how many ``100 Continue`` a client gets that sends slowly.
    :ivar methods: of the requests, in order, where ``seen`` does not tell them all.
    :ivar ends: the client closes its side afterwards.
    """

    id: str
    rule: str
    why: str
    send: tuple[bytes, ...]
    expect: tuple[int, ...]
    seen: tuple[Seen, ...] = ()
    closes: bool = False
    level: Level = MUST
    continues: int = 0
    methods: tuple[bytes, ...] = ()
    ends: bool = False

    @property
    def raw(self) -> bytes:
        """All that the client sends."""
        return b"".join(self.send)

    @property
    def asked(self) -> tuple[bytes, ...]:
        """The methods of the requests, as far as they are known."""
        return self.methods or tuple(seen.method for seen in self.seen)


def pieces(send: bytes | tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Give what is sent as a tuple."""
    return (send,) if isinstance(send, bytes) else send


def taken(
    name: str,
    rule: str,
    why: str,
    send: bytes | tuple[bytes, ...],
    *seen: Seen,
    level: Level = MUST,
    closes: bool = False,
    continues: int = 0,
) -> Case:
    """Write a row whose requests all reach the application and are answered 200."""
    return Case(
        name,
        rule,
        why,
        pieces(send),
        (200,) * len(seen),
        seen,
        closes=closes,
        level=level,
        continues=continues,
    )


def refused(
    name: str,
    rule: str,
    why: str,
    send: bytes | tuple[bytes, ...],
    *seen: Seen,
    status: int = 400,
    level: Level = MUST,
    methods: tuple[bytes, ...] = (),
    continues: int = 0,
) -> Case:
    """Write a row that ends with a refusal, after the replies to the requests before it."""
    return Case(
        name,
        rule,
        why,
        pieces(send),
        (*(200,) * len(seen), status),
        seen,
        closes=True,
        level=level,
        continues=continues,
        methods=methods,
    )
