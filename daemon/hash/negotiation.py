"""What a client would like: the form of the reply, and how long it would wait for it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

JSON: Final = "application/json"
TEXT: Final = "text/plain"

_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_PREFERENCE: Final = re.compile(rf'(?:{_QUOTED}|[^,"])+')
_WAIT: Final = re.compile(r'wait[ \t]*=[ \t]*(?:([0-9]+)|"([0-9]+)")[ \t]*(?:;.*)?', re.IGNORECASE)
_MOST_DIGITS: Final = 9
_MOST_S: Final = 10**_MOST_DIGITS
"""Seconds; whoever would wait longer waits for that."""

_IS_WAIT: Final = re.compile(r"wait[ \t]*(?:[=;]|\Z)", re.IGNORECASE)


@lru_cache(maxsize=256)
def wants_json(accept: bytes | None, *, asked_in_json: bool) -> bool:
    """Whether a client gets JSON; else it gets plain text.

    It does when it likes JSON better than text, or as well and by name. Who has no opinion, as with
    ``*/*``, gets JSON for JSON.

    :param accept: the value of ``Accept``, None without one.
    :param asked_in_json: the request's body is JSON.
    """
    if accept is None or not accept.strip():
        return asked_in_json
    ranges = parse_accept_header(accept.decode("latin-1"), MIMEAccept)
    json, text = ranges.quality(JSON), ranges.quality(TEXT)
    if json != text:
        return json > text
    if json == 0:
        return False
    named = {value.partition(";")[0].strip().lower() for value, quality in ranges if quality > 0}
    return JSON in named or (TEXT not in named and asked_in_json)


@lru_cache(maxsize=256)
def preferred_wait_s(prefer: bytes) -> int | None:
    """Give the seconds of the preference ``wait`` (RFC 7240 section 4.3), None without it.

    The first one counts, and a malformed one is none (section 2).

    :param prefer: the value of ``Prefer``; of several fields, joined by commas.
    """
    for each in _PREFERENCE.findall(prefer.decode("latin-1")):
        preference = each.strip(" \t")
        if _IS_WAIT.match(preference):
            match = _WAIT.fullmatch(preference)
            return _seconds(match[1] or match[2]) if match else None
    return None


def _seconds(digits: str) -> int:
    digits = digits.lstrip("0")
    return _MOST_S if len(digits) > _MOST_DIGITS else int(digits or "0")
