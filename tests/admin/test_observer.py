"""The page's values, as time goes by."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from daemon.admin.history import INTERVAL_S, LENGTH
from daemon.health import Phase
from tests.admin.daemons import House
from tests.admin.test_plots import points


@pytest.fixture
def house() -> House:
    return House()


def pass_time(house: House, samples: int) -> None:
    for _ in range(samples):
        house.clock.advance(INTERVAL_S)


def test_each_plot_of_a_service_is_a_row_with_value_history_and_words(house: House):
    tea = house.add("tea")
    cups = {"number": 0}
    tea.metrics.counter("cups", "Cups.", lambda: cups["number"], plot="Cups")
    tea.metrics.gauge("leaves", "Leaves.", lambda: 7, plot="Leaves")
    tea.metrics.gauge("hidden", "Of no interest.", lambda: 1)
    house.run()
    observer = house.observer()
    for _ in range(3):
        cups["number"] += 20
        pass_time(house, 1)
    card, process = observer.page().cards
    assert [row.title for row in card.rows] == ["Cups", "Leaves"]
    row = card.rows[0]
    assert (row.now, row.note) == ("10/s", "total 60")
    assert row.summary == "Cups over the last ten minutes: now 10/s, peak 10/s"
    assert points(row.path) == {LENGTH - 3: 0, LENGTH - 2: 0, LENGTH - 1: 0}
    assert (card.rows[1].now, card.rows[1].note) == ("7", "peak 7")
    assert [row.title for row in process.rows] == ["Reactor lag", "CPU", "Memory"]
    assert process.rows[2].now.endswith("MB")


def test_what_was_never_measured_is_said_to_be_nothing(house: House):
    house.add("tea").metrics.histogram("steep_seconds", "Steeping.", plot="Steep")
    house.run()
    card, _ = house.observer().page().cards
    assert [row.title for row in card.rows] == ["Steep, mean", "Steep, p99"]
    assert card.rows[0].now == "none"
    assert card.rows[0].summary == "Steep, mean: nothing in the last ten minutes"
    assert card.rows[0].path == ""


def test_labels_of_a_metric_are_added_up(house: House):
    tea = house.add("tea")
    tea.metrics.gauge("cups", "Cups.", lambda: {"full": 2, "empty": 3}, label="kind", plot="Cups")
    house.run()
    card, _ = house.observer().page().cards
    assert card.rows[0].now == "5"


def test_trouble_is_shown_while_it_lasts_and_remembered_after(house: House):
    tea = house.add("tea")
    house.run()
    observer = house.observer()
    tea.health.degrade("pot", "the pot leaks")
    pass_time(house, 2)
    page = observer.page()
    assert (page.headline, page.state) == ("tea is degraded", "degraded")
    assert (page.cards[0].state, page.cards[0].why) == ("degraded", "the pot leaks")
    tea.health.recover("pot")
    pass_time(house, 1)
    page = observer.page()
    assert (page.headline, page.state, page.cards[0].why) == ("The service is ready", "ready", "")
    assert page.cards[0].strip == ["M296 10h1M299 10h1", "M297 10h2", ""]
    assert page.cards[0].strip_summary.endswith("now ready, unwell for 50 %")


def test_the_headline_tells_the_life_of_the_daemon(house: House):
    for name in ("tea", "milk", "admin"):
        house.add(name)
    observer = house.observer()
    assert observer.page().headline == "The daemon is starting"
    house.run()
    page = observer.page()
    assert page.headline == "All 3 services are ready"
    assert [card.name for card in page.cards] == ["tea", "milk", "admin", "process"]
    house.overview.members["milk"].health.fail("cow", "no cow")
    house.overview.members["tea"].health.degrade("pot", "leaks")
    page = observer.page()
    assert (page.state, page.headline) == ("failing", "tea is degraded; milk is failing")
    house.overview.phase = Phase.DRAINING
    house.overview.members["tea"].health.enter(Phase.DRAINING)
    page = observer.page()
    assert (page.state, page.headline) == ("draining", "The daemon is stopping; still at work: tea")
    house.overview.members["tea"].health.enter(Phase.STOPPED)
    assert observer.page().headline.endswith("nobody")


def test_between_samples_the_page_is_made_again_only_for_another_state(house: House):
    tea = house.add("tea")
    house.run()
    observer = house.observer()
    first = observer.page()
    house.clock.advance(INTERVAL_S / 4)
    assert observer.page() is first
    tea.health.degrade("pot", "it leaks")
    second = observer.page()
    assert (second.cards[0].why, second.updated > first.updated) == ("it leaks", True)
    house.clock.advance(INTERVAL_S / 4)
    tea.health.degrade("pot", "it leaks a lot")
    assert observer.page().cards[0].why == "it leaks a lot"
    house.clock.advance(INTERVAL_S / 2)
    assert observer.page().updated > second.updated


def test_services_with_a_document_are_named(house: House):
    house.add("tea", document=b"{}")
    house.add("milk")
    house.run()
    assert house.observer().page().documents == ["tea"]


def test_stopped_it_looks_no_more(house: House):
    house.add("tea")
    observer = house.observer()
    Deferred.fromCoroutine(observer.stop())
    assert house.clock.getDelayedCalls() == []
