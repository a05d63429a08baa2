"""Media types that requests come with and ask for."""

from __future__ import annotations

from functools import lru_cache

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header


@lru_cache(maxsize=256)
def accepts(accept: bytes | None, media_type: str) -> bool:
    """Whether a client takes a media type (RFC 9110 section 12.5.1).

    :param accept: the value of ``Accept``; without one, anything is taken.
    :param media_type: without parameters.
    """
    if accept is None or not accept.strip():
        return True
    ranges = parse_accept_header(accept.decode("latin-1"), MIMEAccept)
    return ranges.quality(media_type) > 0


@lru_cache(maxsize=256)
def content_type(value: bytes) -> tuple[str, dict[str, str]]:
    """Read the value of ``Content-Type``.

    :returns: the media type in lower case, and its parameters, their names in lower case.
    """
    media_type, parameters = parse_options_header(value.decode("latin-1"))
    return media_type.lower(), {name.lower(): text for name, text in parameters.items()}
