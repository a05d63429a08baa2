"""The URL of a source, taken apart; and the paths that are appended to it."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple
from urllib.parse import urlsplit

DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_VISIBLE: Final = bytes(range(0x21, 0x7F))
_FRAGMENT: Final = b"#"
_IN_PATHS: Final = _VISIBLE.replace(_FRAGMENT, b"")
_NAME: Final = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")


class SourceURL(NamedTuple):
    """Where a source is.

    :ivar scheme: ``http`` or ``https``.
    :ivar host: a name or an address, IPv6 without brackets.
    :ivar authority: host and port as ``Host`` has them.
    :ivar path: what stands before every path that is asked for; no ``/`` at its end.
    """

    scheme: str
    host: str
    port: int
    authority: bytes
    path: bytes


def parse_source_url(text: str) -> SourceURL:
    """Take a URL apart.

    :raises ValueError: it cannot be used; the message is one line, without the URL, which may hold
        a password.
    """
    if not text.isascii() or text.encode().translate(None, _VISIBLE):
        raise ValueError("a URL has no blanks, control characters or letters beyond ASCII")
    if "?" in text or "#" in text:
        raise ValueError("a URL without query and fragment is wanted")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"the URL has no valid host and port ({error})") from error
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("a URL that begins with http:// or https:// is wanted")
    if "@" in parts.netloc:
        raise ValueError("a URL without user and password is wanted")
    host = _host(parts.hostname or "", in_brackets="[" in parts.netloc)
    if port == 0:
        raise ValueError("the URL's port is not from 1 to 65535")
    name = f"[{host}]" if ":" in host else host
    default = DEFAULT_PORTS[parts.scheme]
    authority = name if port in (None, default) else f"{name}:{port}"
    path = parts.path.rstrip("/").encode()
    return SourceURL(parts.scheme, host, port or default, authority.encode(), path)


def check_path(path: bytes) -> None:
    """See that a path can stand in a request, and be nothing but a path there.

    :raises ValueError: it does not begin with ``/``, or holds a blank, ``#`` or any byte that is
        no visible character of ASCII.
    """
    if path[:1] != b"/" or path.translate(None, _IN_PATHS):
        raise ValueError(f"{path!r} cannot be the path of a request")


def _host(host: str, *, in_brackets: bool) -> str:
    if in_brackets:
        try:
            address = IPv6Address(host)
        except AddressValueError as error:
            raise ValueError("what stands in brackets is no IPv6 address") from error
        if address.scope_id is not None:
            raise ValueError("an IPv6 address with a zone cannot be used")
        return str(address)
    if not host:
        raise ValueError("the URL has no host")
    if not _NAME.fullmatch(host):
        raise ValueError("the URL's host is no name and no address")
    return host
