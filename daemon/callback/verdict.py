"""What an answer of the source says about an object: a rule, without I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec

_US: Final = 1_000_000
_SERVER_ERRORS: Final = 500
_TRY_AGAIN: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
_UNKNOWN: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
_SECONDS: Final = re.compile(rb"[0-9]{1,9}")


class Says(Enum):
    """What is known of an object after a lookup."""

    ONLINE = "online"
    OFFLINE = "offline"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    NOTHING = "nothing"


class Verdict(NamedTuple):
    """What came of one request.

    :ivar says: UNKNOWN: the source has no such object. REFUSED: it will not tell, and asking again
        is of no use. NOTHING: it has to be asked again.
    :ivar why: what was wrong, in a few words; empty when nothing was.
    :ivar wait_us: microseconds that the source wants to be left alone.
    """

    says: Says
    why: str = ""
    wait_us: int = 0


class _Answer(msgspec.Struct, gc=False):
    id: int
    online: bool


ONLINE: Final = Verdict(Says.ONLINE)
OFFLINE: Final = Verdict(Says.OFFLINE)
UNKNOWN: Final = Verdict(Says.UNKNOWN)

_decoder: Final = msgspec.json.Decoder(_Answer)


def judge(
    object_id: int, status: int, fields: Mapping[bytes, bytes], body: bytes, now_us: int
) -> Verdict:
    """Judge an answer to ``GET /objects/<id>``, whatever its Content-Type.

    :param object_id: what was asked for.
    :param fields: the answer's fields, their names in lower case.
    :param now_us: the time of day, for a ``Retry-After`` that names a date.
    """
    if status == HTTPStatus.OK:
        return _read(object_id, body)
    if status in _UNKNOWN:
        return UNKNOWN
    why = f"the source answered {status}"
    if status >= _SERVER_ERRORS or status in _TRY_AGAIN:
        return Verdict(Says.NOTHING, why, _retry_after_us(fields, now_us))
    if status >= HTTPStatus.BAD_REQUEST:
        return Verdict(Says.REFUSED, why)
    # Redirects are not followed, and no other success says anything about the object.
    return Verdict(Says.NOTHING, why)


def _read(object_id: int, body: bytes) -> Verdict:
    try:
        answer = _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return Verdict(Says.NOTHING, "the source's answer cannot be read")
    if answer.id != object_id:
        return Verdict(Says.NOTHING, "the source answered for another object")
    return ONLINE if answer.online else OFFLINE


def _retry_after_us(fields: Mapping[bytes, bytes], now_us: int) -> int:
    """Read ``Retry-After`` (RFC 9110 section 10.2.3): seconds, or a date; 0 without one."""
    value = fields.get(b"retry-after", b"").strip()
    if _SECONDS.fullmatch(value):
        return int(value) * _US
    try:
        date = parsedate_to_datetime(value.decode("ascii"))
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return max(0, int(date.timestamp()) * _US - now_us)
    except (ValueError, OverflowError):
        return 0
