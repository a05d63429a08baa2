"""The tables of each section of ``RESULTS.rst``, from the records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from benchmarks.publishing.plan import SOAK
from benchmarks.publishing.published import Results
from benchmarks.publishing.record import TABLE, Record
from benchmarks.publishing.tables import Against, Column, figure, grouped, name_of, table
from benchmarks.report import simple_table
from benchmarks.soak_record import HEADS

Blocks = Iterator[tuple[str, str]]
"""Sub-headings, each with what stands below it; one without text is left out."""

_MARKUP: Final = re.compile(r"([\\*`|]|_(?=\W|$))")
ALL_KEYS: Final = {"server": "Server"}
NUMBERS: Final = (
    Column("numbers/s", "rate"),
    Column("ns CPU a number", "cpu_ns"),
    Column("peak MiB", "peak_mib"),
    Against("tsdaemon / this", "server", "ours", upside_down=True),
)
REQUESTS: Final = (
    Column("requests/s", "rate"),
    Column("p50 ms", "50%", ".2f"),
    Column("p99 ms", "99%", ".2f"),
    Column("µs CPU a request", "cpu_us", ".1f"),
    Column("RSS MiB", "resident_mib"),
    Column("server's core %", "server_share"),
    Against("tsdaemon / this", "server", "ours", upside_down=True),
)
JOB_TITLES: Final = {
    "counter": "Counter: GET",
    "timestamp": "Timestamp: GET",
    "put-memory": "Timestamp: PUT, in memory",
    "put-disk": "Timestamp: PUT, on disk with fsync",
}


def numbers(results: Results) -> Blocks:
    """Yield the number server's tables."""
    runs = results.records("numbers", "throughput")
    for (duplicates, lines, distinct), each in grouped(
        runs, ["duplicates", "lines", "distinct"]
    ).items():
        what = f", {duplicates:g} % of them duplicates" if duplicates else ""
        yield (
            f"{lines:,} random numbers, five clients{what}",
            f"{table(each, ALL_KEYS, NUMBERS)}\n\n{distinct:,} of them are distinct.",
        )
    yield (
        "Small writes",
        table(
            results.records("numbers", "writes"),
            {"size": "Numbers per write", "server": "Server"},
            (
                Column("writes/s", "packets_rate"),
                Column("numbers/s", "rate"),
                Column("ns CPU a number", "cpu_ns"),
                Against("tsdaemon / this", "server", "ours", upside_down=True),
            ),
        ),
    )
    yield (
        "Pauses while numbers arrive",
        table(
            results.records("numbers", "probe"),
            ALL_KEYS,
            (
                Column("probes", "probes"),
                Column("p50 ms", "50%", ".1f"),
                Column("p99 ms", "99%", ".1f"),
                Column("longest ms", "100%", ".1f"),
            ),
        ),
    )
    yield (
        "From terminate to the end of the process",
        table(results.records("numbers", "terminate"), ALL_KEYS, (Column("ms", "ms", ".1f"),)),
    )


def http(results: Results) -> Blocks:
    """Yield the HTTP services' tables."""
    runs = results.records("http", "run")
    for job, title in JOB_TITLES.items():
        found = [
            each
            for each in runs
            if each["job"] == job and (each["connections"], each["heads"]) == (50, "same")
        ]
        yield f"{title}, 50 connections", table(found, ALL_KEYS, REQUESTS)
    ways = (
        Column("requests/s", "rate"),
        Column("p99 ms", "99%", ".2f"),
        Against("tsdaemon / this", "server", "ours", upside_down=True),
    )
    crowds = [each for each in runs if each["job"] == "counter" and each["heads"] == "same"]
    crowds.sort(key=lambda each: int(each["connections"]))
    yield (
        "Other numbers of connections: counter",
        table(crowds, {"connections": "Connections", "server": "Server"}, ways),
    )
    yield (
        "A new head in each request: counter, 50 connections",
        table([each for each in runs if each["heads"] != "same"], ALL_KEYS, ways),
    )
    yield (
        "Idle connections beside 50 busy ones",
        table(
            results.records("http", "idle"),
            {"connections": "Idle connections", "server": "Server"},
            (
                Column("bytes each", "bytes_each"),
                Column("requests/s with them", "rate_with"),
                Column("without", "rate_without"),
                Column("with / without", "kept", ".3f"),
            ),
        ),
    )
    yield (
        "A byte of a header a second",
        table(
            results.records("http", "slow"),
            {"clients": "Slow clients", "server": "Server"},
            (
                Column("busy ones keep", "kept", ".2f"),
                Column("first closed after s", "first_closed_s", ".1f"),
                Column("last closed after s", "last_closed_s", ".1f"),
                Column("never closed", "left_open"),
            ),
        ),
    )
    yield "Requests in the counter's window", _window(results)


def _window(results: Results) -> str:
    phases = sorted(results.records("http", "window"), key=lambda each: int(each["held"]))
    states = sorted(results.records("http", "window state"), key=lambda each: int(each["held"]))
    starts = sorted(results.records("http", "window start"), key=lambda each: int(each["held"]))
    keys = {"held": "In the window", "phase": "Phase"}
    columns = (
        Column("requests", "requests"),
        Column("p50 ms", "50%", ".3f"),
        Column("p99 ms", "99%", ".3f"),
        Column("longest ms", "100%", ".2f"),
        Column("over 5 ms", "over_5_ms"),
    )
    held = {"held": "In the window"}
    state = (
        Column("bytes each in files", "bytes_each", ".2f"),
        Column("first request after silence, ms", "after_silence_ms", ".2f"),
    )
    longer = (Column("a start with it takes longer by ms", "longer_ms"),)
    found = (table(phases, keys, columns), table(states, held, state), table(starts, held, longer))
    return "\n\n".join(filter(None, found))


def hashes(results: Results) -> Blocks:
    """Yield the hash service's tables."""
    for (job, connections), each in grouped(
        results.records("hash", "run"), ["job", "connections"]
    ).items():
        yield f"Hash: {job}, {connections} connections", table(each, ALL_KEYS, REQUESTS)
    yield (
        "A burst of jobs, all of them pending",
        table(
            results.records("hash", "burst"),
            {"jobs": "Jobs"},
            (
                Column("seconds", "seconds", ".1f"),
                Column("resident bytes a job", "bytes_each", ".1f"),
                Column("GETs meanwhile", "asked"),
                Column("p50 ms", "50%", ".2f"),
                Column("p99 ms", "99%", ".2f"),
                Column("longest ms", "100%", ".2f"),
            ),
        ),
    )
    yield (
        "How late a hash is",
        table(
            results.records("hash", "late"),
            {"how": "How"},
            (
                Column("jobs", "jobs"),
                Column("p50 ms", "50%", ".2f"),
                Column("p99 ms", "99%", ".2f"),
                Column("latest ms", "100%", ".2f"),
            ),
        ),
    )


ACCEPTS: Final = (
    Column("accepts/s", "rate"),
    Column("p50 ms", "50%", ".1f"),
    Column("p99 ms", "99%", ".1f"),
    Column("longest ms", "100%", ".1f"),
    Column("RSS MiB", "resident_mib"),
    Column("daemon's core %", "server_share"),
)


def callback(results: Results) -> Blocks:
    """Yield the callback service's tables."""
    yield (
        "Durable accepts, 50 connections",
        table(
            results.records("callback", "accepts"),
            {"ids": "Ids", "id_range": "of", "source": "Source"},
            ACCEPTS,
        ),
    )
    each = (Column("objects/s", "rate"), Column("µs CPU an object", "cpu_us", ".1f"))
    databases = {"database": "Database"}
    yield (
        "Objects through the whole service",
        table(results.records("callback", "through"), databases, each),
    )
    yield (
        "A source that takes 0.3 to 4.3 s, callbacks of 200 ids",
        table(
            results.records("callback", "delays"),
            {"callbacks_rate": "Callbacks/s"},
            (
                Column("lookups/s", "lookups_rate", ".1f"),
                Column("in flight", "in_flight"),
                Column("daemon's core %", "share", ".1f"),
                Column("in the inbox at last", "last_depth"),
            ),
        ),
    )
    yield (
        "A start on a backlog, callbacks of 10 ids",
        table(
            results.records("callback", "backlog"),
            {"callbacks": "Backlog", "over": "expired"},
            (
                Column("first 204 s", "first_s", ".2f"),
                Column("of an empty one", "bare_s", ".2f"),
                Column("accepts/s meanwhile", "rate"),
                Column("p99 ms", "99%", ".1f"),
                Column("gone after s", "gone_s", ".1f"),
                Column("peak MiB", "peak_mib"),
            ),
        ),
    )
    rows = (Column("rows/s", "rate"), Column("µs CPU a row", "cpu_us", ".2f"))
    yield "Storing objects", table(results.records("callback", "stored"), databases, rows)
    yield from printed(results, "callback")


def lookups(results: Results) -> Blocks:
    """Yield the tables of the client that looks objects up."""
    runs = sorted(results.records("lookups", "run"), key=lambda each: int(each["in_flight"]))
    for (in_flight,), each in reversed(grouped(runs, ["in_flight"]).items()):
        found = [item | {"client": _client(item)} for item in each]
        yield (
            f"{in_flight} in flight",
            table(
                found,
                {"client": "Client"},
                (
                    Column("lookups/s", "rate"),
                    Column("µs CPU a lookup", "cpu_us", ".1f"),
                    Column("source's core %", "source_share"),
                    Against("ours / this", "client", "pool", upside_down=True),
                ),
            ),
        )


def _client(record: Record) -> Any:
    return "go1" if record["client"] == "go" else record["client"]


def isolation(results: Results) -> Blocks:
    """Yield how long each service took, beside each that was saturated."""
    found = results.records("isolation", "delays")
    yield "99th percentiles, ms", _matrix(found, "99%")
    yield "Longest, ms", _matrix(found, "100%")


def _matrix(found: list[Record], field: str) -> str:
    if not found:
        return ""
    probes = list(dict.fromkeys(str(each["probe"]) for each in found))
    rows = []
    for (saturated, rate, others), each in grouped(found, ["saturated", "rate", "others"]).items():
        cells = {str(one["probe"]): figure(one, field) for one in each}
        shown = [cells.get(probe) for probe in probes]
        rows.append(
            [
                name_of(saturated),
                f"{rate:,.0f}",
                f"{others * 100:.0f}",
                *("" if value is None else f"{value:.1f}" for value in shown),
            ]
        )
    return simple_table(["Saturated", "takes/s", "others %", *probes], rows)


def idle(results: Results) -> Blocks:
    """Yield what processes take at rest."""
    columns = (Column("resident MB", "resident_mb", ".1f"), Column("core %", "core_percent", ".2f"))
    yield "Memory and CPU time", table(results.records("idle", "idle"), ALL_KEYS, columns)


def soak(results: Results) -> Blocks:
    """Yield the last soak."""
    for found in results.records(SOAK, "soak"):
        rows = [each["cells"] for each in results.records(SOAK, "sample")]
        verdict = "; ".join(found["failures"]) or "every promise was kept"
        text = [simple_table(HEADS, rows) if rows else "", found["rounds"]]
        text.append(f"Result of {found['seconds']:,} s: {verdict}.")
        yield "The daemon over the time", "\n\n".join(filter(None, text))


def profiles(results: Results) -> Blocks:
    """Yield the tables that ``benchmarks.profiles`` leaves."""
    yield from printed(results, "profiles")


def printed(results: Results, section: str) -> Blocks:
    """Yield the tables that benchmarks have made themselves."""
    for each in results.records(section, TABLE):
        lines = [[_plain(cell) for cell in line] for line in (each["heads"], *each["rows"])]
        yield each["title"], simple_table(lines[0], lines[1:])


def _plain(cell: str) -> str:
    """Return a cell that means itself, be it a function's name, or nothing at all."""
    return _MARKUP.sub(r"\\\1", cell) or "\\"


BLOCKS: Final[Mapping[str, Callable[[Results], Blocks]]] = {
    "numbers": numbers,
    "http": http,
    "hash": hashes,
    "callback": callback,
    "lookups": lookups,
    "isolation": isolation,
    "idle": idle,
    "profiles": profiles,
    SOAK: soak,
}
