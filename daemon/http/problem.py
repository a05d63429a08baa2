"""Errors as RFC 9457 wants them: ``application/problem+json``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec

MEDIA_TYPE: Final = b"application/problem+json"


def problem_json(status: HTTPStatus, why: str) -> tuple[bytes, bytes]:
    """Say what is wrong; a :data:`daemon.http.limits.RenderRefusal`.

    The type is left at its default, ``about:blank``: the status says what kind of problem it is.
    """
    problem = {"title": status.phrase, "status": status.value, "detail": why}
    return MEDIA_TYPE, msgspec.json.encode(problem)
