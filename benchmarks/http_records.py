"""The figures of HTTP servers under crowds and of full windows as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.http_crowds import IdleRun, SlowRun, mean_rate
from benchmarks.http_window import FullWindow, StartUp
from benchmarks.publishing.record import curve_ms, record


def record_idle(figures: Mapping[str, Sequence[IdleRun]], connections: int) -> None:
    """Note what idle connections cost."""
    for server, runs in figures.items():
        for run in runs:
            record(
                "idle",
                server=server,
                connections=connections,
                bytes_each=run.bytes_each,
                rate_with=mean_rate(run.crowded),
                rate_without=mean_rate(run.alone),
                kept=run.kept,
            )


def record_slow(figures: Mapping[str, Sequence[SlowRun]], clients: int) -> None:
    """Note what slow clients cost, and how long they were put up with."""
    for server, runs in figures.items():
        for run in runs:
            closed = run.open_seconds
            record(
                "slow",
                server=server,
                clients=clients,
                kept=run.kept,
                left_open=run.left_open,
                first_closed_s=min(closed, default=None),
                last_closed_s=max(closed, default=None),
                statuses=run.statuses,
            )


def record_window(found: FullWindow, full: Sequence[StartUp], empty: Sequence[StartUp]) -> None:
    """Note the phases of a full window, and the starts with it."""
    for phase, latencies in found.phases.items():
        record(
            "window",
            held=found.held,
            phase=phase,
            requests=len(latencies.seconds),
            over_5_ms=latencies.over(0.005),
            curve_ms=curve_ms(latencies.seconds),
        )
    record(
        "window state",
        held=found.held,
        fill_s=found.fill_s,
        bytes_each=found.file_bytes / found.held,
        after_silence_ms=found.after_silence_s * 1e3,
    )
    for with_it, without in zip(full, empty, strict=True):
        record(
            "window start",
            held=found.held,
            full_ms=with_it.seconds * 1e3,
            empty_ms=without.seconds * 1e3,
            longer_ms=(with_it.seconds - without.seconds) * 1e3,
        )
