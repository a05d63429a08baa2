"""What a service plugin is, and what the daemon gives it.

A service plugin is an object that provides :class:`IServicePlugin`, in a module of the package
``twisted.plugins``. The built-in services use nothing that another project's plugin could not.
"""

from __future__ import annotations

import os
import re
import socket
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.resources import files
from typing import Any, Final, cast

import msgspec
from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.logger import LogEvent, globalLogPublisher
from twisted.plugin import IPlugin, getPlugins
from twisted.python.failure import Failure
from zope.interface import Attribute, Interface, implementer

from daemon import backlog
from daemon.accepting import accept_sparingly
from daemon.clock import Now, anchored_clock
from daemon.health import Health
from daemon.metrics import Metrics
from daemon.overview import Overview
from daemon.state import StateFolder
from daemon.tls import Certificate, CertificateError, is_tls
from daemon.tokens import Tokens

NAME_RULE: Final = re.compile(r"[a-z][a-z0-9]*")
"""What a service may be called: its name becomes a TOML table and part of environment names."""


RESERVED_NAMES: Final = frozenset({"auth", "state", "config", "only", "without"})
"""Keys, tables and flags of the daemon as a whole."""


OPENAPI_NAME: Final = "openapi.json"
"""The file in a service's package that describes what it answers over HTTP."""


BACKLOG: Final = 4096
"""Connections that may wait to be accepted; the system may allow fewer (``net.core.somaxconn``)."""


OF_SYSTEMD: Final = re.compile(r"(?:^|:)systemd:")
"""An endpoint whose socket systemd has opened, and goes on to hold."""


class PluginError(Exception):
    """A service plugin cannot be loaded, or clashes with another: the daemon must not start."""


class ReloadError(Exception):
    """What was to be read anew cannot be used: all stays as it was. The text is one line."""


class StartError(Exception):
    """A service cannot start; the text is one line for the person who started the daemon."""


class IServicePlugin(Interface):
    """One service that the daemon can run."""

    name = Attribute("The service's name: lower-case letters and digits. Names its settings table.")
    description = Attribute("One line that says what the service does.")
    settings = Attribute("A frozen msgspec.Struct class; every field has a default.")

    def build(settings: msgspec.Struct, host: Host) -> IService:
        """Put the service together, without touching files, ports or threads yet.

        The service binds its ports in ``privilegedStartService`` and opens its files in
        ``startService``, so that a port already taken stops the start before any file of a
        running daemon is touched. ``stopService`` returns a Deferred that fires when everything
        the service has promised is done.
        """


class IDraining(Interface):
    """A service that can say what it still has to do."""

    def unfinished() -> str:
        """Say in one line what would be lost if the daemon ended now."""


class IStaysLast(Interface):
    """A service that is stopped when all others are gone, so that it can tell how they are."""

    def others_stop() -> None:
        """Learn that the others are being stopped now."""


class IDescribed(Interface):
    """A service plugin that can describe what its service answers over HTTP."""

    def openapi() -> bytes | None:
        """Give an OpenAPI 3.1 document, as JSON; None when there is none."""


@implementer(IPlugin, IServicePlugin, IDescribed)
class ServicePlugin:
    """A service plugin made of strings: its module is imported when the service is looked at.

    :param name: the service's name.
    :param module: the module that holds ``Settings`` (the settings class) and ``build``.
    :param description: one line for ``--help`` and the settings file.
    """

    def __init__(self, name: str, module: str, description: str) -> None:
        self.name = name
        self.module = module
        self.description = description

    @property
    def settings(self) -> type[msgspec.Struct]:
        """The module's ``Settings``."""
        return import_module(self.module).Settings  # type: ignore[no-any-return]  # by name

    def build(self, settings: msgspec.Struct, host: Host) -> IService:
        """Call the module's ``build``."""
        return import_module(self.module).build(settings, host)  # type: ignore[no-any-return]

    def openapi(self) -> bytes | None:
        """Read ``openapi.json`` in the package of the module; None without a package or file."""
        package = self.module.rpartition(".")[0]
        if not package:
            return None
        document = files(package) / OPENAPI_NAME
        return document.read_bytes() if document.is_file() else None


def _never(what: str, reload: Callable[[], None]) -> None:
    """Read nothing anew."""


@dataclass(frozen=True)
class Host:
    """What the daemon gives to a service.

    :ivar reactor: schedules, listens, runs threads. Services import no reactor of their own.
    :ivar state: the folder for files that outlive the process.
    :ivar health: where the service says that it is degraded, and why.
    :ivar shut_down: stops the whole daemon in good order; takes the reason, for the log.
    :ivar tokens: who may change something over HTTP.
    :ivar now: tells the time for decisions; reads no differently when the wall clock is set.
    :ivar metrics: where the service says what can be asked of it.
    :ivar overview: the daemon as a whole: all services, their health and metrics.
    :ivar on_reload: takes what a SIGHUP is to read anew: its name, in the plural, and a callable
        that raises :class:`ReloadError` when it cannot be used.
    :ivar access_log: whether HTTP services are to log every request.
    :ivar drain_timeout_s: how long a stop of the daemon may take.
    """

    reactor: Any
    state: StateFolder
    health: Health
    shut_down: Callable[[str], None]
    tokens: Tokens = field(default_factory=Tokens)
    now: Now = field(default_factory=anchored_clock)
    metrics: Metrics = field(default_factory=lambda: Metrics("service"))
    overview: Overview = field(default_factory=Overview)
    on_reload: Callable[[str, Callable[[], None]], None] = _never
    access_log: bool = False
    drain_timeout_s: float = 30.0

    def listen(self, endpoint: str, factory: IProtocolFactory) -> Port:
        """Give a service that listens on an endpoint and raises when the port is taken.

        :param endpoint: a Twisted endpoint string, such as ``tcp:4000:interface=127.0.0.1``.
        :param factory: builds a protocol for each connection; never None, which endpoints that
            wrap the connection (TLS, ``haproxy:``) cannot take.
        """
        if not is_tls(endpoint):
            return Port(endpoint, serverFromString(self.reactor, endpoint), factory)
        certificate = Certificate(endpoint)
        self.on_reload("certificates", partial(_reload, certificate))
        return Port(endpoint, certificate.listen_on(self.reactor), factory)


def _reload(certificate: Certificate) -> None:
    try:
        certificate.reload()
    except CertificateError as error:
        raise ReloadError(str(error)) from error


class Port(StreamServerEndpointService):
    """Listens, or says in one line why it cannot.

    :ivar addresses: where it listens, once it does.
    """

    _raiseSynchronously = True

    def __init__(
        self, name: str, endpoint: IStreamServerEndpoint, factory: IProtocolFactory
    ) -> None:
        super().__init__(endpoint, factory)
        self._name = name
        self.addresses: list[IAddress] = []
        self._listening_port: Any = None

    def privilegedStartService(self) -> None:
        """Bind the port.

        :raises StartError: it is taken, or cannot be.
        """
        try:
            super().privilegedStartService()
            cast("Deferred[IListeningPort]", self._waitingForPort).addCallback(self._listening)
        except (CannotListenError, OSError, OverflowError, ValueError) as error:
            raise StartError(f"cannot listen on {self._name}: {error}") from error

    def take_waiting(self) -> None:
        """Accept those who wait to be accepted, right before the port closes.

        Sockets of systemd are left alone: those who wait there are the next process's.
        """
        if OF_SYSTEMD.search(self._name) is None:
            backlog.take(self._listening_port)

    def _listening(self, port: Any) -> IListeningPort:
        self._listening_port = port
        self.addresses.append(port.getHost())
        # Twisted lets 50 connections wait to be accepted; of more that come at once, some would
        # have to knock again a second later.
        with suppress(AttributeError), socket.socket(fileno=os.dup(port.fileno())) as listening:
            listening.listen(BACKLOG)
        accept_sparingly(port)
        return cast("IListeningPort", port)


def discover(find: Callable[[Any], Iterable[Any]] = getPlugins) -> dict[str, IServicePlugin]:
    """Find all installed service plugins.

    :param find: gives the plugins of an interface; :func:`twisted.plugin.getPlugins`.
    :returns: the plugins by name, in alphabetical order.
    :raises PluginError: when one cannot be loaded or two have one name. Twisted itself skips a
        broken plugin with a line in the log, but a service that is silently missing is worse
        than a daemon that does not start.
    """
    with _failures() as failures:
        plugins = list(find(IServicePlugin))
    if failures:
        raise PluginError(f"a plugin cannot be loaded: {failures[0]}")
    found: dict[str, IServicePlugin] = {}
    for plugin in plugins:
        _check(plugin)
        if plugin.name in found:
            raise PluginError(
                f"two service plugins are called {plugin.name!r}:"
                f" {_origin(found[plugin.name])} and {_origin(plugin)}"
            )
        found[plugin.name] = plugin
    return dict(sorted(found.items()))


def _check(plugin: IServicePlugin) -> None:
    if not (isinstance(plugin.name, str) and NAME_RULE.fullmatch(plugin.name)):
        raise PluginError(
            f"{_origin(plugin)}: the service's name is {plugin.name!r},"
            " wanted lower-case letters and digits, a letter first"
        )
    if plugin.name in RESERVED_NAMES:
        raise PluginError(f"{_origin(plugin)}: no service can be called {plugin.name!r}")
    try:
        settings = plugin.settings
    except Exception as error:
        raise PluginError(
            f"service plugin {plugin.name!r} cannot be loaded from {_origin(plugin)}:"
            f" {_one_line(error)}"
        ) from error
    if not (isinstance(settings, type) and issubclass(settings, msgspec.Struct)):
        raise PluginError(f"service plugin {plugin.name!r}: its settings are no msgspec.Struct")
    if any(field.required for field in msgspec.structs.fields(settings)):
        raise PluginError(f"service plugin {plugin.name!r}: a setting without a default")


def _origin(plugin: IServicePlugin) -> str:
    return str(getattr(plugin, "module", type(plugin).__module__))


def _one_line(error: BaseException | None) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _culprit(failure: Failure) -> str:
    """Name the plugin file that a failure comes from, if one can be seen, and the error."""
    frames = traceback.extract_tb(failure.getTracebackObject())
    files = [frame.filename for frame in frames if "/twisted/plugins/" in frame.filename]
    return ": ".join([*files[:1], _one_line(failure.value)])


@contextmanager
def _failures() -> Iterator[list[str]]:
    """Collect what Twisted's plugin system logs as failures while it looks for plugins."""
    failures: list[str] = []

    def collect(event: LogEvent) -> None:
        failure = event.get("log_failure", event.get("failure"))
        if failure is not None:
            failures.append(_culprit(failure))

    globalLogPublisher.addObserver(collect)  # type: ignore[arg-type]  # a plain callable will do
    try:
        yield failures
    finally:
        globalLogPublisher.removeObserver(collect)  # type: ignore[arg-type]
