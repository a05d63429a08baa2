"""The figures of number servers as records."""

from __future__ import annotations

from benchmarks.clients import uniform_in_time
from benchmarks.publishing.record import curve_ms, record
from benchmarks.scenarios import Figures


def record_throughput(figures: Figures, duplicates: float, distinct: int) -> None:
    """Note each run of whole files."""
    for server, runs in figures.items():
        for run in runs:
            record(
                "throughput",
                server=server,
                duplicates=duplicates,
                lines=run.lines,
                distinct=distinct,
                rate=run.numbers_per_second,
                cpu_ns=run.cpu_nanoseconds,
                peak_mib=run.peak_mebibytes,
            )


def record_probe(figures: Figures) -> None:
    """Note how long a client too many waited, all rounds together."""
    for server, runs in figures.items():
        delays = [delay for run in runs for delay in run.delays]
        curve = curve_ms(uniform_in_time(delays))
        record("probe", server=server, probes=len(delays), curve_ms=curve)


def record_small_writes(by_size: dict[int, Figures]) -> None:
    """Note each run of packets."""
    for size, figures in by_size.items():
        for server, runs in figures.items():
            for run in runs:
                record(
                    "writes",
                    server=server,
                    size=size,
                    rate=run.numbers_per_second,
                    packets_rate=run.packets_per_second,
                    cpu_ns=run.cpu_nanoseconds,
                )


def record_termination(figures: Figures) -> None:
    """Note each end of a process."""
    for server, runs in figures.items():
        for run in runs:
            record("terminate", server=server, ms=run.seconds * 1e3)
