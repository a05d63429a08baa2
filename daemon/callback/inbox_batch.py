"""What a commit of the inbox brings to disk: a rule, without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from daemon.callback.inbox_tables import Callback, Rejected, Work


class Aside(NamedTuple):
    """A damaged callback that moves to the rejected ones.

    :ivar number: what it was as a callback.
    :ivar kept: what it is then.
    """

    number: int
    kept: Rejected


class Nudge:
    """An item that brings nothing: for a commit of what waits."""


NUDGE: Final = Nudge()

Item = Callback | Rejected | Aside | Nudge


class Batch(NamedTuple):
    """What is stored together.

    :ivar items: as they were submitted.
    :ivar rewritten: callbacks that were in memory only.
    """

    items: Sequence[Item]
    rewritten: Sequence[Callback]
    work: Work


def work_of(items: Sequence[Item], rewritten: list[Callback], settled: list[int]) -> Work:
    """Give what the transaction of a batch does.

    :param rewritten: callbacks that were in memory only, older than those among the items.
    :param settled: numbers of callbacks that are done with.
    """
    aside = [item for item in items if isinstance(item, Aside)]
    accepted = [item for item in items if isinstance(item, Callback)]
    rejected = [item for item in items if isinstance(item, Rejected)]
    return Work(
        rewritten + accepted,
        sorted(rejected + [item.kept for item in aside]),
        settled + [item.number for item in aside],
    )
