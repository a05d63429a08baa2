"""What a service can be asked to count, for Prometheus. Holds no service's knowledge.

Services keep plain numbers where they work and are asked for them when someone looks: a metric
costs a request nothing. Only histograms have to be told.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

Read = Callable[[], float | Mapping[str, float]]
"""Gives a number; for a metric with a label, a number for each of its values."""

LATENCY_BOUNDS_S: Final = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
)
"""Upper bounds of a histogram of seconds, from half a millisecond to what nobody waits for."""


class Kind(Enum):
    """How a number is plotted over time."""

    LEVEL = "level"
    """As it is."""

    RATE = "rate"
    """By how much it rises in a second."""


@dataclass(frozen=True)
class Plot:
    """A metric that is worth a person's look.

    :ivar title: a few words.
    :ivar unit: ``seconds``, ``bytes``, or nothing for a plain number.
    :ivar read: gives the number.
    """

    title: str
    kind: Kind
    unit: str
    read: Callable[[], float]


@dataclass(frozen=True)
class SpreadPlot:
    """A histogram that is worth a person's look; see :class:`Plot`."""

    title: str
    unit: str
    histogram: Histogram


class Histogram:
    """How often what was measured lay below each of some bounds.

    :param bounds: upper bounds, inclusive, rising.
    """

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value that was measured."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def bounds(self) -> tuple[float, ...]:
        """The upper bounds."""
        return self._bounds

    @property
    def counts(self) -> list[int]:
        """How many values lie between each bound and the one before it; last, beyond them all."""
        return list(self._counts)

    @property
    def sum(self) -> float:
        """The sum of all values."""
        return self._sum

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """Each bound as text, the last of them ``+Inf``, and how many values it is not below."""
        names = [*(f"{float(bound):g}" for bound in self._bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self._counts)), strict=True))


class Metrics(Collector):
    """The metrics of one service; their names begin with ``tsdaemon_<service>_``.

    Units stand at the end of a name, in full: ``_seconds``, ``_bytes``. A counter's name gets
    ``_total`` when it is written.

    :param service: the service's name.
    :param registry: collects those of all services.
    :param on_failure: told the name of each metric that could not be read, and why: the others are
        collected all the same. None: it raises.
    :ivar plots: those that are worth a person's look, in the order in which they were added.
    """

    def __init__(
        self,
        service: str,
        registry: CollectorRegistry | None = None,
        on_failure: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self.prefix = f"tsdaemon_{service}_"
        self._families: dict[str, Callable[[str], Metric]] = {}
        self._on_failure = on_failure
        self.plots: list[Plot | SpreadPlot] = []
        if registry is not None:
            registry.register(self)

    def gauge(
        self, name: str, what: str, read: Read, *, label: str | None = None, plot: str | None = None
    ) -> None:
        """Show a number that rises and falls.

        :param what: says in one sentence what it is.
        :param read: asked whenever someone looks.
        :param label: the name of the label, if there is one.
        :param plot: its title on the admin's page, a few words; None: it is not plotted there.
            Of a metric with a label, the sum is.
        :raises ValueError: there is such a metric already.
        """
        self._add(name, lambda full: _filled(GaugeMetricFamily, full, what, read, label))
        if plot is not None:
            self.plots.append(Plot(plot, Kind.LEVEL, _unit(name), _summed(read)))

    def counter(
        self, name: str, what: str, read: Read, *, label: str | None = None, plot: str | None = None
    ) -> None:
        """Show a number that only rises while the process lives; see :meth:`gauge`.

        What is plotted is its rise in a second.
        """
        self._add(name, lambda full: _filled(CounterMetricFamily, full, what, read, label))
        if plot is not None:
            self.plots.append(Plot(plot, Kind.RATE, _unit(name), _summed(read)))

    def histogram(
        self,
        name: str,
        what: str,
        bounds: Sequence[float] = LATENCY_BOUNDS_S,
        *,
        plot: str | None = None,
    ) -> Histogram:
        """Show how what is measured is spread; see :meth:`gauge`.

        What is plotted is what 99 of 100 lie below.

        :param bounds: as for :class:`Histogram`.
        """
        histogram = Histogram(bounds)

        def family(full: str) -> Metric:
            metric = HistogramMetricFamily(full, what)
            metric.add_metric([], histogram.buckets, histogram.sum)
            return metric

        self._add(name, family)
        if plot is not None:
            self.plots.append(SpreadPlot(plot, _unit(name), histogram))
        return histogram

    def collect(self) -> Iterable[Metric]:
        """Give all of them, as the registry wants them."""
        for name, family in self._families.items():
            try:
                metric = family(name)
            except Exception as error:
                if self._on_failure is None:
                    raise
                self._on_failure(name, error)
            else:
                yield metric

    def describe(self) -> Iterator[Metric]:
        """Give the registry no names in advance: they are added later."""
        return iter(())

    def _add(self, name: str, family: Callable[[str], Metric]) -> None:
        full = self.prefix + name
        if full in self._families:
            raise ValueError(f"there are two metrics {full}")
        self._families[full] = family


def _unit(name: str) -> str:
    """Give the unit at the end of a metric's name."""
    unit = name.rpartition("_")[2]
    return unit if unit in ("seconds", "bytes") else ""


def _summed(read: Read) -> Callable[[], float]:
    def total() -> float:
        found = read()
        return sum(found.values()) if isinstance(found, Mapping) else found

    return total


def _filled(
    kind: type[GaugeMetricFamily | CounterMetricFamily],
    name: str,
    what: str,
    read: Read,
    label: str | None,
) -> Metric:
    metric = kind(name, what, labels=[label] if label else [])
    found = read()
    if isinstance(found, Mapping):
        for value, number in found.items():
            metric.add_metric([value], number)
    else:
        metric.add_metric([], found)
    return metric
