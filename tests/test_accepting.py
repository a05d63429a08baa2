"""How many connections are accepted where descriptors are few."""

from __future__ import annotations

import errno
import os
import resource

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from daemon.accepting import PAUSE_S, SHARE, Accepting, accept_sparingly, spare_descriptors


class ListeningPort:
    """Stands for a port of Twisted's: one opens a hundred descriptors a turn if it is let.

    :ivar asked: how many were to be accepted at once, each time.
    """

    def __init__(self) -> None:
        self.reactor = Clock()
        self.numberAccepts = 100
        self.connected, self.disconnecting, self.reading = True, False, True
        self.asked: list[int] = []

    def __str__(self) -> str:
        return "a port"

    def fileno(self) -> int:
        return 0

    def doRead(self) -> None:
        self.asked.append(self.numberAccepts)
        self.numberAccepts += 20

    def stopReading(self) -> None:
        self.reading = False

    def startReading(self) -> None:
        self.reading = True


def test_with_descriptors_enough_as_many_are_accepted_as_twisted_likes():
    port = ListeningPort()
    accept = Accepting(port, lambda _: 65_000)
    for _ in range(3):
        accept()
    assert port.asked == [100, 120, 140]


@pytest.mark.parametrize(("spare", "accepted"), [(800, 50), (32, 2), (SHARE, 1), (1, 1)])
def test_of_few_descriptors_one_turn_takes_a_small_part(spare, accepted):
    port = ListeningPort()
    Accepting(port, lambda _: spare)()
    assert port.asked == [accepted]


def test_without_descriptors_it_waits_and_says_so_once():
    port, are_left = ListeningPort(), False

    def spare(_: int) -> int:
        if not are_left:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return 65_000

    accept = Accepting(port, spare)
    with capturedLogs() as events:
        for _ in range(3):
            accept()
            assert not port.reading
            port.reactor.advance(PAUSE_S)
            assert port.reading
        are_left = True
        accept()
        accept()
    assert port.asked == [100, 120]
    assert [event["log_level"] for event in events] == [LogLevel.error, LogLevel.info]
    assert "Too many open files" in events[0]["why"]


def test_a_port_that_was_closed_meanwhile_stays_closed():
    port = ListeningPort()

    def spare(_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with capturedLogs():
        Accepting(port, spare)()
    port.disconnecting = True
    port.reactor.advance(PAUSE_S)
    assert not port.reading


def test_what_can_be_opened_yet_is_what_the_limit_leaves():
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = spare_descriptors(0)
    descriptor = os.dup(0)
    try:
        assert spare_descriptors(0) < before < most
    finally:
        os.close(descriptor)
    assert spare_descriptors(0) == before


def test_what_is_no_port_of_the_system_is_left_as_it_is():
    other = object()
    accept_sparingly(other)
    assert not hasattr(other, "doRead")
