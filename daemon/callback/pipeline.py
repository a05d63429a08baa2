"""The way of a callback from the inbox to the database.

::

    inbox -> Lookups: which objects, when -> source -> Lookups: what that says
          -> online ones -> one upsert -> callback settled -> inbox

What is decided stands in ``lookups.py`` and ``verdict.py``; here is what is done about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from daemon.callback.inbox import Callback, Inbox, RefusedError
from daemon.callback.lookups import Claim, Lookups
from daemon.callback.storing import Tell
from daemon.callback.verdict import Says, Verdict, judge
from daemon.clock import Now
from daemon.http.client import Answer, Client, FetchError
from daemon.metrics import Histogram
from daemon.periodic import Periodic

MENTIONS: Final = 100_000
"""So many objects in callbacks are worked on at a time, some 20 MB; others wait in the inbox."""

PAGE: Final = 1000
"""So many callbacks at most are read from the inbox at once."""

PAGE_MENTIONS: Final = 10_000
"""So many objects at most do they name, together: some 10 ms of work, for which others wait."""

AT_ONCE: Final = 16
"""So many lookups at most begin in one turn of the reactor: else a source that answers at once
would have so many answers in each turn that new callbacks had to wait for them."""

TICK_S: Final = 0.5
"""How often callbacks are looked for whose time is over, and an inbox that failed is read again."""

LOGGED: Final = 10
"""So many refusals of the source are logged between two ticks; the others are counted only."""

SOURCE: Final = "source"
"""The part that is in trouble while the source does not answer."""

_NEVER: Final = 1 << 63
_US: Final = 1_000_000


class Pipeline:
    """Works on callbacks until all that they name is settled.

    :param clock: schedules.
    :param now: tells the time.
    :param inbox: where callbacks come from, and which they leave when they are settled.
    :param client: asks the source.
    :param lookups: decides.
    :param store: takes an object that is online; :meth:`settle` is to be called for it later.
    :param tell: told how the source is.
    :param lookup_time: told how long each request took, in seconds.
    :ivar outcomes: how many requests ended in which way.
    """

    log = Logger()

    def __init__(
        self,
        clock: Any,
        now: Now,
        inbox: Inbox,
        client: Client,
        lookups: Lookups,
        *,
        store: Callable[[Claim], None],
        tell: Tell,
        lookup_time: Histogram,
    ) -> None:
        self._clock = clock
        self._now = now
        self._inbox = inbox
        self._client = client
        self._lookups = lookups
        self._store = store
        self._tell = tell
        self._lookup_time = lookup_time
        self._ticks = Periodic(clock, self._tick)
        self._taken = self._arrived = 0
        self._is_loading = self._is_beginning = self._running = False
        self._is_down = False
        self._timer: IDelayedCall | None = None
        self._timer_us = _NEVER
        self._turn: IDelayedCall | None = None
        self._begun = 0
        self._logged = 0
        self.outcomes = dict.fromkeys(Says, 0)

    def start(self) -> None:
        """Begin to work, with what the inbox holds already."""
        self._running = True
        self._arrived = self._inbox.last_number
        self._ticks.start(TICK_S)
        self._fill()

    async def stop(self) -> None:
        """Work on nothing more. What is not settled stays in the inbox for the next start."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        await self._ticks.stop()
        await self._client.close()

    def arrived(self, callback: Callback) -> None:
        """Work on a callback that was accepted just now, if its turn has come."""
        number = callback.number
        is_next = not self._is_loading and self._taken >= self._arrived
        self._arrived = max(self._arrived, number)
        if self._running and is_next and self._lookups.size < MENTIONS:
            self._take(callback)
            self._pass_on()
            self._begin()

    def settle(self, callbacks: Iterable[int]) -> None:
        """Learn that objects of these callbacks are stored."""
        self._lookups.settle(callbacks)
        self._pass_on()

    # --- from the inbox

    def _take(self, callback: Callback) -> None:
        self._taken = callback.number
        # Set back between two runs, the clock must not make objects live longer.
        now_us = self._now()
        received_us = min(callback.received_us, now_us)
        if self._lookups.is_over(received_us, now_us):
            self._lookups.pass_over(callback.number)
        else:
            self._lookups.add(callback.number, received_us, callback.ids)

    def _fill(self) -> None:
        """Read on in the inbox, if there is more, and room that is worth a look at the disk."""
        if self._is_loading or not self._running or self._taken >= self._arrived:
            return
        room = MENTIONS - self._lookups.size
        if room < MENTIONS // 4:
            return
        self._is_loading = True
        page = self._inbox.load(self._taken, PAGE, min(room, PAGE_MENTIONS))
        page.addCallback(self._loaded, self._arrived)
        page.addErrback(self._not_loaded)

    def _loaded(self, page: list[Callback], arrived: int) -> None:
        self._is_loading = False
        if not self._running:
            return
        for callback in page:
            self._take(callback)
        if not page:
            self._taken = max(self._taken, arrived)
        self._lookups.expire(self._now())
        self._pass_on()
        self._begin()
        self._fill()

    def _not_loaded(self, failure: Failure) -> None:
        self._is_loading = False
        if self._running and not failure.check(RefusedError):
            self.log.failure("the inbox could not be read", failure)

    async def _tick(self) -> None:
        self._logged = 0
        self._lookups.expire(self._now())
        self._pass_on()
        self._begin()
        self._fill()

    # --- to the source

    def _begin(self) -> None:
        """Begin as many lookups as may be under way, and as this turn may have."""
        if self._is_beginning or not self._running:
            return
        self._is_beginning = True
        now_us = self._now()
        while self._begun < AT_ONCE and (object_id := self._lookups.begin(now_us)) is not None:
            self._begun += 1
            self._look_up(object_id, now_us)
        self._is_beginning = False
        if self._begun and self._turn is None:
            self._turn = self._clock.callLater(0, self._turn_over)
        if self._begun < AT_ONCE:
            self._set_timer(now_us)

    def _turn_over(self) -> None:
        self._turn = None
        was_full = self._begun >= AT_ONCE
        self._begun = 0
        if was_full:
            # Not at once: what is begun when an answer comes gets the connection of that answer,
            # which need not be looked at before it is used.
            self._set_timer(self._now())

    def _look_up(self, object_id: int, began_us: int) -> None:
        answer = self._ask(object_id)
        answer.addCallback(self._answered, object_id)
        answer.addErrback(self._unanswered)
        answer.addCallback(self._conclude, object_id, began_us)
        answer.addErrback(self._bug)

    def _ask(self, object_id: int) -> Deferred[Any]:
        try:
            return self._client.get(b"/objects/%d" % object_id)
        except Exception:  # noqa: BLE001  # a bug; the object is asked for again
            return fail()

    def _answered(self, answer: Answer, object_id: int) -> Verdict:
        return judge(object_id, answer.status, answer.fields, answer.body, self._now())

    def _unanswered(self, failure: Failure) -> Verdict:
        """Take what came instead of an answer, a bug of ours too: the object is asked for again."""
        if self._running and not failure.check(FetchError):
            self._bug(failure)
        return Verdict(Says.NOTHING, failure.getErrorMessage())

    def _bug(self, failure: Failure) -> None:
        self.log.failure("a lookup failed", failure)

    def _conclude(self, verdict: Verdict, object_id: int, began_us: int) -> None:
        if not self._running:
            return
        now_us = self._now()
        self.outcomes[verdict.says] += 1
        self._lookup_time.observe((now_us - began_us) / _US)
        claim = self._lookups.end(object_id, verdict, now_us)
        if claim is not None:
            self._store(claim)
        elif verdict.says is Says.REFUSED:
            self._say_refused(object_id, verdict)
        if self._lookups.source_is_down is not self._is_down:
            self._say_source(verdict)
        self._pass_on()
        self._begin()

    def _pass_on(self) -> None:
        """Let the inbox know what is settled, and take what there is room for now."""
        settled = self._lookups.take_settled()
        if settled:
            self._inbox.settle(settled)
            self._fill()

    def _set_timer(self, now_us: int) -> None:
        """Come back when there is something to begin, if no event comes before."""
        at_us = self._lookups.next_us(now_us)
        if at_us is None or at_us >= self._timer_us:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_us = at_us
        self._timer = self._clock.callLater(max(0, at_us - now_us) / _US, self._timer_over)

    def _timer_over(self) -> None:
        self._timer = None
        self._timer_us = _NEVER
        self._begin()

    def _say_refused(self, object_id: int, verdict: Verdict) -> None:
        self._logged += 1
        if self._logged <= LOGGED:
            self.log.warn(
                "object {object_id} is given up: {why}", object_id=object_id, why=verdict.why
            )

    def _say_source(self, verdict: Verdict) -> None:
        self._is_down = self._lookups.source_is_down
        down = f"the source cannot be asked: {verdict.why}"
        self._tell(SOURCE, down if self._is_down else None)
