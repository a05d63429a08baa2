"""Tell where the time of one request, one callback and one number goes.

Run it from the project's folder: ``python -m benchmarks.profiles --help``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from benchmarks.callback_accepts import LONG_LIFESPAN_SECONDS
from benchmarks.callback_lookups import bodies
from benchmarks.callback_servers import DOWN, IMMEDIATE, source
from benchmarks.hash_jobs import GET, POST, Asker, add_one
from benchmarks.http import choice_argument, positive_argument
from benchmarks.http_load import require_wrk
from benchmarks.http_servers import JOBS, REQUEST_SECONDS, Cores, divided_cores, require
from benchmarks.isolation import store_a_timestamp
from benchmarks.isolation_loads import NumberSenders, by_wrk, callbacks, number_sets
from benchmarks.isolation_probes import Elsewhere, request
from benchmarks.load import PROC, BenchmarkError
from benchmarks.profile_layers import Place, by_function, by_layer, places, weighed
from benchmarks.publishing.record import record_table
from benchmarks.report import heading, machine_facts, simple_table
from benchmarks.whole_daemon import WholeDaemon

SAMPLES_PER_SECOND = 200
LEAD_SECONDS = 1
FUNCTIONS = 8
FUNCTION_HEADS = ("Function", "µs", "%")
SHOWN_US = 0.05
HASH_DELAY_SECONDS = 0.1
MANY_IDS = 200
CALLBACKS_AT_ONCE = 20
NUMBERS = 30_000_000
POLL_SECONDS = 0.02
US = 1_000_000
METHOD = f"""\
Each service is saturated in a daemon of its own, as for the benchmark of isolation, and py-spy
looks {SAMPLES_PER_SECOND} times a second where each of its threads is.  The CPU time of each
thread, which the system counts, is shared out among these places, and divided by what the
service's metrics count.  What a library does counts for its caller, unless it is Twisted or
Klein.  All figures but the first line are microseconds of CPU."""


@dataclass(frozen=True)
class Work:
    """What is looked at.

    :ivar unit: what a saturated service does one after another.
    :ivar metric: counts them.
    :ivar run: puts the load on for so many seconds.
    :ivar source: what kind of source there is for objects.
    :ivar size: how much of what the metric counts is one unit.
    """

    unit: str
    metric: str
    run: Callable[[WholeDaemon, int], float]
    source: str = DOWN
    settings: tuple[str, ...] = ()
    size: int = 1


@dataclass(frozen=True)
class Profile:
    """Where the time of one unit goes.

    :ivar rate: units a second.
    :ivar cpu_us: of all threads, microseconds a unit; ``system_us``: of that, in the kernel.
    :ivar main: the number of the reactor's thread.
    :ivar weights: microseconds a unit, by places.
    """

    rate: float
    cpu_us: float
    system_us: float
    main: int
    weights: dict[Place, float]


def hash_get(daemon: WholeDaemon, seconds: int) -> float:
    """Ask for a job that is ready."""
    add_one(daemon.at("hash"))
    time.sleep(2 * HASH_DELAY_SECONDS)
    return by_wrk(GET)(daemon, seconds)


def timestamp_get(daemon: WholeDaemon, seconds: int) -> float:
    """Ask for a timestamp that is there."""
    store_a_timestamp(daemon)
    return by_wrk(JOBS["timestamp"])(daemon, seconds)


def through(daemon: WholeDaemon, seconds: int) -> float:
    """Send callbacks of new objects, more of them as soon as they are settled."""
    posts = bodies(MANY_IDS)
    view = daemon.at("callback")
    began, count = time.monotonic(), 0
    while (took := time.monotonic() - began) < seconds:
        for body in islice(posts, CALLBACKS_AT_ONCE):
            require(daemon, post(view, body), "a callback was refused")
        count += CALLBACKS_AT_ONCE
        while daemon.metrics()["tsdaemon_callback_inbox_depth"] > CALLBACKS_AT_ONCE:
            time.sleep(POLL_SECONDS)
    return count * MANY_IDS / took


def post(callback: WholeDaemon, body: bytes) -> bool:
    """Post a callback; whether it was taken."""
    asker = Asker(callback)
    reply = asker.ask(request("POST", "/callback", body.decode(), "application/json"))
    asker.close()
    return reply.startswith(b"HTTP/1.1 204 ")


def works(folder: Path) -> dict[str, Work]:
    """Return all there are, by their names."""

    def send_numbers(daemon: WholeDaemon, seconds: int) -> float:
        return NumberSenders(number_sets(folder, NUMBERS)).run(daemon, seconds)

    reads, writes = "timestamp_reads_total", "timestamp_writes_total"
    posts = "callback_accepted_total"
    memory = ("timestamp.durability=memory",)
    short = (f"hash.delay={HASH_DELAY_SECONDS}",)
    long = (f"callback.lifespan={LONG_LIFESPAN_SECONDS}",)
    looked_up = "callback_lookups_total/online"
    return {
        "counter": Work("GET of the counter", "counter_requests_total", by_wrk(JOBS["counter"])),
        "timestamp": Work("GET of the timestamp", reads, timestamp_get),
        "put-memory": Work("PUT in memory", writes, by_wrk(JOBS["put-memory"]), settings=memory),
        "put-disk": Work("PUT on disk", writes, by_wrk(JOBS["put-disk"])),
        "hash-post": Work("POST of a job", "hash_jobs_total", by_wrk(POST)),
        "hash-get": Work("GET of a job", "hash_http_replies_total/2xx", hash_get, settings=short),
        "accept": Work("callback of 10 ids, accepted", posts, callbacks, settings=long),
        "object": Work("object, looked up and stored", looked_up, through, IMMEDIATE, long),
        "numbers": Work("1,000 numbers", "numbers_received_total", send_numbers, size=1000),
    }


def threads_cpu(pid: int) -> dict[int, tuple[float, float]]:
    """Return the user and system CPU microseconds of each thread, by its number."""
    tick_us = US / os.sysconf("SC_CLK_TCK")
    found = {}
    for task in (PROC / str(pid) / "task").iterdir():
        # Of the task: /proc/TID/stat would be that of the whole process.
        fields = (task / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        found[int(task.name)] = (int(fields[11]) * tick_us, int(fields[12]) * tick_us)
    return found


def sampled(pid: int, seconds: int, folder: Path) -> list[str]:
    """Have py-spy look at a process; return its folded stacks."""
    path = folder / "stacks"
    words = ["record", "--format=raw", "--threads", "--nonblocking", f"--output={path}"]
    words += [f"--rate={SAMPLES_PER_SECOND}", f"--duration={seconds}", f"--pid={pid}"]
    ended = subprocess.run([str(py_spy()), *words], check=False, capture_output=True, text=True)
    if ended.returncode or not path.exists():
        raise BenchmarkError(f"py-spy failed:\n{ended.stdout}{ended.stderr}")
    return path.read_text("utf-8").splitlines()


def py_spy() -> Path:
    """Return where the sampler is; raise if it is not installed."""
    beside = Path(sys.executable).parent / "py-spy"
    found = beside if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise BenchmarkError("py-spy is not installed; it is in requirements/bench.txt")
    return Path(found)


def profile(cores: Cores, work: Work, seconds: int, folder: Path) -> Profile:
    """Saturate a service, and look where its daemon is."""
    metric = f"tsdaemon_{work.metric}"
    with (
        source(work.source, folder) as port,
        WholeDaemon(cores, folder, port, work.settings) as daemon,
        ExitStack() as stack,
    ):
        pid = daemon.process.pid
        load = Elsewhere(partial(work.run, daemon, seconds + 3 * LEAD_SECONDS))
        stack.callback(load.stop)
        wait_until_begun(daemon, metric)
        time.sleep(LEAD_SECONDS)
        units, cpu, began = daemon.metrics()[metric], threads_cpu(pid), time.monotonic()
        stacks = sampled(pid, seconds, folder)
        units = (daemon.metrics()[metric] - units) / work.size
        took, used = time.monotonic() - began, threads_cpu(pid)
        load.result()
    spent = {
        thread: tuple(now - then for now, then in zip(each, cpu.get(thread, (0, 0)), strict=True))
        for thread, each in used.items()
    }
    total = {thread: sum(each) / units for thread, each in spent.items()}
    return Profile(
        rate=units / took,
        cpu_us=sum(total.values()),
        system_us=sum(each[1] for each in spent.values()) / units,
        main=pid,
        weights=weighed(places(stacks), total),
    )


def wait_until_begun(daemon: WholeDaemon, metric: str) -> None:
    """Wait until a service has done something."""
    deadline = time.monotonic() + REQUEST_SECONDS
    before = daemon.metrics()[metric]
    while daemon.metrics()[metric] == before:
        require(daemon, time.monotonic() < deadline, f"{metric} stands still")
        time.sleep(POLL_SECONDS)


def layer_rows(figures: dict[str, Profile]) -> list[list[str]]:
    """Return what each layer takes of each unit, the dearest first."""
    columns = {name: by_layer(one.weights, one.main) for name, one in figures.items()}
    shares: dict[str, float] = {}
    for name, column in columns.items():
        for layer, cost in column.items():
            shares[layer] = shares.get(layer, 0.0) + cost / figures[name].cpu_us
    rows = [
        ["each second", *(f"{one.rate:,.0f}" for one in figures.values())],
        ["CPU", *(f"{one.cpu_us:.1f}" for one in figures.values())],
        ["of that, in the kernel", *(f"{one.system_us:.1f}" for one in figures.values())],
    ]
    for layer in sorted(shares, key=lambda layer: -shares[layer]):
        costs = [column.get(layer, 0.0) for column in columns.values()]
        rows.append([layer, *(f"{cost:.1f}" if cost >= SHOWN_US else "" for cost in costs)])
    return rows


def function_rows(one: Profile) -> list[list[str]]:
    """Return the functions that take most of one unit."""
    return [
        [function, f"{cost:.2f}", f"{cost / one.cpu_us * 100:.0f}"]
        for function, cost in islice(by_function(one.weights).items(), FUNCTIONS)
    ]


def publish(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, and note it."""
    print(f"\n{title}:\n\n{simple_table(heads, rows)}", flush=True)
    record_table(title, heads, rows)


def argument_parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    names = tuple(works(Path()))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiles")
    add = parser.add_argument
    add(
        "--only",
        type=choice_argument(names),
        default=list(names),
        metavar="NAMES",
        help=f"some of {','.join(names)} (all)",
    )
    add("--seconds", type=positive_argument, default=8, help="of looking (%(default)s)")
    return parser


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Run and print what the options ask for."""
    cores = divided_cores()
    print(machine_facts())
    print(heading("Where the time goes"))
    print(f"{METHOD}\n", flush=True)
    cores.keep_clients()
    every = works(folder)
    figures = {}
    for name in options.only:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as own:
            figures[name] = profile(cores, every[name], options.seconds, Path(own))
        print(f"- {name}: {every[name].unit}: {figures[name].rate:,.0f}/s", flush=True)
    publish("Microseconds of CPU, by what they go into", ["", *figures], layer_rows(figures))
    for name, one in figures.items():
        publish(f"{name}: {every[name].unit}", FUNCTION_HEADS, function_rows(one))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = argument_parser().parse_args(arguments)
    try:
        require_wrk()
        py_spy()
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            measure(options, Path(folder))
    except BenchmarkError as failure:
        print(f"\nFAILED: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
