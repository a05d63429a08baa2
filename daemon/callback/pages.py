"""Pages of the callback service's lists, as JSON: made piece by piece, since they may be long."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from daemon.callback.inbox import Rejected
from daemon.callback.objects.seen import Seen

PIECE_ROWS: Final = 100
"""So many objects are written in one piece, which takes 50 µs."""

_US: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def object_pieces(rows: Sequence[Seen]) -> Iterator[bytes]:
    """Write objects, as the elements of an array."""
    # Those of one page were mostly seen within the same few seconds.
    seconds: dict[int, str] = {}
    for start in range(0, len(rows), PIECE_ROWS):
        piece = []
        for number, last_seen_us in rows[start : start + PIECE_ROWS]:
            second, rest_us = divmod(last_seen_us, _US)
            text = seconds.get(second)
            if text is None:
                text = seconds[second] = _date_and_time(second)
            piece.append(f'{{"id":{number},"last_seen":"{text}.{rest_us:06}Z"}}')
        yield ",".join(piece).encode()


def rejected_pieces(rows: Iterable[Rejected]) -> Iterator[bytes]:
    """Write rejected bodies, as the elements of an array; each is a piece."""
    for row in rows:
        shown: dict[str, Any] = {"received": rfc3339(row.received_us), "reason": row.reason}
        try:
            shown["body"] = row.body.decode()
        except UnicodeDecodeError:
            shown["body_base64"] = b64encode(row.body).decode()
        yield msgspec.json.encode(shown)


def page(name: str, pieces: Iterable[bytes], more: str | None) -> bytes:
    """Write a page.

    :param name: of the array.
    :param pieces: its elements.
    :param more: where the next page is; None: this is the last.
    """
    return b'{"%s":[%s],"next":%s}' % (
        name.encode(),
        b",".join(pieces),
        msgspec.json.encode(more),
    )


def rfc3339(time_us: int) -> str:
    """Write a time as RFC 3339 wants it, in UTC.

    :param time_us: microseconds since the epoch, within the years 1 to 9999.
    """
    second, rest_us = divmod(time_us, _US)
    return f"{_date_and_time(second)}.{rest_us:06}Z"


def _date_and_time(second: int) -> str:
    time = _EPOCH + timedelta(seconds=second)
    return time.replace(tzinfo=None).isoformat(timespec="seconds")
