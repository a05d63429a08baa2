"""The root service: starts the services in order, drains, sets the exit status."""

from __future__ import annotations

import atexit
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any

from twisted.application.service import IService, IServiceCollection, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import ILogObserver, Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from daemon import signals
from daemon.clock import anchored_clock
from daemon.health import Health, Phase
from daemon.logs import Log
from daemon.metrics import Metrics
from daemon.notify import Systemd
from daemon.overview import Member, Overview
from daemon.plugin import (
    Host,
    IDescribed,
    IDraining,
    IServicePlugin,
    IStaysLast,
    ReloadError,
    StartError,
)
from daemon.state import StateFolder, StateFolderInUseError
from daemon.tokens import Tokens, TokensFileError

TakeSignal = Callable[[signal.Signals], bool]


class NotStarted(Exception):  # noqa: N818  # what happened, not whose fault it is
    """The daemon does not start; why is in the log."""


def exit_with(status: int) -> None:
    """Let the process end with a status once the reactor has stopped.

    twistd has no way to say it. Nothing that hangs (a thread on a dead disk) can delay this exit.
    """
    atexit.register(os._exit, status)


class Daemon(MultiService):
    """All services under one roof.

    A start binds every port first, then opens files: :meth:`privilegedStartService` of all
    services comes before :meth:`startService` of any. A stop asks all services at once to
    finish what they promised, then those that stay last (:class:`daemon.plugin.IStaysLast`), and
    waits ``drain_timeout_s`` at most.

    :param reactor: the reactor, whose stop is the daemon's stop.
    :param state: the folder for what outlives the process.
    :param drain_timeout_s: how long a stop may take.
    :param daemon_log: where the log goes; None leaves that to twistd's own options.
    :param set_exit_status: see :func:`exit_with`.
    :param deliver_signals: see :func:`daemon.signals.deliver`.
    :param tokens: who may change something over HTTP; None: no token is asked for.
    :param systemd: is told how the daemon is; None: nobody is.
    :param access_log: whether the HTTP services log every request.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        state: StateFolder,
        *,
        drain_timeout_s: float,
        daemon_log: Log | None = None,
        set_exit_status: Callable[[int], None] = exit_with,
        deliver_signals: Callable[[TakeSignal], None] = signals.deliver,
        tokens: Tokens | None = None,
        systemd: Systemd | None = None,
        access_log: bool = False,
    ) -> None:
        super().__init__()
        self.reactor = reactor
        self.state = state
        self.drain_timeout_s = drain_timeout_s
        self.daemon_log = daemon_log
        self.set_exit_status = set_exit_status
        self.deliver_signals = deliver_signals
        self.tokens = tokens or Tokens()
        self.systemd = systemd or Systemd(reactor, {})
        self.access_log = access_log
        self._reloads: list[tuple[str, Callable[[], None]]] = [("tokens", self.tokens.load)]
        self.now = anchored_clock()
        self.overview = Overview()
        self._stopping = False
        self._draining = False
        self._busy: dict[str, IService] = {}
        self._last: dict[str, Any] = {}
        self._unreadable: set[str] = set()
        self._waiters: list[Deferred[None]] = []

    @property
    def ready(self) -> bool:
        """Whether it runs, and every service can do its job."""
        return self.overview.ready

    def host(self, name: str, plugin: IServicePlugin | None = None) -> Host:
        """Give a service what it may use of the daemon.

        :param plugin: where the service comes from, for those who ask what it does.
        """
        health = Health(name, self.now)
        metrics = Metrics(name, self.overview.registry, self._metric_failed)
        self.overview.members[name] = Member(
            health,
            metrics,
            "" if plugin is None else plugin.description,
            plugin.openapi if IDescribed.providedBy(plugin) else _nothing,
        )
        return Host(
            self.reactor,
            self.state,
            health,
            self.shut_down,
            self.tokens,
            self.now,
            metrics,
            self.overview,
            on_reload=self._add_reload,
            access_log=self.access_log,
            drain_timeout_s=self.drain_timeout_s,
        )

    def _metric_failed(self, name: str, error: Exception) -> None:
        """Log that a metric cannot be read: once, since it is read again and again."""
        if name not in self._unreadable:
            self._unreadable.add(name)
            self.log.failure("{metric} cannot be read", Failure(error), metric=name)

    def add(self, name: str, service: IService) -> None:
        """Take a service in, under its name."""
        service.setName(name)
        service.setServiceParent(self)
        if IStaysLast.providedBy(service):
            self._last[name] = service

    def setServiceParent(self, parent: IServiceCollection) -> None:
        """Join the application; it is the place where twistd looks for a log observer."""
        super().setServiceParent(parent)
        if self.daemon_log is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self.daemon_log.observer)

    def privilegedStartService(self) -> None:
        """Bind all ports, before any file is opened."""
        _raise_limit_of_open_files()
        for service in self:
            with self._starting(service):
                service.privilegedStartService()

    def startService(self) -> None:
        """Start all services. The first that cannot start ends the process, status 1."""
        self.running = True
        for service in self:
            with self._starting(service):
                service.startService()
        self.reactor.callWhenRunning(self._run)

    def shut_down(self, reason: str) -> None:
        """Stop the daemon in good order. Asking again changes nothing.

        :param reason: who or what asked, for the log.
        """
        if self._stopping:
            return
        self._stopping = True
        self.log.info("stopping: {reason}", reason=reason)
        if self.reactor.running:
            self._stop_reactor()

    def stopService(self) -> Deferred[None]:
        """Ask every service to finish; fires when all have, or when the time is over."""
        if not self._draining:
            self._draining = self._stopping = True
            self.running = False
            self._begin_drain()
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        self._end_drain_when_idle()
        return waiter

    def _run(self) -> None:
        """Take signals and say that all is ready: the reactor runs."""
        self.deliver_signals(self._take_signal)
        if self._stopping:
            self._stop_reactor()
            return
        # Modules and services live as long as the process. Left to the collector, they would be
        # walked by each full collection: some 20 ms in which the reactor does nothing else.
        gc.collect()
        gc.freeze()
        self.overview.phase = Phase.RUNNING
        self._tell_phase(self.namedServices, Phase.RUNNING)
        self.systemd.ready(self.overview)
        self.log.info("ready: {services}", services=", ".join(self.namedServices))

    def _stop_reactor(self) -> None:
        with suppress(ReactorNotRunning):
            self.reactor.stop()

    def _take_signal(self, number: signal.Signals) -> bool:
        """Hand a signal over to the reactor; once a stop has begun, no further one is wanted.

        Runs in the thread of the signals.
        """
        if self._stopping:
            return False
        if number == signals.RELOAD:
            self.reactor.callFromThread(self._reload)
            return True
        self.reactor.callFromThread(self.shut_down, number.name)
        return False

    def _add_reload(self, what: str, reload: Callable[[], None]) -> None:
        self._reloads.append((what, reload))

    def _reload(self) -> None:
        if self._stopping:
            return
        with self.systemd.reloading():
            if self.daemon_log is not None:
                self.daemon_log.reopen()
            for what, reload in self._reloads:
                self._reload_one(what, reload)
            self.log.info("SIGHUP: the log is open anew")

    def _reload_one(self, what: str, reload: Callable[[], None]) -> None:
        """Have one thing read anew; whatever is wrong with it, the others are too."""
        try:
            reload()
        except (ReloadError, TokensFileError) as error:
            self.log.warn("SIGHUP: the {what} stay as they were: {why}", what=what, why=str(error))
        except Exception:  # noqa: BLE001  # a service's; the daemon goes on
            self.log.failure("SIGHUP: the {what} could not be read anew", what=what)

    @contextmanager
    def _starting(self, service: IService) -> Iterator[None]:
        """Turn what a person can mend into one line and exit status 1; a bug stays a traceback.

        It has to be an exception for twistd, which tells it to the foreground when the daemon
        runs in the background, but it is nothing to look for in a traceback.
        """
        try:
            yield
        except (StartError, StateFolderInUseError, OSError) as error:
            self.log.critical("{service}: {why}", service=service.name, why=str(error))
            self.systemd.failed(f"{service.name}: {error}")
            sys.excepthook = _without_traceback
            raise NotStarted(f"{service.name}: {error}") from error

    def _tell_phase(self, names: Iterable[str], phase: Phase) -> None:
        for name in names:
            if name in self.overview.members:
                self.overview.members[name].health.enter(phase)

    def _begin_drain(self) -> None:
        self.overview.phase = Phase.DRAINING
        self.systemd.stopping()
        self._busy = dict(self.namedServices)
        self._deadline = self.reactor.callLater(self.drain_timeout_s, self._abandon)
        for name, service in self._last.items():
            maybeDeferred(service.others_stop).addErrback(self._stop_failed, name)
        self._stop([name for name in self._busy if name not in self._last])
        self._stop_the_last()

    def _stop(self, names: list[str]) -> None:
        self._tell_phase(names, Phase.DRAINING)
        for name in names:
            stopped = maybeDeferred(self._busy[name].stopService)
            stopped.addErrback(self._stop_failed, name)
            stopped.addCallback(self._stopped, name)

    def _stop_the_last(self) -> None:
        """Stop the services that stay last, once the others are gone."""
        if self._last and self._last.keys() >= self._busy.keys():
            names, self._last = list(self._last), {}
            self._stop(names)

    def _stopped(self, _: object, name: str) -> None:
        self._tell_phase([name], Phase.STOPPED)
        self._busy.pop(name, None)
        self._stop_the_last()
        self._end_drain_when_idle()

    def _stop_failed(self, failure: Failure, name: str) -> None:
        self.log.failure("{service} failed while it stopped", failure, service=name)
        self.set_exit_status(1)

    def _abandon(self) -> None:
        """Give up on the services that are still busy, and say what that loses."""
        late, self._last = self._last, {}
        for name, service in self._busy.items():
            if name in late:
                continue
            what = service.unfinished() if IDraining.providedBy(service) else "its unfinished work"
            self.log.error(
                "{service} did not stop within {timeout_s} s; abandoned: {what}",
                service=name,
                timeout_s=self.drain_timeout_s,
                what=what,
            )
        self._stop(list(late))  # and wait for none of them: the time is over
        self._busy.clear()
        self.set_exit_status(1)
        self._end_drain_when_idle()

    def _end_drain_when_idle(self) -> None:
        if self._busy:
            return
        if self._deadline.active():
            self._deadline.cancel()
        self.state.close()
        self.systemd.end()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)


def _nothing() -> None:
    """Describe nothing."""


def _raise_limit_of_open_files() -> None:
    """Allow as many connections as the system does; 1024 are few, and only select() needs that."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # the system's own limit is lower
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _without_traceback(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if not issubclass(kind, NotStarted):
        sys.__excepthook__(kind, error, traceback)
