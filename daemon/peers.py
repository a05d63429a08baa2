"""Who is at the other end of a connection."""

from __future__ import annotations

from ipaddress import IPv6Address as IPv6
from ipaddress import ip_address

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress


def is_local(address: IAddress | None) -> bool:
    """Whether an address is a loopback one or a unix socket's.

    :param address: None where nobody knows it.
    """
    if isinstance(address, UNIXAddress):
        return True
    if not isinstance(address, IPv4Address | IPv6Address):
        return False
    try:
        host = ip_address(address.host.partition("%")[0])
    except ValueError:
        return False  # a proxy's header may say anything
    if isinstance(host, IPv6) and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    return host.is_loopback
