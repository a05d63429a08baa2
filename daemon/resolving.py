"""Names of hosts, looked up the system's way: through its files and its name servers."""

from __future__ import annotations

import socket
from collections.abc import Callable

Resolve = Callable[[str], list[str]]


def resolve(host: str) -> list[str]:
    """Give a host's addresses, in the system's order; blocks.

    It may block for long: a name server that does not answer is asked again, and then the next one.

    :raises OSError: there are none.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(0, "no name of a host") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
