"""Where a PostgreSQL server is. libpq would look names up while everything else waits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from daemon.resolving import Resolve, resolve


def located(parameters: Mapping[str, str], resolve: Resolve = resolve) -> list[dict[str, str]]:
    """Look the names of a server's hosts up; blocks.

    :param parameters: libpq's.
    :param resolve: gives a host's addresses.
    :returns: the parameters for each address, in the order in which they are to be tried.
    :raises OSError: no host has an address.
    """
    if "hostaddr" in parameters or "service" in parameters:
        return [dict(parameters)]
    hosts = parameters.get("host", os.environ.get("PGHOST", "")).split(",")
    ports = parameters.get("port", os.environ.get("PGPORT", "")).split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise OSError(0, f"{len(hosts)} hosts, {len(ports)} ports")
    places: list[dict[str, str]] = []
    trouble: OSError | None = None
    for host, port in zip(hosts, ports, strict=True):
        try:
            places += [
                dict(parameters) | {"host": host, "port": port} | address
                for address in _addresses(host, resolve)
            ]
        except OSError as error:
            trouble = error
    if trouble is not None and not places:
        raise trouble
    return places


def _addresses(host: str, resolve: Resolve) -> Iterator[dict[str, str]]:
    if host == "" or host[0] in "/@":  # a socket in the file system, or none
        yield {}
        return
    for address in resolve(host):
        yield {"hostaddr": address}
