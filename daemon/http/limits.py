"""How much, and how long, a server puts up with; and how it says that it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True)
class Limits:
    """What a client may ask of the server.

    :ivar header_fields: fields in the header of one request.
    :ivar header_bytes: bytes of all these fields together.
    :ivar target_bytes: bytes of the request target.
    :ivar body_bytes: bytes of a request's body, once its transfer coding is undone.
    :ivar header_s: seconds from the first byte of a request to the end of its header.
    :ivar body_s: seconds without a byte of a body that is under way.
    :ivar idle_s: seconds between requests, before the first one too; also how long a client may
        leave a reply unread.
    :ivar connections: how many may be open at once.
    """

    header_fields: int = 100
    header_bytes: int = 16 * 1024
    target_bytes: int = 8 * 1024
    body_bytes: int = 64 * 1024
    header_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 120.0
    connections: int = 10_000


class Refused(Exception):  # noqa: N818  # what becomes of a request; the client's fault
    """A request that does not reach the application; its connection ends after the reply.

    :param status: the status of the reply.
    :param why: what is wrong with the request, in a few words for the client.
    :param fields: more header fields of the reply.
    :ivar to_head: it was a HEAD request, whose reply has no body.
    """

    def __init__(
        self, status: HTTPStatus, why: str, fields: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.fields = fields
        self.to_head = False


RenderRefusal = Callable[[HTTPStatus, str], tuple[bytes, bytes]]
"""Gives the media type and the body of a reply that the server makes itself."""


def plain_text(status: HTTPStatus, why: str) -> tuple[bytes, bytes]:
    """Say in one line of text what is wrong."""
    return b"text/plain; charset=utf-8", f"{status.value} {status.phrase}: {why}\n".encode()
