"""The figures of the callback service as lines and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.callback_accepts import Accepts
from benchmarks.callback_backlog import Worked
from benchmarks.callback_lookups import Delays, Through
from benchmarks.callback_storing import Stored
from benchmarks.http_load import Run
from benchmarks.report import simple_table, spread

LATENCIES = ("accepts/s", "p50 ms", "p99 ms", "longest ms", "daemon's core %")


def latency_cells(runs: Sequence[Run]) -> list[str]:
    """Return the cells under :data:`LATENCIES`."""
    return [
        spread([run.rate for run in runs]),
        spread([run.p50_s * 1e3 for run in runs], ".1f"),
        spread([run.p99_s * 1e3 for run in runs], ".1f"),
        spread([run.max_s * 1e3 for run in runs], ".1f"),
        spread([run.server_share for run in runs]),
    ]


def accepts_line(found: Accepts) -> str:
    """Return one run in words."""
    run = found.run
    return (
        f"{run.rate:,.0f} accepts/s, p50 {run.p50_s * 1e3:.1f} ms, p99 {run.p99_s * 1e3:.1f} ms, "
        f"longest {run.max_s * 1e3:.1f} ms; {found.depth:,} in the inbox then, all of them there; "
        f"cores: daemon {run.server_share:.0f} %, wrk {run.client_share:.0f} %"
    )


def accepts_table(figures: Mapping[str, Sequence[Accepts]]) -> str:
    """Return the accepts of all loads."""
    heads = ["Load", *LATENCIES, "RSS MiB", "in the inbox then", "empty after s"]
    rows = []
    for name, each in figures.items():
        waits = [one.empty_s for one in each if one.empty_s is not None]
        rows.append(
            [
                name,
                *latency_cells([one.run for one in each]),
                spread([one.run.resident_mebibytes for one in each]),
                spread([one.depth for one in each]),
                spread(waits, ".1f") if waits else "-",
            ]
        )
    return simple_table(heads, rows)


def through_table(figures: Mapping[str, Sequence[Through]]) -> str:
    """Return the objects that went through the service."""
    heads = ["Database", "objects/s", "µs CPU an object"]
    return simple_table(
        heads,
        [
            [
                name,
                spread([one.rate for one in each]),
                spread([one.cpu_us for one in each], ".1f"),
            ]
            for name, each in figures.items()
        ],
    )


def delays_table(figures: Mapping[str, Delays]) -> str:
    """Return what real delays leave of the service."""
    heads = ["Load", "callbacks posted", "lookups/s", "in flight", "core %", "inbox depth"]
    return simple_table(
        heads,
        [
            [
                name,
                f"{one.posted:,}",
                f"{one.lookups / one.seconds:.1f}",
                f"{one.in_flight:.0f}",
                f"{one.share:.1f}",
                " ".join(map(str, one.depths)),
            ]
            for name, one in figures.items()
        ],
    )


def backlog_table(figures: Mapping[str, Worked]) -> str:
    """Return how daemons coped with a backlog."""
    heads = ["Backlog", "first 204 s", "without s", *LATENCIES, "left then", "gone after s"]
    heads += ["looked up", "expired", "peak MB"]
    return simple_table(
        heads,
        [
            [
                name,
                f"{one.first_s:.2f}",
                f"{one.bare_s:.2f}",
                *latency_cells([one.run]),
                f"{one.left:,}",
                "-" if one.through_s is None else f"{one.through_s:.1f}",
                f"{one.looked_up:,}",
                f"{one.expired:,}",
                f"{one.peak_bytes / 1e6:.0f}",
            ]
            for name, one in figures.items()
        ],
    )


def stored_table(figures: Mapping[str, Stored]) -> str:
    """Return the rows that went into the databases."""
    heads = ["Database", "rows/s", "µs CPU a row"]
    return simple_table(
        heads,
        [[name, f"{one.rate:,.0f}", f"{one.cpu_us:.2f}"] for name, one in figures.items()],
    )
