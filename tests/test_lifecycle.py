"""The root service: the order of a start, and what a stop waits for."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Application, IServiceCollection, Service
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from daemon.lifecycle import Daemon, NotStarted, TakeSignal
from daemon.logs import Log
from daemon.plugin import IDraining, IStaysLast, ReloadError, StartError
from daemon.state import StateFolder

Asks = Callable[[str], None]


class Reactor(Clock):
    """A clock that also starts and stops as a reactor does."""

    def __init__(self) -> None:
        super().__init__()
        self.running = False
        self.stops = 0
        self.when_running: list[Callable[[], None]] = []

    def callWhenRunning(self, function: Callable[[], None]) -> None:
        self.when_running.append(function)

    def callFromThread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.callLater(0, function, *args, **kwargs)

    def run(self) -> None:
        self.running = True
        for function in self.when_running:
            function()

    def stop(self) -> None:
        self.stops += 1
        if self.stops > 1:
            raise ReactorNotRunning


@implementer(IDraining)
class Tea(Service):
    """A service that notes what it is told and stops when the test says so."""

    def __init__(self, notes: list[str]) -> None:
        self.notes = notes
        self.error: Exception | None = None
        self.bind_error: Exception | None = None
        self.stopped: Deferred[None] = Deferred()

    def privilegedStartService(self) -> None:
        self.notes.append(f"{self.name} binds")
        if self.bind_error:
            raise self.bind_error

    def startService(self) -> None:
        self.notes.append(f"{self.name} opens")
        if self.error:
            raise self.error

    def stopService(self) -> Deferred[None]:
        self.notes.append(f"{self.name} stops")
        return self.stopped

    def unfinished(self) -> str:
        return "three cups"


@implementer(IStaysLast)
class StaysLast(Tea):
    """A service that is there until all others are gone."""

    others_stop_error: Exception | None = None

    def others_stop(self) -> None:
        self.notes.append(f"{self.name}: others stop")
        if self.others_stop_error:
            raise self.others_stop_error


class LifecycleTests(SynchronousTestCase):
    """The daemon with two services."""

    def setUp(self) -> None:
        self.notes: list[str] = []
        self.statuses: list[int] = []
        self.takers: list[TakeSignal] = []
        self.reactor = Reactor()
        self.state = StateFolder(self.folder())
        self.daemon = Daemon(
            self.reactor,
            self.state,
            drain_timeout_s=30,
            set_exit_status=self.statuses.append,
            deliver_signals=self.takers.append,
        )
        self.green, self.black = Tea(self.notes), Tea(self.notes)
        self.daemon.add("green", self.green)
        self.daemon.add("black", self.black)
        self.addCleanup(setattr, sys, "excepthook", sys.excepthook)

    def folder(self) -> Path:
        return Path(self.mktemp())

    def start(self) -> None:
        self.daemon.privilegedStartService()
        self.daemon.startService()
        self.reactor.run()

    def test_all_ports_are_bound_before_any_file_is_opened(self) -> None:
        self.start()
        self.assertEqual(self.notes, ["green binds", "black binds", "green opens", "black opens"])
        self.assertTrue(self.daemon.ready)

    def test_a_port_taken_ends_the_start_with_one_line_and_status_1(self) -> None:
        self.black.bind_error = StartError("cannot listen on tcp:4000")
        with capturedLogs() as events, self.assertRaises(NotStarted) as raised:
            self.start()
        self.assertIn("black: cannot listen", str(raised.exception))
        self.assertEqual(self.notes, ["green binds", "black binds"])
        self.assertEqual(events[-1]["service"], "black")
        self.assertIn("4000", events[-1]["why"])

    def test_what_a_person_can_mend_ends_the_start_with_one_line(self) -> None:
        for error in (StartError("no log"), PermissionError(13, "no")):
            self.green.error = error
            with capturedLogs() as events, self.assertRaises(NotStarted):
                self.start()
            self.assertEqual(events[-1]["why"], str(error))

    def test_a_bug_at_the_start_keeps_its_traceback(self) -> None:
        self.green.error = KeyError("bug")
        with self.assertRaises(KeyError):
            self.start()

    def test_a_second_daemon_on_a_state_folder_does_not_start(self) -> None:
        path = self.state.open()
        host = Daemon(self.reactor, StateFolder(path), drain_timeout_s=1).host("red")

        class Red(Tea):
            def startService(self) -> None:
                host.state.open()

        self.daemon.add("red", Red(self.notes))
        with capturedLogs() as events, self.assertRaises(NotStarted):
            self.start()
        self.assertIn("in use by another daemon", events[-1]["why"])

    def test_a_stop_asks_all_at_once_and_waits_for_each(self) -> None:
        self.start()
        stopped = self.daemon.stopService()
        self.assertFalse(self.daemon.ready)
        self.assertEqual(self.notes[-2:], ["green stops", "black stops"])
        self.green.stopped.callback(None)
        self.assertNoResult(stopped)
        self.black.stopped.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.statuses, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_what_stays_last_stops_when_all_others_are_gone(self) -> None:
        last = StaysLast(self.notes)
        self.daemon.add("last", last)
        self.start()
        stopped = self.daemon.stopService()
        self.assertEqual(self.notes[-3:], ["last: others stop", "green stops", "black stops"])
        self.green.stopped.callback(None)
        self.assertEqual(self.notes[-1], "black stops")
        self.black.stopped.callback(None)
        self.assertEqual(self.notes[-1], "last stops")
        self.assertNoResult(stopped)
        last.stopped.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.statuses, [])

    def test_what_stays_last_is_not_waited_for_past_the_time_of_a_stop(self) -> None:
        last = StaysLast(self.notes)
        self.daemon.add("last", last)
        self.start()
        stopped = self.daemon.stopService()
        self.green.stopped.callback(None)
        with capturedLogs() as events:
            self.reactor.advance(30)
        self.successResultOf(stopped)
        self.assertEqual(self.notes[-1], "last stops")
        self.assertEqual([event["service"] for event in events], ["black"])
        self.assertEqual(self.statuses, [1])
        last.stopped.callback(None)
        self.black.stopped.callback(None)

    def test_one_that_cannot_hear_of_the_stop_does_not_keep_the_others(self) -> None:
        last = StaysLast(self.notes)
        last.others_stop_error = ValueError("deaf")
        self.daemon.add("last", last)
        self.start()
        stopped = self.daemon.stopService()
        for service in (self.green, self.black, last):
            service.stopped.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.statuses, [1])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_everyone_can_see_where_each_service_is_in_its_life(self) -> None:
        overview = self.daemon.host("green").overview
        self.daemon.host("black")

        def phases() -> list[str]:
            members = overview.members.values()
            return [overview.phase, *(member.health.phase for member in members)]

        self.assertEqual(phases(), ["starting", "starting", "starting"])
        self.start()
        self.assertEqual(phases(), ["running", "running", "running"])
        self.assertTrue(overview.ready)
        overview.members["green"].health.fail("pot", "no pot")
        self.assertFalse(overview.ready)
        self.daemon.stopService()
        self.green.stopped.callback(None)
        self.assertEqual(phases(), ["draining", "stopped", "draining"])
        self.black.stopped.callback(None)

    def test_a_metric_that_cannot_be_read_hides_no_other_and_is_logged_once(self) -> None:
        def broken() -> float:
            raise ValueError("spilt")

        host = self.daemon.host("green")
        host.metrics.gauge("spilt", "Cannot be read.", broken)
        host.metrics.gauge("cups", "Cups.", lambda: 3)
        for _ in range(3):
            collected = [family.name for family in host.overview.registry.collect()]
            self.assertEqual(collected, ["tsdaemon_green_cups"])
        (failure,) = self.flushLoggedErrors(ValueError)
        self.assertEqual(failure.getErrorMessage(), "spilt")

    def test_a_stop_gives_the_state_folder_back(self) -> None:
        self.start()
        path = self.state.open()
        self.stop_all()
        other = StateFolder(path)
        other.open()
        other.close()

    def test_stopping_twice_is_stopping_once(self) -> None:
        self.start()
        first, second = self.daemon.stopService(), self.daemon.stopService()
        self.assertEqual(self.notes.count("green stops"), 1)
        self.green.stopped.callback(None)
        self.black.stopped.callback(None)
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.daemon.stopService())

    def test_past_its_time_a_stop_says_what_it_abandons_and_ends_with_status_1(self) -> None:
        self.start()
        stopped = self.daemon.stopService()
        self.green.stopped.callback(None)
        with capturedLogs() as events:
            self.reactor.advance(30)
        self.successResultOf(stopped)
        self.assertEqual(self.statuses, [1])
        (event,) = events
        self.assertEqual((event["service"], event["what"]), ("black", "three cups"))
        self.black.stopped.callback(None)  # too late, and harmless

    def test_a_service_that_cannot_say_what_it_abandons_is_named_all_the_same(self) -> None:
        class Red(Service):
            def stopService(self) -> Deferred[None]:
                return Deferred()

        self.daemon.add("red", Red())
        self.start()
        self.green.stopped.callback(None)
        self.black.stopped.callback(None)
        self.daemon.stopService()
        with capturedLogs() as events:
            self.reactor.advance(30)
        self.assertEqual([event["service"] for event in events], ["red"])

    def test_a_service_that_fails_to_stop_does_not_keep_the_others(self) -> None:
        self.start()
        stopped = self.daemon.stopService()
        self.green.stopped.errback(ValueError("spilt"))
        self.black.stopped.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.statuses, [1])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_asked_to_shut_down_it_stops_the_reactor_once(self) -> None:
        self.start()
        self.daemon.host("green").shut_down("terminate")
        self.daemon.shut_down("again")
        self.assertEqual(self.reactor.stops, 1)

    def test_asked_before_the_reactor_runs_it_stops_as_soon_as_it_does(self) -> None:
        self.daemon.startService()
        self.daemon.shut_down("early")
        self.assertEqual(self.reactor.stops, 0)
        self.reactor.run()
        self.assertEqual(self.reactor.stops, 1)
        self.assertFalse(self.daemon.ready)

    def test_a_reactor_that_somebody_else_stops_is_no_error(self) -> None:
        self.start()
        self.reactor.stops = 1
        self.daemon.shut_down("late")

    def test_a_signal_stops_it_and_no_further_one_is_wanted(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self.setUp()
            self.start()
            (take,) = self.takers
            self.assertFalse(take(number))
            self.reactor.advance(0)
            self.assertEqual(self.reactor.stops, 1)
            self.assertFalse(take(signal.SIGHUP))
            self.stop_all()

    def test_sighup_opens_the_log_anew_and_stops_nothing(self) -> None:
        path = self.folder()
        self.daemon.daemon_log = Log("text", str(path))
        self.start()
        path.rename(f"{path}.old")
        (take,) = self.takers
        self.assertTrue(take(signal.SIGHUP))
        self.reactor.advance(0)
        self.assertTrue(path.exists())
        assert self.daemon.daemon_log.file is not None
        self.daemon.daemon_log.file.close()
        self.assertEqual(self.reactor.stops, 0)
        self.assertTrue(self.daemon.ready)

    def test_sighup_reads_anew_what_services_have_to_whatever_is_wrong_with_one(self) -> None:
        def broken() -> None:
            raise ReloadError("cups.pem: no such file")

        def bug() -> None:
            raise KeyError("bug")

        read: list[str] = []
        host = self.daemon.host("green")
        host.on_reload("cups", broken)
        host.on_reload("pots", bug)
        host.on_reload("leaves", lambda: read.append("leaves"))
        self.start()
        with capturedLogs() as events:
            self.takers[0](signal.SIGHUP)
            self.reactor.advance(0)
        self.assertEqual(read, ["leaves"])
        self.assertEqual(
            [(event["log_level"].name, formatEvent(event)) for event in events],
            [
                ("warn", "SIGHUP: the cups stay as they were: cups.pem: no such file"),
                ("critical", "SIGHUP: the pots could not be read anew"),
                ("info", "SIGHUP: the log is open anew"),
            ],
        )
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_sighup_on_the_way_to_a_stop_reads_nothing(self) -> None:
        read: list[str] = []
        self.daemon.host("green").on_reload("leaves", lambda: read.append("leaves"))
        self.start()
        self.takers[0](signal.SIGHUP)
        self.daemon.shut_down("now")
        self.reactor.advance(0)
        self.assertEqual(read, [])

    def test_services_hear_whether_requests_are_to_be_logged(self) -> None:
        for wanted in (False, True):
            daemon = Daemon(self.reactor, self.state, drain_timeout_s=1, access_log=wanted)
            self.assertIs(daemon.host("red").access_log, wanted)

    def test_sighup_without_a_log_of_ours_changes_nothing(self) -> None:
        self.start()
        self.assertTrue(self.takers[0](signal.SIGHUP))
        self.reactor.advance(0)
        self.assertTrue(self.daemon.ready)

    def test_it_brings_its_log_to_the_application(self) -> None:
        log = Log("text")
        daemon = Daemon(self.reactor, self.state, drain_timeout_s=1, daemon_log=log)
        application = Application("tsdaemon")
        daemon.setServiceParent(application)
        self.assertIs(application.getComponent(ILogObserver), log.observer)
        self.assertEqual(list(IServiceCollection(application)), [daemon])

    def test_a_daemon_that_did_not_start_leaves_no_traceback_but_a_bug_does(self) -> None:
        self.green.error = StartError("no log")
        with self.assertRaises(NotStarted):
            self.start()
        shown: list[type[BaseException]] = []
        self.patch(sys, "__excepthook__", lambda kind, _error, _traceback: shown.append(kind))
        for error in (NotStarted("no log"), KeyError("bug")):
            sys.excepthook(type(error), error, None)
        self.assertEqual(shown, [KeyError])

    def stop_all(self) -> None:
        self.green.stopped.callback(None)
        self.black.stopped.callback(None)
        self.successResultOf(self.daemon.stopService())
