"""Who is on this machine."""

from __future__ import annotations

import pytest
from twisted.internet.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress

from daemon.peers import is_local


@pytest.mark.parametrize(
    ("address", "local"),
    [
        (IPv4Address("TCP", "127.0.0.1", 1), True),
        (IPv4Address("TCP", "127.9.9.9", 1), True),
        (IPv4Address("TCP", "127.255.255.254", 1), True),
        (IPv4Address("TCP", "192.0.2.1", 1), False),
        (IPv4Address("TCP", "128.0.0.1", 1), False),
        (IPv4Address("TCP", "0.0.0.0", 1), False),  # noqa: S104  # an address to judge
        (IPv6Address("TCP", "::1", 1), True),
        (IPv6Address("TCP", "::ffff:127.0.0.1", 1), True),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 1), False),
        (IPv6Address("TCP", "fe80::1%eth0", 1), False),
        (IPv6Address("TCP", "::", 1), False),
        (IPv6Address("TCP", "2001:db8::1", 1), False),
        (UNIXAddress(None), True),
        (UNIXAddress("/run/x"), True),
        (HostnameAddress(b"localhost", 1), False),
        (IPv4Address("TCP", "localhost", 1), False),
        (IPv4Address("TCP", "what a proxy says", 1), False),
        (None, False),
    ],
)
def test_only_loopback_and_unix_sockets_are_local(address, local):
    assert is_local(address) is local
