"""Replies as bytes."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from daemon.http.limits import Refused
from daemon.http.request import Request

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}

_WITHOUT_BODY: Final = frozenset({204, 304})

_DEFAULT_TYPE: Final = b"Content-Type: text/html\r\n"
"""What twisted.web says of a body when its handler does not."""


def date_line(now_s: float) -> bytes:
    """Give the field that every reply has (RFC 9110 section 6.6.1).

    :param now_s: seconds since the epoch.
    """
    return f"Date: {formatdate(now_s, usegmt=True)}\r\n".encode()


def status_line(code: int, phrase: bytes | None = None) -> bytes:
    """Give the first line of a reply."""
    if phrase is None and code in _STATUS_LINES:
        return _STATUS_LINES[code]
    return b"HTTP/1.1 %d %s\r\n" % (code, b" ".join((phrase or b"").splitlines()))


_LENGTHS: Final = tuple(b"Content-Length: %d\r\n\r\n" % length for length in range(256))


def compose(request: Request, body: bytes, date: bytes, *, keep_alive: bool) -> bytes:
    """Put a whole reply together.

    :param request: what is answered, with the status and fields that its handler has set.
    :param body: the end of the body; what the handler has written comes before it.
    :param date: from :func:`date_line`.
    :param keep_alive: whether the connection goes on.
    """
    if request.written is not None:
        body = b"".join([*request.written, body])
    head = request.head
    code = request.code
    lines = [status_line(code, request.phrase), date]
    has_type = False
    for key, line in request.fields_to_send():
        lines.append(line)
        has_type = has_type or key == b"content-type"
    if code in _WITHOUT_BODY:
        body = b""
    else:
        if body and not has_type:
            lines.append(_DEFAULT_TYPE)
        lines.append(b"Content-Length: %d\r\n" % len(body))
    if not keep_alive:
        lines.append(b"Connection: close\r\n")
    elif head.is_1_0:
        lines.append(b"Connection: keep-alive\r\n")
    lines.append(b"\r\n")
    if head.method != b"HEAD":
        lines.append(body)
    return b"".join(lines)


def compose_ordinary(request: Request, body: bytes, start: bytes) -> bytes:
    """Put the usual reply together: keep-alive, HTTP/1.1, no HEAD, fields by ``setHeader`` only.

    :param start: the status line and the date, which are the same for a second.
    """
    fields = request.reply_fields
    lines = b"".join(fields.values())
    if request.code in _WITHOUT_BODY:
        return b"".join((start, lines, b"\r\n"))
    length = len(body)
    if length and b"content-type" not in fields:
        lines += _DEFAULT_TYPE
    known = length < len(_LENGTHS)
    end = _LENGTHS[length] if known else b"Content-Length: %d\r\n\r\n" % length
    return b"".join((start, lines, end, body))


def compose_refusal(refused: Refused, media_type: bytes, body: bytes, date: bytes) -> bytes:
    """Put the reply together that ends a connection."""
    return b"".join(
        [
            status_line(refused.status),
            date,
            b"Content-Type: %b\r\nContent-Length: %d\r\n" % (media_type, len(body)),
            *(b"%b: %b\r\n" % field for field in refused.fields),
            b"Connection: close\r\n\r\n",
            b"" if refused.to_head else body,
        ]
    )
