"""How a source's name becomes a connection; what the system says is the test's."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock

from daemon.http.client_endpoint import SourceEndpoint
from tests.http.sources import eventually, failure_of

TIMEOUT_S = 10.0


class System:
    """Looks names up, and answers when the test says so.

    :ivar asked: the names so far.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._may_answer = threading.Event()
        self._answer: list[str] | Exception = []

    def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        self._may_answer.wait()
        self._may_answer.clear()
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def answers(self, answer: list[str] | Exception) -> None:
        """Let the lookup under way end."""
        self._answer = answer
        self._may_answer.set()


class Network(MemoryReactorClock):
    """Attempts to connect that the test decides, and a real thread's word in the real reactor.

    :param reactor: the real one.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self._real = reactor

    def callFromThread(self, function: Any, *args: Any, **kwargs: Any) -> None:
        self._real.callFromThread(function, *args, **kwargs)

    @property
    def tried(self) -> list[str]:
        """The addresses so far, in their order."""
        return [attempt[0] for attempt in self.tcpClients]


@pytest.fixture
def system():
    """What looks names up; nothing may hang on it at the end."""
    system = System()
    yield system
    system.answers([])


@pytest.fixture
def network(reactor):
    """What connects."""
    return Network(reactor)


def endpoint(network: Network, system: System, host: str = "source") -> SourceEndpoint:
    return SourceEndpoint(network, host, 9010, timeout_s=TIMEOUT_S, resolve=system)


def connect(source: SourceEndpoint) -> Deferred[Any]:
    return source.connect(Factory.forProtocol(Protocol))


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_is_not_looked_up(network, system, host):
    connecting = connect(endpoint(network, system, host))
    assert network.tried == [host]
    assert system.asked == []
    connecting.cancel()
    connecting.addErrback(lambda _: None)


@pytest_twisted.ensureDeferred
async def test_each_address_has_its_turn_until_one_answers(reactor, network, system):
    connecting = connect(endpoint(network, system))
    system.answers(["2001:db8::1", "192.0.2.1"])
    await eventually(reactor, lambda: network.tried == ["2001:db8::1"])
    network.advance(0.3)
    assert network.tried == ["2001:db8::1", "192.0.2.1"]
    network.tcpClients[1][2].buildProtocol(None).makeConnection(object())
    assert isinstance(await connecting, Protocol)
    assert network.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_those_who_connect_meanwhile_wait_for_the_same_answer(reactor, network, system):
    source = endpoint(network, system)
    connecting = [connect(source) for _ in range(3)]
    await eventually(reactor, lambda: bool(system.asked))
    system.answers(["192.0.2.1"])
    await eventually(reactor, lambda: len(network.tried) == 3)
    assert system.asked == ["source"]
    for each in connecting:
        each.cancel()
        await failure_of(each)


@pytest_twisted.ensureDeferred
async def test_the_next_one_looks_again(reactor, network, system):
    source = endpoint(network, system)
    first = connect(source)
    system.answers(OSError(-2, "Name or service not known"))
    error = await failure_of(first)
    assert isinstance(error, DNSLookupError)
    assert "source: Name or service not known" in str(error)
    second = connect(source)
    system.answers(["192.0.2.1"])
    await eventually(reactor, lambda: network.tried == ["192.0.2.1"])
    assert system.asked == ["source", "source"]
    second.cancel()
    await failure_of(second)


@pytest_twisted.ensureDeferred
async def test_a_lookup_that_hangs_is_given_up_and_no_second_one_begun(reactor, network, system):
    source = endpoint(network, system)
    late = connect(source)
    network.advance(TIMEOUT_S)
    error = await failure_of(late)
    assert isinstance(error, DNSLookupError)
    assert "source: no answer for 10 s" in str(error)
    again = connect(source)
    system.answers(["192.0.2.1"])
    await eventually(reactor, lambda: network.tried == ["192.0.2.1"])
    assert system.asked == ["source"]
    again.cancel()
    await failure_of(again)


@pytest_twisted.ensureDeferred
async def test_one_who_gives_up_does_so_at_once_and_harms_no_other(network, system):
    source = endpoint(network, system)
    first, second, third = (connect(source) for _ in range(3))
    first.cancel()
    assert isinstance(await failure_of(first), CancelledError)
    second.addErrback(lambda _: third.cancel())
    system.answers(OSError(-3, "Temporary failure in name resolution"))
    assert isinstance(await failure_of(third), CancelledError)
    assert network.tried == []
    assert network.getDelayedCalls() == []


@pytest_twisted.ensureDeferred
async def test_a_name_without_an_address_is_not_found(network, system):
    connecting = connect(endpoint(network, system))
    system.answers([])
    assert isinstance(await failure_of(connecting), DNSLookupError)


@pytest_twisted.ensureDeferred
async def test_what_is_no_fault_of_the_name_is_passed_on(network, system):
    connecting = connect(endpoint(network, system))
    system.answers(RuntimeError("it broke"))
    assert str(await failure_of(connecting)) == "it broke"
