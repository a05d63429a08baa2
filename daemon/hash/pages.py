"""Whether a browser sends a request on behalf of a web page that has no business here.

A page of any site can have the browser on this machine post to a port of this machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

_FOREIGN: Final = frozenset({b"cross-site", b"same-site"})
_SCHEMES: Final = (b"http://", b"https://")


def is_from_foreign_page(host: bytes, origins: Iterable[bytes], sites: Iterable[bytes]) -> bool:
    """Whether a request comes from a page that was not served by the host it is sent to.

    A page can make the names of its own site stand for this machine, and so have its own host
    named: only addresses and ``localhost`` are believed.

    :param host: the value of ``Host``; empty without one.
    :param origins: the values of ``Origin`` (RFC 6454 section 7); clients that are no browsers
        send none.
    :param sites: the values of ``Sec-Fetch-Site``.
    """
    if any(site.strip().lower() in _FOREIGN for site in sites):
        return True
    return any(not _is_own(origin.strip().lower(), host.strip().lower()) for origin in origins)


def _is_own(origin: bytes, host: bytes) -> bool:
    if not any(origin == scheme + host for scheme in _SCHEMES):
        return False
    name = host.decode("latin-1")
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name == "localhost":
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
