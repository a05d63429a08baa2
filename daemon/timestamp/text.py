"""What a timestamp looks like: decimal seconds since the epoch, within the years 1 to 9999."""

from __future__ import annotations

import re
from typing import Final

MAX_BYTES: Final = 64
"""Bytes that the body of a request may have, white space included."""

FIRST_S: Final = -62_135_596_800
"""0001-01-01T00:00:00Z, the first second that counts."""

END_S: Final = 253_402_300_800
"""10000-01-01T00:00:00Z, the first second that does not."""

WANTED: Final = (
    "wanted is a Unix timestamp in decimal seconds of the years 1 to 9999,"
    " such as 1700000000 or -86400.25"
)
"""The rule in one line, for those who broke it."""

# A zero with a minus is another way to write 0, and so refused as leading zeros are.
_TIMESTAMP: Final = re.compile(rb"(?!-0(?:\.0*)?\Z)(-?(?:0|[1-9][0-9]*))(?:\.([0-9]{1,9}))?")

_TOO_FINE: Final = {1_000: "milliseconds", 1_000_000: "microseconds", 1_000_000_000: "nanoseconds"}


class NotATimestampError(ValueError):
    """The text is no timestamp; the message says what is wanted."""


def parse(body: bytes) -> str:
    r"""Read a timestamp.

    The text is kept as it was sent: ``1.50`` stays ``1.50``, so what is read back is what was
    written.

    :param body: an optional minus, digits without leading zeros, and at most nine more after a
        point; ASCII white space around it (blank, ``\t``, ``\n``, ``\v``, ``\f``, ``\r``) is
        ignored. No ``-0``, nor ``-0.0``.
    :returns: the timestamp without white space around it.
    :raises NotATimestampError: it is none.
    """
    text = body.strip()
    if not text:
        raise NotATimestampError(f"the body is empty; {WANTED}")
    match = _TIMESTAMP.fullmatch(text)
    if match is None or len(text) > MAX_BYTES:
        raise NotATimestampError(f"this is no timestamp; {WANTED}")
    seconds = int(match[1])
    before_the_first = seconds == FIRST_S and (match[2] or b"").strip(b"0")
    if not FIRST_S <= seconds < END_S or before_the_first:
        raise NotATimestampError(
            f"{text.decode()} is outside the years 1 to 9999{_other_unit(seconds)}; {WANTED}"
        )
    return text.decode()


def _other_unit(seconds: int) -> str:
    """Guess what someone meant whose seconds are too many."""
    for per_second, unit in _TOO_FINE.items():
        if FIRST_S <= seconds / per_second < END_S:
            return f" (are these {unit}?)"
    return ""
