"""Measure the callback service: accepts, lookups, real delays, a backlog, its databases.

Run it from the project's folder: ``python -m benchmarks.callback --help``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from benchmarks.callback_accepts import Accepts, Posts, accepts
from benchmarks.callback_backlog import Backlog, Worked, worked
from benchmarks.callback_lookups import Delays, Through, delayed, through
from benchmarks.callback_servers import DOWN, IMMEDIATE
from benchmarks.callback_storing import Stored, stored
from benchmarks.callback_tables import (
    accepts_line,
    accepts_table,
    backlog_table,
    delays_table,
    stored_table,
    through_table,
)
from benchmarks.http import choice_argument, numbers_argument, positive_argument
from benchmarks.http_load import record_run, require_wrk
from benchmarks.http_servers import Cores, divided_cores
from benchmarks.load import BenchmarkError
from benchmarks.publishing.record import record
from benchmarks.report import heading, machine_facts
from tests.postgres import running_server

CONNECTIONS = 50
MANY_IDS = 200
BACKLOG_IDS = 10
ROW_IDS = 1_000_000
DELAY_RATES = (0.5, 2.0)
"""Callbacks per second: a little less than 256 lookups at a time can do, and far more."""

SQLITE, POSTGRES = "SQLite", "PostgreSQL"

METHOD = """\
The daemon has the first core, everything else the others.  wrk posts over keep-alive
connections, each waiting for its 204 before it posts again.  Afterwards each callback that was
answered must be in the inbox's file, or settled without having expired; each object that was
looked up must be in the database.  fsync is on, in PostgreSQL too."""


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.callback")
    add = parser.add_argument
    add(
        "--only",
        type=choice_argument(tuple(PARTS)),
        default=list(PARTS),
        metavar="NAMES",
        help=f"some of {','.join(PARTS)} (all)",
    )
    add("--repeat", type=positive_argument, default=3, help="rounds (%(default)s)")
    add("--seconds", type=positive_argument, default=5, help="of each load (%(default)s)")
    add("--ids", type=numbers_argument, default=[10, 200], help="of a callback (10,200)")
    add(
        "--ranges",
        type=numbers_argument,
        default=[100, 1_000_000],
        metavar="NUMBERS",
        help="ids are random ones below these (100,1000000)",
    )
    add("--sources", type=choice_argument((IMMEDIATE, DOWN)), default=[DOWN, IMMEDIATE])
    add(
        "--empty-seconds",
        type=positive_argument,
        default=15,
        help="that the inbox has to be empty after a load (%(default)s)",
    )
    add("--callbacks", type=positive_argument, default=1000, help="of 200 ids (%(default)s)")
    add("--backlog", type=positive_argument, default=1_000_000, help="callbacks (%(default)s)")
    add("--delay-seconds", type=positive_argument, default=20, help="(%(default)s)")
    return parser


@contextmanager
def fresh_folder() -> Iterator[Path]:
    """Give a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        yield Path(folder)


@contextmanager
def databases() -> Iterator[dict[str, Callable[[], str | None]]]:
    """Give what makes an empty database: its address; None for SQLite's file."""
    kinds: dict[str, Callable[[], str | None]] = {SQLITE: lambda: None}
    with running_server({}) as server:
        if isinstance(server, str):
            print(f"\n{server}")
        else:
            kinds[POSTGRES] = lambda: server.fresh_database().dsn()
        yield kinds


def measure_accepts(options: argparse.Namespace, cores: Cores) -> None:
    """Run and print durable accepts."""
    print(heading(f"Durable accepts, {CONNECTIONS} connections"))
    figures: dict[str, list[Accepts]] = {}
    for turn in range(1, options.repeat + 1):
        for kind in options.sources:
            for ids in options.ids:
                for id_range in options.ranges:
                    name = f"{ids} ids of {id_range:,}, source {kind}"
                    posts = Posts(CONNECTIONS, options.seconds, ids, id_range)
                    with fresh_folder() as folder:
                        found = accepts(cores, folder, kind, posts, options.empty_seconds)
                    figures.setdefault(name, []).append(found)
                    print(f"- round {turn}, {name}: {accepts_line(found)}", flush=True)
                    how = {"ids": ids, "id_range": id_range, "source": kind}
                    record_run("accepts", found.run, **how, depth=found.depth)
    print(f"\n{accepts_table(figures)}")


def measure_through(options: argparse.Namespace, cores: Cores) -> None:
    """Run and print objects through the whole service."""
    print(heading(f"{options.callbacks:,} callbacks of {MANY_IDS} different ids, source immediate"))
    figures: dict[str, list[Through]] = {}
    with databases() as kinds:
        for _ in range(options.repeat):
            for name, fresh in kinds.items():
                with fresh_folder() as folder:
                    found = through(cores, folder, fresh(), options.callbacks, MANY_IDS)
                figures.setdefault(name, []).append(found)
                record("through", database=name, rate=found.rate, cpu_us=found.cpu_us)
    print(through_table(figures))


def measure_delays(options: argparse.Namespace, cores: Cores) -> None:
    """Run and print the source's real delays."""
    print(heading(f"Callbacks of {MANY_IDS} different ids, answers after 0.3 to 4.3 s"))
    figures: dict[str, Delays] = {}
    for rate in DELAY_RATES:
        with fresh_folder() as folder:
            found = delayed(cores, folder, MANY_IDS, rate, options.delay_seconds)
        figures[f"{rate:g} callbacks/s"] = found
        record(
            "delays",
            callbacks_rate=rate,
            lookups_rate=found.lookups / found.seconds,
            in_flight=found.in_flight,
            share=found.share,
            last_depth=found.depths[-1],
        )
    print(delays_table(figures))


def measure_backlog(options: argparse.Namespace, cores: Cores) -> None:
    """Run and print starts on a backlog."""
    print(heading(f"A backlog of {options.backlog:,} callbacks of {BACKLOG_IDS} ids"))
    figures: dict[str, Worked] = {}
    for id_range in options.ranges:
        for over in (False, True):
            backlog = Backlog(options.backlog, BACKLOG_IDS, id_range, over)
            posts = Posts(CONNECTIONS, options.seconds, BACKLOG_IDS, id_range)
            name = f"ids of {id_range:,}, {'over' if over else 'to be looked up'}"
            # A million different objects take minutes.
            until_empty = over or id_range == min(options.ranges)
            with fresh_folder() as folder:
                found = worked(cores, folder, backlog, posts, until_empty=until_empty)
            figures[name] = found
            record_run(
                "backlog",
                found.run,
                callbacks=options.backlog,
                id_range=id_range,
                over=over,
                first_s=found.first_s,
                bare_s=found.bare_s,
                gone_s=found.through_s,
                peak_mib=found.peak_bytes / 1024**2,
            )
    print(backlog_table(figures))


def measure_storing(options: argparse.Namespace, cores: Cores) -> None:  # noqa: ARG001  # as the others
    """Run and print rows into the databases."""
    print(heading("Rows in batches of 5,000"))
    figures: dict[str, Stored] = {}

    async def all_of_them(reactor: Any) -> None:
        with databases() as kinds, fresh_folder() as folder:
            for name, fresh in kinds.items():
                figures[name] = await stored(
                    reactor, folder, fresh() or "sqlite:", ROW_IDS, options.seconds
                )

    try:
        react(lambda reactor: Deferred.fromCoroutine(all_of_them(reactor)))
    except SystemExit as ended:
        if ended.code:
            raise
    print(stored_table(figures))
    for name, found in figures.items():
        record("stored", database=name, rate=found.rate, cpu_us=found.cpu_us)


PARTS = {
    "accepts": measure_accepts,
    "through": measure_through,
    "delays": measure_delays,
    "backlog": measure_backlog,
    "storing": measure_storing,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = argument_parser().parse_args(arguments)
    cores = divided_cores()
    print(machine_facts())
    print(f"\n{METHOD}")
    cores.keep_clients()
    try:
        require_wrk()
        # The reactor can run once: what needs it comes last.
        for name in sorted(options.only, key=list(PARTS).index):
            PARTS[name](options, cores)
    except BenchmarkError as failure:
        print(f"\nFAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
