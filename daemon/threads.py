"""Threads beside the reactor, for work that blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

if TYPE_CHECKING:
    from daemon.health import Health

LOOK_S: Final = 1.0
"""How often it is looked whether what is under way is still the same."""

LOOKS: Final = 5
"""So many times it may be. Looks are counted instead of time: time in which the whole process
stood still is one look at most, and nothing that a disk could help."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class OneThread:
    """Runs functions in a thread, one after another.

    The thread cannot keep the process from ending: what hangs on a dead disk is left behind.

    :param reactor: gets the results, and schedules.
    :param name: names the thread.
    :param health: told when one function takes longer than a disk that works, and when it has
        ended after all; None: nobody is.
    """

    def __init__(self, reactor: Any, name: str, health: Health | None = None) -> None:
        self._reactor = reactor
        self._watch = _Watch(reactor, name, health) if health is not None else None
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name=name)
        self._pool.threadFactory = partial(threading.Thread, daemon=True)  # type: ignore[assignment]

    def start(self) -> None:
        """Begin to take work."""
        self._pool.start()

    def stop(self) -> None:
        """Take no more work; wait for what is under way."""
        self._pool.stop()
        if self._watch is not None:
            self._watch.stop()

    def __call__(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Deferred[Result]:
        """Run a function in the thread; gives its result, or what it raises.

        Cancelling that changes nothing for the function.
        """
        done: Deferred[Result] = Deferred()
        self._pool.callInThreadWithCallback(partial(self._ended, done), function, *args, **kwargs)
        if self._watch is not None:
            self._watch.begun()
        return done

    def _ended(self, done: Deferred[Any], succeeded: bool, result: Any) -> None:
        """Hand a result over; in the thread."""
        self._reactor.callFromThread(self._give, done, succeeded, result)

    def _give(self, done: Deferred[Any], succeeded: bool, result: Any) -> None:
        if self._watch is not None:
            self._watch.ended()
        if succeeded:
            done.callback(result)
        else:
            done.errback(result)


class _Watch:
    """Sees whether functions that run one after another come to their ends.

    :param clock: schedules.
    :param name: names the thread; the part of the service that is in trouble.
    :param health: told.
    """

    def __init__(self, clock: Any, name: str, health: Health) -> None:
        self._clock = clock
        self._health = health
        self._part = f"thread {name}"
        self._why = f"the disk has not answered for {LOOKS * LOOK_S:g} s ({name})"
        self._left = 0
        self._ends = 0
        self._looks = 0
        self._seen = 0
        self._timer: IDelayedCall | None = None
        self._is_told = False

    def begun(self) -> None:
        """Note that there is one more to run."""
        self._left += 1
        if self._timer is None and not self._is_told:
            self._look_later()

    def ended(self) -> None:
        """Note that one has ended."""
        self._left -= 1
        self._ends += 1
        if self._is_told:
            self._is_told = False
            self._health.recover(self._part)
            if self._left:
                self._look_later()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self, looks: int = 0) -> None:
        self._looks = looks
        self._seen = self._ends
        self._timer = self._clock.callLater(LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        if not self._left:
            return
        # What ended meanwhile had taken the thread's time from what is under way now.
        looks = self._looks + 1 if self._seen == self._ends else 0
        if looks < LOOKS:
            self._look_later(looks)
        else:
            self._is_told = True
            self._health.degrade(self._part, self._why)


def in_thread_of_its_own(
    reactor: Any,
    function: Callable[Arguments, Result],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Deferred[Result]:
    """Run a function that may hang for long; gives its result, or what it raises.

    The thread cannot keep the process from ending, and holds up no other work.
    """
    done: Deferred[Result] = Deferred()

    def work() -> None:
        try:
            result = function(*args, **kwargs)
        except Exception:  # noqa: BLE001  # it is passed on
            reactor.callFromThread(done.errback, Failure())
        else:
            reactor.callFromThread(done.callback, result)

    try:
        name = getattr(function, "__name__", None)
        threading.Thread(target=work, name=name, daemon=True).start()
    except RuntimeError:  # the system gives no thread
        done.errback(Failure())
    return done
