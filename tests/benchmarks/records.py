"""Results of benchmarks, made up for tests."""

from __future__ import annotations

from typing import Any

from benchmarks.idle import WHOLE
from benchmarks.publishing.published import Results, Taken
from benchmarks.publishing.record import Record

FACTS = {"cores": "2", "processor": "a test's", "tsdaemon": "0.1.0", "CPython": "3.11"}
EARLIER, LATER = "2026-11-25T10:00:00Z", "2026-11-26T10:00:00Z"


def taken(*records: Record, at: str = LATER, **facts: str) -> Taken:
    """Return a step's result."""
    return Taken("python -m benchmarks.some --flag", at, 2.5, FACTS | facts, list(records))


def curve(p50: float, p99: float, longest: float) -> dict[str, float]:
    """Return percentiles, milliseconds."""
    return {"50": p50, "90": (p50 + p99) / 2, "99": p99, "99.9": longest, "100": longest}


def requests(
    server: str,
    rate: float,
    *,
    job: str = "counter",
    connections: int = 50,
    heads: str = "same",
) -> Record:
    """Return a run of an HTTP server."""
    return {
        "kind": "run",
        "server": server,
        "job": job,
        "connections": connections,
        "heads": heads,
        "rate": rate,
        "curve_ms": curve(1.0, 2.0, 3.0),
        "cpu_us": 13.0,
        "resident_mib": 50.0,
        "server_share": 99.0,
        "client_share": 60.0,
    }


def throughput(server: str, rate: float) -> Record:
    """Return a run of a number server."""
    common = {"kind": "throughput", "duplicates": 0.0, "lines": 20_000_000, "distinct": 19_801_480}
    return common | {"server": server, "rate": rate, "cpu_ns": 40.0, "peak_mib": 190.0}


def delays(saturated: str, probe: str, p99_ms: float, bound_ms: float = 50.0) -> Record:
    """Return what one service took beside one that was saturated."""
    return {
        "kind": "delays",
        "saturated": saturated,
        "rate": 1000.0,
        "others": 0.1,
        "probe": probe,
        "probes": 500,
        "bound_ms": bound_ms,
        "within": p99_ms < bound_ms,
        "curve_ms": curve(1.0, p99_ms, p99_ms + 1),
    }


def accepts(source: str, rate: float, p99_ms: float, id_range: int = 100) -> Record:
    """Return a run of callbacks."""
    run: dict[str, Any] = requests("ours", rate)
    how = {"kind": "accepts", "ids": 10, "id_range": id_range, "source": source, "depth": 5}
    return run | how | {"curve_ms": curve(1.0, p99_ms, p99_ms)}


def good_results() -> Results:
    """Return results that reach all that must be reached."""
    results = Results()
    numbers = [
        throughput(server, rate)
        for server, rate in (("ours", 30e6), ("reference", 1.5e6), ("java", 8e6))
    ]
    writes = [
        {"kind": "writes", "server": server, "size": size, "rate": rate * size, "cpu_ns": 50.0}
        | {"packets_rate": rate}
        for server, rate in (("ours", 6e5), ("reference", 1e5))
        for size in (1, 10, 100)
    ]
    results.take("numbers/throughput", taken(*numbers))
    results.take("numbers/writes", taken(*writes))
    http = [
        requests(server, rate, job=job, connections=connections)
        for job in ("counter", "timestamp")
        for connections in (1, 50)
        for server, rate in (("ours", 60e3), ("klein", 6e3), ("go1", 50e3))
    ]
    results.take("http/fifty", taken(*http))
    hashes = [
        requests(server, rate, job="POST /hash") for server, rate in (("ours", 5e4), ("go1", 5e4))
    ]
    results.take("hash/throughput", taken(*hashes))
    posts = [accepts(source, 12e3, 20.0) for source in ("down", "immediate")]
    results.take("callback/accepts", taken(*posts))
    lookup = {"kind": "run", "client": "pool", "in_flight": 250, "rate": 48e3, "cpu_us": 20.0}
    results.take("lookups/many", taken(lookup | {"source_share": 50.0}))
    felt = [
        delays("nothing", "hash POST", 1.0),
        delays("numbers", "hash POST", 9.0),
        delays("counter", "number to log", 38.5, 100.0),
    ]
    results.take("isolation/isolation", taken(*felt))
    rest = {"kind": "idle", "server": WHOLE, "resident_mb": 79.3, "core_percent": 0.05}
    results.take("idle/idle", taken(rest))
    return results
