"""One HTTP request, by the standard library.

``http.client`` starts in a fiftieth of a second, where treq, which the daemon uses, needs half of
one; and it knows nothing of ``$http_proxy``, which ``urllib.request`` would send passwords to.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from daemon.cli.outcome import CannotAskError

MOST_BYTES: Final = 16 * 1024 * 1024
"""The largest body that is read."""

_PIECE: Final = 65_536


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    :ivar fields: by their names in lower case.
    """

    status: int
    fields: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")


def ask(
    base_url: str,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    fields: Mapping[str, str] | None = None,
    timeout_s: float = 10.0,
) -> Answer:
    """Ask, and read the whole answer.

    :param base_url: such as ``http://127.0.0.1:8080``; its path is put before the other one.
    :param timeout_s: for the whole of it.
    :raises CannotAskError: there is no whole answer.
    """
    until = time.monotonic() + timeout_s
    connection, prefix = _connection(base_url, timeout_s)
    try:
        connection.request(method, prefix + path, body, dict(fields or {}))
        with connection.getresponse() as response:
            answer = Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                _body(response, connection, until),
            )
    except TimeoutError as error:
        raise CannotAskError(f"{base_url}: no whole answer within {timeout_s:g} s") from error
    except OSError as error:
        raise CannotAskError(f"{base_url}: {error.strerror or error}") from error
    except (http.client.HTTPException, ValueError) as error:
        raise CannotAskError(
            f"{base_url}: that is no HTTP ({str(error) or type(error).__name__})"
        ) from error
    finally:
        connection.close()
    return answer


def _connection(base_url: str, timeout_s: float) -> tuple[http.client.HTTPConnection, str]:
    try:
        url = urlsplit(base_url)
        host, port = url.hostname, url.port
    except ValueError as error:
        raise CannotAskError(f"--url: {base_url!r}: {error}") from error
    if url.scheme not in {"http", "https"} or not host or url.query or url.fragment or url.username:
        raise CannotAskError(f"--url: got {base_url!r}, wanted one such as http://127.0.0.1:8080")
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    return kind(host, port, timeout=timeout_s), url.path.rstrip("/")


def _body(
    response: http.client.HTTPResponse, connection: http.client.HTTPConnection, until: float
) -> bytes:
    """Read the body, which may neither be endless nor come one byte a minute."""
    body = bytearray()
    while True:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if connection.sock is not None:  # a server that closes has it closed here as well
            connection.sock.settimeout(left_s)
        piece = response.read1(_PIECE)
        if not piece:
            break
        body += piece
        if len(body) > MOST_BYTES:
            raise ValueError(f"an answer over {MOST_BYTES} bytes")
    if response.length:
        raise http.client.IncompleteRead(bytes(body), response.length)
    return bytes(body)
