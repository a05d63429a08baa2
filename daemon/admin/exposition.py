"""The metrics as text, in the format that whoever asks wants."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, exposition
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

OPENMETRICS: Final = "application/openmetrics-text"
PLAIN: Final = "text/plain"


def expose(registry: CollectorRegistry, accept: bytes | None) -> tuple[bytes, bytes]:
    """Give the media type and the text.

    :param accept: the value of ``Accept``. OpenMetrics is for those who name it and like it as
        well as text/plain at least; everyone else gets Prometheus' own text, version 0.0.4.
    """
    wanted = f"{OPENMETRICS}; version=1.0.0" if _wants_openmetrics(accept) else ""
    encode, media_type = exposition.choose_encoder(wanted)
    return media_type.encode(), encode(registry)


def _wants_openmetrics(accept: bytes | None) -> bool:
    if accept is None:
        return False
    liked = {PLAIN: 0.0, OPENMETRICS: 0.0}
    for media_range, quality in parse_accept_header(accept.decode("latin-1"), MIMEAccept):
        media_type = media_range.partition(";")[0].strip().lower()
        if media_type in liked:
            liked[media_type] = max(liked[media_type], quality)
    return liked[OPENMETRICS] > 0 and liked[OPENMETRICS] >= liked[PLAIN]
