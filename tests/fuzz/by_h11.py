"""Replies as h11 reads them, an independent reader."""

from __future__ import annotations

from typing import Any

import h11


def next_by_h11(client: h11.Connection) -> tuple[int, bytes]:
    """Read the status and the body of the next reply; those with 1xx are passed over."""
    status, body = 0, b""
    while True:
        event: Any = client.next_event()
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return status, body
        else:
            assert isinstance(event, h11.InformationalResponse), event
