"""The HTTP services as they run, each behind the real server, with time in the target's hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, cast

from klein import Klein
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from daemon.callback.objects.store import ObjectStore, Seen
from daemon.callback.web import CallbackAPI
from daemon.counter.web import CounterAPI
from daemon.counter.window import Window
from daemon.hash.idempotency import Keys
from daemon.hash.jobs import DIGEST_BYTES, Jobs
from daemon.hash.web import HashAPI
from daemon.http.limits import Limits, RenderRefusal, plain_text
from daemon.http.problem import problem_json
from daemon.http.server import KleinFactory
from daemon.metrics import Histogram
from daemon.storage.mapped import Column
from daemon.storage.ring import Ring
from daemon.timestamp.register import Register
from daemon.timestamp.web import TimestampAPI
from daemon.tokens import Tokens
from daemon.waiters import Waiters
from tests.callback.inboxes import Bench
from tests.fuzz.places import new_folder

LIMITS: Final = Limits(header_fields=12, header_bytes=600, target_bytes=100, body_bytes=300)
LONGEST_WAIT_S: Final = 1.0
DELAY_S: Final = 1.0
STEP_S: Final = 0.5
_US: Final = 1_000_000
_START_US: Final = 1_700_000_000 * _US


@implementer(ITCPTransport)
class Wire(StringTransport):
    """A connection as the server's socket has it.

    :ivar late: what was written after the server had ended its side.
    :ivar half_closed: the server has ended its side, and still reads.
    :ivar gone: the server has let the connection go.
    """

    def __init__(self) -> None:
        super().__init__(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 8080),
            peerAddress=IPv4Address("TCP", "127.0.0.1", 50000),
            lenient=True,
        )
        self.late = b""
        self.half_closed = False
        self.aborted = False

    @property
    def gone(self) -> bool:
        """Whether nothing more is read or sent."""
        return self.disconnecting or self.aborted

    @property
    def paused(self) -> bool:
        """Whether nothing is read now."""
        return bool(self.producerState == "paused")

    def write(self, data: bytes) -> None:
        if self.half_closed or self.gone:
            self.late += data
        super().write(data)

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def getTcpKeepAlive(self) -> bool:
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass


class World:
    """A service that serves.

    :ivar clock: its time.
    :ivar factory: its server.
    """

    def __init__(self, app: Klein, clock: Clock, render: RenderRefusal) -> None:
        self.clock = clock
        self.factory = KleinFactory(
            app, clock, limits=LIMITS, render_refusal=render, now=lambda: 1_700_000_000
        )
        self.factory.doStart()
        self._always = len(clock.getDelayedCalls())

    @property
    def is_busy(self) -> bool:
        """Whether something is under way that needs time."""
        return len(self.clock.getDelayedCalls()) > self._always

    def connect(self) -> tuple[Any, Wire]:
        """Make a connection."""
        protocol: Any = self.factory.buildProtocol(None)
        wire = Wire()
        protocol.makeConnection(wire)
        return protocol, wire


class Objects:
    """A database that holds nothing, and answers at once."""

    def page(self, _after: int | None, limit: int, _since_us: int) -> Deferred[list[Seen]]:
        return succeed([Seen(number, _START_US) for number in range(min(limit, 3))])

    def get(self, object_id: int, _since_us: int) -> Deferred[Seen | None]:
        return succeed(Seen(object_id, _START_US) if object_id % 2 == 0 else None)


@contextmanager
def timestamp() -> Iterator[World]:
    """The timestamp service, in memory."""
    clock = Clock()
    waiters = Waiters(clock)
    register = Register("boot", on_change=waiters.wake)
    api = TimestampAPI(
        register, register.write, waiters, clock, tokens=Tokens(), max_wait_s=LONGEST_WAIT_S
    )
    yield World(api.app, clock, plain_text)


@contextmanager
def counter() -> Iterator[World]:
    """The counter, with its files."""
    with new_folder() as folder:
        clock = Clock()
        column = Column(folder / "counter", 64)
        column.open(_START_US)
        window = Window(column, 60 * _US)
        api = CounterAPI(lambda: window.add(_now_us(clock)))
        yield World(api.app, clock, plain_text)
        column.close()


@contextmanager
def hashes() -> Iterator[World]:
    """The hash service, in memory."""
    clock = Clock()
    stops: list[Callable[[], None]] = []

    def shut_down() -> Deferred[None]:
        for stop in stops:
            stop()
        return succeed(None)

    api = HashAPI(
        Keys(3, 3600 * _US),
        Waiters(clock),
        clock,
        partial(_now_us, clock),
        tokens=Tokens(),
        shut_down=shut_down,
        version="1.2.3",
        capacity=64,
        max_wait_s=LONGEST_WAIT_S,
        observe=Histogram([1]).observe,
        timer_ns=lambda: 0,
    )
    api.jobs = Jobs(Ring(None, DIGEST_BYTES, 64), 64, round(DELAY_S * _US), _now_us(clock))
    world = World(api.app, clock, problem_json)

    def drain() -> None:
        api.draining = True
        world.factory.wind_down()

    stops.append(drain)
    yield world


@contextmanager
def callbacks() -> Iterator[World]:
    """The callback service, with its inbox on disk."""
    with new_folder() as folder:
        bench = Bench(folder / "inbox.sqlite")
        clock = bench.clock
        api = CallbackAPI(
            bench.inbox,
            cast("ObjectStore", Objects()),
            partial(_now_us, clock),
            arrived=lambda _: None,
            accept_time=Histogram([1]),
            tokens=Tokens(),
            max_ids=5,
            lifespan_us=30 * _US,
        )
        yield World(api.app, clock, problem_json)
        bench.close()


def _now_us(clock: Clock) -> int:
    return _START_US + round(clock.seconds() * _US)
