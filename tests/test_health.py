"""How a service says that it is degraded."""

from twisted.logger import LogLevel, capturedLogs

from daemon.health import Health


def test_it_is_well_until_a_part_is_in_trouble_and_again_after_it():
    health = Health("tea")
    assert health.why is None
    health.degrade("pot", "the pot is empty")
    health.degrade("cup", "no cups")
    assert health.why == "the pot is empty; no cups"
    health.recover("pot")
    assert health.why == "no cups"
    health.recover("cup")
    assert health.why is None


def test_each_change_is_logged_once():
    health = Health("tea")
    with capturedLogs() as events:
        for _ in range(3):
            health.degrade("pot", "empty")
        health.degrade("pot", "broken")
        for _ in range(3):
            health.recover("pot")
    assert [event["why"] for event in events] == ["empty", "broken", "broken"]
    assert [event["log_level"] for event in events] == [
        LogLevel.error,
        LogLevel.error,
        LogLevel.info,
    ]
