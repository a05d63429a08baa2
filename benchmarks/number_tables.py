"""The figures of number servers as lines and tables."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.clients import uniform_in_time
from benchmarks.report import percentile, ratios, simple_table, spread
from benchmarks.scenarios import Figures, Run

OURS = "ours"


def throughput_line(run: Run) -> str:
    """Return one run in words."""
    return (
        f"{run.numbers_per_second:,.0f} numbers/s ({run.seconds:.2f} s), "
        f"{run.cpu_seconds:.2f} s CPU, {run.cpu_nanoseconds:,.0f} ns CPU per number, "
        f"{run.peak_mebibytes:,.0f} MiB"
    )


def small_writes_line(run: Run) -> str:
    """Return one run in words."""
    return (
        f"{run.packets_per_second:,.0f} packets/s, "
        f"{run.numbers_per_second:,.0f} numbers/s ({run.seconds:.2f} s), "
        f"{run.cpu_nanoseconds:,.0f} ns CPU per number"
    )


def termination_line(run: Run) -> str:
    """Return one run in words."""
    return f"{run.seconds * 1e3:.1f} ms"


def throughput_table(figures: Figures) -> str:
    """Return the medians of all servers."""
    heads = ["Server", "numbers/s", "seconds", "CPU s", "ns CPU/number", "peak MiB"]
    rows = [
        [
            name,
            spread([run.numbers_per_second for run in runs]),
            spread([run.seconds for run in runs], ".2f"),
            spread([run.cpu_seconds for run in runs], ".2f"),
            spread([run.cpu_nanoseconds for run in runs]),
            spread([run.peak_mebibytes for run in runs]),
        ]
        for name, runs in figures.items()
    ]
    return simple_table(heads, rows)


def ratio_table(figures: Figures) -> str:
    """Return ours / each other server; medians of the ratios of each round."""
    ours = figures[OURS]
    rows = []
    for name, theirs in figures.items():
        if name != OURS:
            rows.append([f"{OURS} / {name}", *ratio_cells(ours, theirs)])
    return simple_table(["Ratio", "numbers/s", "CPU", "peak memory"], rows)


def ratio_cells(ours: Sequence[Run], theirs: Sequence[Run]) -> list[str]:
    """Return the ratios of speed, CPU time per number and memory."""
    pairs = (
        (
            [run.numbers_per_second for run in ours],
            [run.numbers_per_second for run in theirs],
        ),
        (
            [run.cpu_nanoseconds for run in ours],
            [run.cpu_nanoseconds for run in theirs],
        ),
        ([run.peak_mebibytes for run in ours], [run.peak_mebibytes for run in theirs]),
    )
    return [spread(ratios(mine, others), ".2f") for mine, others in pairs]


def probe_table(figures: Figures) -> str:
    """Return how long a client too many waited, milliseconds, all rounds."""
    rows = []
    for name, runs in figures.items():
        measured = sum(len(run.delays) for run in runs)
        ordered = uniform_in_time([delay for run in runs for delay in run.delays])
        times = (percentile(ordered, 50), percentile(ordered, 99), ordered[-1])
        rows.append([name, f"{measured:,}", *(f"{at * 1e3:,.1f}" for at in times)])
    return simple_table(["Server", "probes", "p50 ms", "p99 ms", "max ms"], rows)


def small_writes_table(by_size: dict[int, Figures]) -> str:
    """Return the medians for each packet size and server."""
    heads = [
        "Server",
        "numbers/packet",
        "packets/s",
        "numbers/s",
        "ns CPU/number",
        f"numbers/s, {OURS} / this",
    ]
    rows = []
    for size, figures in by_size.items():
        for name, runs in figures.items():
            speeds = [run.numbers_per_second for run in runs]
            ours = [run.numbers_per_second for run in figures.get(OURS, ())]
            rows.append(
                [
                    name,
                    f"{size:,}",
                    spread([run.packets_per_second for run in runs]),
                    spread(speeds),
                    spread([run.cpu_nanoseconds for run in runs]),
                    spread(ratios(ours, speeds), ".2f") if ours else "",
                ]
            )
    return simple_table(heads, rows)


def termination_table(figures: Figures) -> str:
    """Return the median and longest exit times, milliseconds."""
    rows = []
    for name, runs in figures.items():
        times = [run.seconds * 1e3 for run in runs]
        rows.append([name, f"{len(runs)}", spread(times, ".1f")])
    return simple_table(["Server", "runs", "ms: median (min..max)"], rows)
