"""How a service says that it is degraded."""

from twisted.logger import LogLevel, capturedLogs

from daemon.health import Health, Phase, State


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


def test_its_state_is_its_phase_and_while_it_runs_what_is_wrong_with_it():
    health = Health("tea")
    assert (health.state, health.ok) == (State.STARTING, False)
    health.enter(Phase.RUNNING)
    assert (health.state, health.ok, health.degraded) == (State.READY, True, False)
    health.degrade("cup", "no cups")
    assert (health.state, health.ok, health.degraded) == (State.DEGRADED, True, True)
    health.fail("pot", "no pot")
    assert (health.state, health.ok, health.degraded) == (State.FAILING, False, True)
    assert health.why == "no cups; no pot"
    health.enter(Phase.DRAINING)
    assert (health.state, health.ok) == (State.DRAINING, False)


def test_a_part_that_failed_may_get_better_in_steps():
    health = Health("tea")
    health.enter(Phase.RUNNING)
    with capturedLogs() as events:
        for _ in range(2):
            health.fail("pot", "broken")
        for _ in range(2):
            health.degrade("pot", "broken")
    assert (health.ok, health.degraded) == (True, True)
    assert [event["log_level"] for event in events] == [LogLevel.error, LogLevel.error]
    health.fail("pot", "broken")
    health.recover("pot")
    assert health.state is State.READY


def test_it_knows_since_when_it_is_as_it_is():
    times = iter(range(100, 1000, 100))
    health = Health("tea", lambda: next(times))
    assert health.since_us == 100
    health.enter(Phase.RUNNING)
    health.enter(Phase.RUNNING)
    assert health.since_us == 200
    health.degrade("pot", "empty")
    health.degrade("pot", "empty")
    assert health.since_us == 300
    health.recover("pot")
    health.recover("pot")
    assert health.since_us == 400
