"""Which format of the metrics a client gets."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from daemon.admin.exposition import expose
from daemon.metrics import Metrics

PROMETHEUS_3 = (
    b"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    b"application/openmetrics-text;version=0.0.1;q=0.5,"
    b"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = Metrics("tea", registry)
    metrics.counter("cups", "Cups drunk.", lambda: 3)
    metrics.histogram("steep_seconds", "Steeping.").observe(0.2)
    return registry


@pytest.mark.parametrize(
    "accept", [PROMETHEUS_3, b"application/openmetrics-text", b"Application/OpenMetrics-Text, */*"]
)
def test_who_asks_for_openmetrics_gets_it(registry, accept):
    media_type, text = expose(registry, accept)
    assert media_type.startswith(b"application/openmetrics-text; version=1.0.0")
    assert {family.name for family in openmetrics(text.decode())} == {
        "tsdaemon_tea_cups",
        "tsdaemon_tea_steep_seconds",
    }


@pytest.mark.parametrize(
    "accept",
    [
        None,
        b"",
        b"*/*",
        b"text/html",
        b"application/openmetrics-text;q=0",
        b"application/openmetrics-text;q=0.1, text/plain",
        b"application/openmetrics-text-not",
        b";;;,,version=\xff",
        b"text/plain;version=nonsense",
    ],
)
def test_everyone_else_gets_prometheus_own_text(registry, accept):
    media_type, text = expose(registry, accept)
    assert media_type == b"text/plain; version=0.0.4; charset=utf-8"
    assert "tsdaemon_tea_cups" in {family.name for family in plain(text.decode())}


def test_a_version_that_there_is_not_is_not_claimed(registry):
    media_type, _ = expose(registry, b"application/openmetrics-text; version=99.0.0")
    assert b"99" not in media_type
