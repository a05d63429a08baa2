"""TLS endpoints whose certificate can be replaced while they listen."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL, crypto
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IOpenSSLContextFactory, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from zope.interface import implementer

_TLS: Final = re.compile(r"(?:^|:)ssl:")


class CertificateError(Exception):
    """The key and the certificate cannot be used; the text is one line."""


def is_tls(endpoint: str) -> bool:
    """Whether an endpoint string names files with a key and a certificate."""
    return _TLS.search(endpoint) is not None


@implementer(IOpenSSLContextFactory)
class Certificate:
    """The key and the certificate that an ``ssl:`` endpoint has at the moment.

    Twisted asks for a context when a client connects, so a new one is for all who come later;
    connections that are open go on with the one they have.

    :param endpoint: a Twisted endpoint string, which may wrap the one with the files.
    :raises Exception: what Twisted finds wrong with it, of whatever class.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._context = self._load()

    def getContext(self) -> SSL.Context:
        """Give the context for a new connection."""
        return self._context

    def reload(self) -> None:
        """Read the files anew; when they cannot be used, all stays as it is.

        :raises CertificateError: they cannot be used.
        """
        try:
            self._context = self._load()
        except Exception as error:  # files, PEM, OpenSSL: each has its own
            raise CertificateError(f"{self._endpoint}: {why(error)}") from error

    def listen_on(self, reactor: Any) -> IStreamServerEndpoint:
        """Give the endpoint, which listens with whatever key and certificate this has."""

        def listen(port: int, factory: Factory, _: object, **where: Any) -> Any:
            return reactor.listenSSL(port, factory, self, **where)

        endpoint: IStreamServerEndpoint = serverFromString(
            _Reactor(reactor, listen), self._endpoint
        )
        return endpoint

    def _load(self) -> SSL.Context:
        """Have Twisted read the files, as it does for the endpoint string."""
        found: list[CertificateOptions] = []

        def take(_: int, __: Factory, options: CertificateOptions, **___: Any) -> None:
            found.append(options)

        serverFromString(_Reactor(None, take), self._endpoint).listen(Factory())
        (options,) = found
        context: SSL.Context = options.getContext()
        return context


class _Reactor:
    """A reactor on which listening with TLS is something else.

    :param reactor: does the rest.
    :param listen: takes a port, a factory, the options of TLS, and by name where to listen.
    """

    def __init__(self, reactor: Any, listen: Callable[..., Any]) -> None:
        self._reactor = reactor
        self._listen = listen

    def listenSSL(
        self,
        port: int,
        factory: Factory,
        contextFactory: CertificateOptions,  # noqa: N803  # Twisted's name
        **where: Any,
    ) -> Any:
        """Hand all of it over."""
        return self._listen(port, factory, contextFactory, **where)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


def why(error: Exception) -> str:
    """Say in one line what is wrong; OpenSSL's errors are lists of what each of its layers said."""
    if isinstance(error, SSL.Error | crypto.Error):
        said = "; ".join(": ".join(filter(None, layer)) for layer in error.args[0])
        return f"OpenSSL cannot read a key or a certificate ({said})"
    return " ".join(f"{error}".split()) or type(error).__name__
