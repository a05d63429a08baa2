"""The figures of HTTP servers as lines and tables."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.http_crowds import IdleRun, SlowRun
from benchmarks.http_load import Run
from benchmarks.http_servers import OURS, TITLES
from benchmarks.http_window import FullWindow, StartUp
from benchmarks.report import ratios, simple_table, spread

PAUSE_LIMIT_SECONDS = 0.005


def run_line(run: Run) -> str:
    """Return one run in words."""
    return (
        f"{run.rate:,.0f} requests/s, p50 {run.p50_s * 1e3:.2f} ms, p99 {run.p99_s * 1e3:.2f} ms, "
        f"{run.cpu_us:.1f} µs CPU per request, {run.resident_mebibytes:,.0f} MiB, "
        f"cores: server {run.server_share:.0f} %, wrk {run.client_share:.0f} %"
    )


def run_table(figures: dict[str, list[Run]]) -> str:
    """Return the medians of all servers, and the ratios of each round."""
    heads = [
        "Server",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "µs CPU/request",
        "RSS MiB",
        "server's core %",
        "wrk's core %",
        "requests/s, tsdaemon / this",
        "CPU, tsdaemon / this",
    ]
    ours = figures.get(OURS, [])
    rows = []
    for name, runs in figures.items():
        rows.append(
            [
                TITLES[name],
                spread([run.rate for run in runs]),
                spread([run.p50_s * 1e3 for run in runs], ".2f"),
                spread([run.p99_s * 1e3 for run in runs], ".2f"),
                spread([run.cpu_us for run in runs], ".1f"),
                spread([run.resident_mebibytes for run in runs]),
                spread([run.server_share for run in runs]),
                spread([run.client_share for run in runs]),
                *ratio_cells(ours, runs),
            ]
        )
    return simple_table(heads, rows)


def ratio_cells(ours: Sequence[Run], theirs: Sequence[Run]) -> list[str]:
    """Return the ratios of speed and of CPU time per request; empty without ours."""
    if not ours:
        return ["", ""]
    speeds = ratios([run.rate for run in ours], [run.rate for run in theirs])
    # Few requests in a short run may cost less than a clock tick.
    costs = [
        mine.cpu_us / other.cpu_us for mine, other in zip(ours, theirs, strict=True) if other.cpu_us
    ]
    return [spread(speeds, ".2f"), spread(costs, ".2f") if costs else "-"]


def idle_line(run: IdleRun) -> str:
    """Return one run in words."""
    return f"{run.bytes_each:,.0f} bytes a connection, requests/s with / without {run.kept:.3f}"


def idle_table(figures: dict[str, list[IdleRun]]) -> str:
    """Return the medians of all servers."""
    heads = ["Server", "bytes/connection", "requests/s with", "without", "with / without"]
    rows = []
    for name, outcomes in figures.items():
        rows.append(
            [
                TITLES[name],
                spread([outcome.bytes_each for outcome in outcomes]),
                spread([run.rate for outcome in outcomes for run in outcome.crowded]),
                spread([run.rate for outcome in outcomes for run in outcome.alone]),
                spread([outcome.kept for outcome in outcomes], ".3f"),
            ]
        )
    return simple_table(heads, rows)


def slow_line(run: SlowRun) -> str:
    """Return one run in words."""
    return f"requests/s with / without {run.kept:.3f}; {fate(run)}"


def fate(run: SlowRun) -> str:
    """Return what became of the slow clients, in words."""
    if not run.open_seconds:
        return f"{run.left_open:,} never closed"
    statuses = ", ".join(
        f"{number:,} with {status or 'no reply'}" for status, number in sorted(run.statuses.items())
    )
    return (
        f"closed after {spread(run.open_seconds, '.2f')} s: {statuses}; {run.left_open:,} left open"
    )


def slow_table(figures: dict[str, list[SlowRun]]) -> str:
    """Return the medians of all servers."""
    heads = [
        "Server",
        "requests/s with",
        "without",
        "with / without",
        "closed after s",
        "left open",
    ]
    rows = []
    for name, outcomes in figures.items():
        seconds = [value for outcome in outcomes for value in outcome.open_seconds]
        rows.append(
            [
                TITLES[name],
                spread([outcome.crowded.rate for outcome in outcomes]),
                spread([outcome.alone.rate for outcome in outcomes]),
                spread([outcome.kept for outcome in outcomes], ".3f"),
                spread(seconds, ".2f") if seconds else "-",
                spread([outcome.left_open for outcome in outcomes]),
            ]
        )
    return simple_table(heads, rows)


def window_table(found: FullWindow) -> str:
    """Return the latencies of the phases."""
    heads = ["Phase", "requests", "p99 ms", "longest ms", "next ms", "over 5 ms"]
    rows = [
        [
            phase,
            f"{len(latencies.seconds):,}",
            f"{latencies.p99_s * 1e3:.2f}",
            f"{latencies.slowest_s * 1e3:.2f}",
            ", ".join(f"{value * 1e3:.2f}" for value in latencies.seconds[-2:-5:-1]),
            f"{latencies.over(PAUSE_LIMIT_SECONDS):,}",
        ]
        for phase, latencies in found.phases.items()
    ]
    rows.append(["after silence", "1", "", f"{found.after_silence_s * 1e3:.2f}", "", ""])
    return simple_table(heads, rows)


def start_up_table(figures: dict[str, list[StartUp]]) -> str:
    """Return the medians of starts on different states."""
    heads = ["State", "counted", "seconds until the first reply", "CPU s"]
    rows = [
        [
            name,
            spread([start.counted for start in starts]),
            spread([start.seconds for start in starts], ".3f"),
            spread([start.cpu_s for start in starts], ".2f"),
        ]
        for name, starts in figures.items()
    ]
    return simple_table(heads, rows)
