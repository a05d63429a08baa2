"""The last ten minutes of what is plotted: a few hundred numbers each, and no more."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final

from daemon.metrics import Histogram, Kind, Plot, SpreadPlot

INTERVAL_S: Final = 2.0
LENGTH: Final = 300
"""Samples: ten minutes of them."""

_P99: Final = 0.99


class Track:
    """One number over time.

    :param plot: what it is, and how it is read.
    :ivar values: the samples, oldest first; None where there was nothing to measure.
    :ivar reading: what was read at the last sample, whatever is made of it.
    """

    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self.values: deque[float | None] = deque(maxlen=LENGTH)
        self.reading: float | None = None

    @property
    def now(self) -> float | None:
        """The last sample."""
        return self.values[-1] if self.values else None

    @property
    def peak(self) -> float | None:
        """The largest sample that is kept."""
        return max((value for value in self.values if value is not None), default=None)

    def sample(self, elapsed_s: float) -> None:
        """Take a sample.

        :param elapsed_s: the time since the last one, or since the start.
        """
        before = self.reading
        try:
            reading: float | None = self.plot.read()
        except Exception:  # noqa: BLE001  # whoever reads the metrics hears of it
            reading = None
        self.reading = reading
        if reading is None or self.plot.kind is Kind.LEVEL:
            self.values.append(reading)
        elif before is None or elapsed_s <= 0:
            self.values.append(None)
        else:
            self.values.append(max(0.0, reading - before) / elapsed_s)


def tracks_of(plot: Plot | SpreadPlot) -> list[Track]:
    """Give what is tracked of a metric: for a histogram its mean, and what 99 % lie below."""
    if isinstance(plot, Plot):
        return [Track(plot)]
    of = [("mean", mean), ("p99", lambda counts, _, bounds: quantile(counts, bounds, _P99))]
    return [
        Track(Plot(f"{plot.title}, {title}", Kind.LEVEL, plot.unit, Lately(plot.histogram, make)))
        for title, make in of
    ]


Summary = Callable[[Sequence[int], float, Sequence[float]], "float | None"]
"""Makes one number of how often values lay between bounds, of their sum, and of the bounds."""


class Lately:
    """Reads a histogram for what came into it since it was last read.

    :param histogram: is read.
    :param summary: makes one number of it.
    """

    def __init__(self, histogram: Histogram, summary: Summary) -> None:
        self._histogram = histogram
        self._summary = summary
        self._counts = histogram.counts
        self._sum = histogram.sum

    def __call__(self) -> float:
        """Give the number.

        :raises ValueError: nothing has come.
        """
        counts, total = self._histogram.counts, self._histogram.sum
        new = [after - before for after, before in zip(counts, self._counts, strict=True)]
        value = self._summary(new, total - self._sum, self._histogram.bounds)
        self._counts, self._sum = counts, total
        if value is None:
            raise ValueError("there is nothing new")
        return value


def mean(counts: Sequence[int], total: float, _bounds: Sequence[float]) -> float | None:
    """Give the mean of the values; None when there are none."""
    number = sum(counts)
    return total / number if number else None


def quantile(counts: Sequence[int], bounds: Sequence[float], share: float) -> float | None:
    """Give what a share of the values lie below, as exactly as the bounds let one know.

    Between two bounds the values count as evenly spread; beyond the last, as lying on it.

    :param counts: how many lie between each bound and the one before it; last, beyond them all.
    :param share: above 0, up to 1.
    """
    upto = list(accumulate(counts))
    if not upto[-1]:
        return None
    wanted = share * upto[-1]
    place = bisect_left(upto, wanted)
    if place == len(bounds):
        return bounds[-1]
    below = bounds[place - 1] if place else 0.0
    inside = wanted - (upto[place] - counts[place])
    return below + (bounds[place] - below) * inside / counts[place]
