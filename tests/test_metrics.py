"""What Prometheus reads of what services count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from daemon.metrics import Histogram, Metrics


def read(registry: CollectorRegistry) -> dict[str, dict[str, float]]:
    """Give each sample that is exposed, by its name and its only label's value."""
    text = generate_latest(registry).decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            label = next(iter(sample.labels.values()), "")
            found.setdefault(sample.name, {})[label] = sample.value
    return found


def test_numbers_are_read_when_someone_looks():
    registry = CollectorRegistry()
    metrics = Metrics("counter", registry)
    numbers = {"requests": 0, "depth": 0}
    metrics.counter("requests", "Requests answered.", lambda: numbers["requests"])
    metrics.gauge("window_requests", "Requests in the window.", lambda: numbers["depth"])
    numbers.update(requests=3, depth=7)
    samples = read(registry)
    assert samples["tsdaemon_counter_requests_total"] == {"": 3}
    assert samples["tsdaemon_counter_window_requests"] == {"": 7}


def test_a_label_tells_kinds_apart():
    registry = CollectorRegistry()
    outcomes = {"online": 2, "offline": 5}
    Metrics("callback", registry).counter(
        "lookups", "Lookups that have ended.", lambda: outcomes, label="outcome"
    )
    assert read(registry)["tsdaemon_callback_lookups_total"] == outcomes


def test_services_share_a_registry():
    registry = CollectorRegistry()
    for service in ("hash", "callback"):
        Metrics(service, registry).gauge("backlog", "What waits.", lambda: 1)
    assert {"tsdaemon_hash_backlog", "tsdaemon_callback_backlog"} <= set(read(registry))


def test_one_name_twice_is_a_bug():
    metrics = Metrics("hash")
    metrics.gauge("backlog", "What waits.", lambda: 1)
    with pytest.raises(ValueError, match="tsdaemon_hash_backlog"):
        metrics.counter("backlog", "What waited.", lambda: 1)


BOUNDS = (0.25, 1, 4)


@given(st.lists(st.sampled_from([0, 0.25, 0.5, 1, 1.5, 4, 5, 100])))
def test_a_histogram_counts_what_is_not_above_each_bound(values):
    registry = CollectorRegistry()
    histogram = Metrics("hash", registry).histogram("time_seconds", "Time.", BOUNDS)
    for value in values:
        histogram.observe(value)
    samples = read(registry)
    buckets = samples["tsdaemon_hash_time_seconds_bucket"]
    assert {float(bound): count for bound, count in buckets.items()} == {
        bound: sum(value <= bound for value in values) for bound in (*BOUNDS, float("inf"))
    }
    assert samples["tsdaemon_hash_time_seconds_count"] == {"": len(values)}
    assert samples["tsdaemon_hash_time_seconds_sum"] == {"": sum(values)}


def test_a_histogram_knows_its_sum():
    histogram = Histogram(BOUNDS)
    histogram.observe(2)
    histogram.observe(0.5)
    assert histogram.sum == 2.5


def test_without_anyone_to_tell_a_metric_that_cannot_be_read_raises():
    metrics = Metrics("hash")

    def broken() -> float:
        raise ValueError("closed")

    metrics.gauge("backlog", "What waits.", broken)
    with pytest.raises(ValueError, match="closed"):
        list(metrics.collect())


def test_what_is_worth_a_look_is_named_in_its_order():
    metrics = Metrics("hash")
    metrics.counter("jobs", "Jobs.", lambda: 1, plot="Jobs")
    metrics.gauge("hidden", "Of no interest.", lambda: 1)
    metrics.histogram("work_seconds", "Work.", plot="Work")
    metrics.gauge("size_bytes", "Size.", lambda: 1, plot="Size")
    assert [(plot.title, plot.unit) for plot in metrics.plots] == [
        ("Jobs", ""),
        ("Work", "seconds"),
        ("Size", "bytes"),
    ]
