"""How fast callbacks are accepted, durably, and that all of them are there afterwards."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.callback_servers import DOWN, running
from benchmarks.http_load import (
    FAILURES,
    TIMEOUT_SECONDS,
    Run,
    children_cpu_seconds,
    found_by_wrk,
    script_lines,
)
from benchmarks.http_servers import HOST, Cores, require, resident_bytes
from benchmarks.load import ServerProcess

SCRIPT = Path(__file__).resolve().parent / "callback_posts.lua"
LONG_LIFESPAN_SECONDS = 36_000
EMPTY_SECONDS = 600.0


@dataclass(frozen=True)
class Posts:
    """What wrk posts.

    :ivar ids: of each callback, random ones from 0 to ``id_range`` - 1.
    """

    connections: int
    seconds: int
    ids: int
    id_range: int


@dataclass(frozen=True)
class Accepts:
    """The figures of one run.

    :ivar depth: callbacks in the inbox at the end of the load.
    :ivar empty_s: seconds until it was empty; None where it was not, in the time it had.
    :ivar looked_up: lookups that ended with an answer, until the inbox was empty.
    """

    run: Run
    depth: int
    empty_s: float | None
    looked_up: int


def run_wrk(daemon: ServerProcess, posts: Posts) -> Run:
    """Post callbacks as fast as they are accepted; raise if any of them was refused."""
    url = f"http://{HOST}:{daemon.port}/callback"
    options = [f"-c{posts.connections}", f"-d{posts.seconds}s", f"--timeout={TIMEOUT_SECONDS}s"]
    command = ["wrk", "-t1", *options, "-s", str(SCRIPT), url, "--"]
    command += [str(posts.ids), str(posts.id_range)]
    cpu_before, client_before = daemon.cpu_seconds(), children_cpu_seconds()
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    cpu_s = daemon.cpu_seconds() - cpu_before
    client_cpu_s = children_cpu_seconds() - client_before
    daemon.require_alive()
    if ended.returncode:
        raise daemon.failure(f"wrk failed: {ended.stdout}{ended.stderr}")
    found = script_lines(ended.stdout)
    failed = {name: found[name] for name in FAILURES if found[name]}
    require(daemon, not failed and found["requests"] > 0, f"requests failed: {failed}")
    return found_by_wrk(found, cpu_s, client_cpu_s, resident_bytes(daemon))


def accepts(cores: Cores, folder: Path, kind: str, posts: Posts, empty_seconds: float) -> Accepts:
    """Measure one load on a fresh daemon.

    The lifespan is long, so that nothing expires: each callback that was answered has to be in the
    inbox's file in the end, or worked on to the end.

    :param empty_seconds: how long an inbox of which the source is up is waited for to be empty.
    """
    settings = [f"lifespan={LONG_LIFESPAN_SECONDS}"]
    with running(cores, folder, kind, settings) as daemon:
        run = run_wrk(daemon, posts)
        found = daemon.metrics_at_rest()
        # What wrk had sent when it ended was accepted as well.
        accepted = int(found["accepted_total"])
        at_most = run.requests + posts.connections
        require(
            daemon,
            run.requests <= accepted <= at_most,
            f"{accepted:,} were accepted, not {run.requests:,} to {at_most:,}",
        )
        depth = int(found["inbox_depth"])
        empty_s = None
        if kind == DOWN:
            require(daemon, depth == accepted, f"{depth:,} of {accepted:,} are in the inbox")
        else:
            empty_s = daemon.wait_until_empty(empty_seconds)
        found = daemon.metrics()
        require(daemon, found["expired_callbacks_total"] == 0, "callbacks expired")
        daemon.stop()
        rows = daemon.rows()
        if kind == DOWN or empty_s is not None:
            wanted = accepted if kind == DOWN else 0
            require(daemon, rows == wanted, f"{rows:,} callbacks are on disk, not {wanted:,}")
        else:
            # The rest was settled while it stopped, or between the last look and that.
            left = found["inbox_depth"]
            require(daemon, 0 < rows <= left, f"{rows:,} callbacks are on disk, not {left:,}")
    return Accepts(run, depth, empty_s, int(found["lookups_total/online"]))
