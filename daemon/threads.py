"""Threads beside the reactor, for work that blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class OneThread:
    """Runs functions in a thread, one after another.

    The thread cannot keep the process from ending: what hangs on a dead disk is left behind.

    :param reactor: gets the results.
    :param name: names the thread.
    """

    def __init__(self, reactor: Any, name: str) -> None:
        self._reactor = reactor
        self._pool = ThreadPool(minthreads=0, maxthreads=1, name=name)
        self._pool.threadFactory = partial(threading.Thread, daemon=True)  # type: ignore[assignment]

    def start(self) -> None:
        """Begin to take work."""
        self._pool.start()

    def stop(self) -> None:
        """Take no more work; wait for what is under way."""
        self._pool.stop()

    def __call__(
        self,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Deferred[Result]:
        """Run a function in the thread; gives its result, or what it raises."""
        return deferToThreadPool(self._reactor, self._pool, function, *args, **kwargs)


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
