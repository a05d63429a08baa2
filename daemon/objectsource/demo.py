"""``python -m daemon.objectsource.demo``: the daemon and the object source side by side.

Both are processes of their own, on their usual ports if these are free. What has arrived in the
daemon is printed every few seconds, until Ctrl-C; nothing stays behind.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urljoin
from urllib.request import ProxyHandler, build_opener

CALLBACK_PORT: Final = 9090
OBJECTS_PORT: Final = 9010
LOOPBACK: Final = "127.0.0.1"
STOP: Final = frozenset({signal.SIGINT, signal.SIGTERM})
STOP_S: Final = 10.0
"""How long the processes may take to stop; then they are killed."""

_ASK_S: Final = 2.0
_open = build_opener(ProxyHandler({})).open  # what is on loopback is behind no proxy


class Ended(Exception):  # noqa: N818  # what happened
    """A process of the demonstration has ended before it should."""


def free_port(usual: int) -> int:
    """Give the usual port, or if it is taken any that is free."""
    for port in (usual, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no port is free on {LOOPBACK}")


def online(url: str) -> list[int]:
    """Read all objects that the daemon holds, page by page.

    :param url: the daemon's, with a slash at its end.
    :raises OSError: it cannot be reached.
    """
    ids: list[int] = []
    page: str | None = "objects"
    while page is not None:
        with _open(urljoin(url, page), timeout=_ASK_S) as reply:
            read = json.load(reply)
        ids += [entry["id"] for entry in read["objects"]]
        page = read["next"]
    return ids


def described(ids: Sequence[int]) -> str:
    """Say in one line which objects are online."""
    return f"{len(ids)} objects online{':' if ids else ''} {' '.join(map(str, ids))}".rstrip()


@contextmanager
def running(*words: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run twistd in a folder; when the block ends, stop it and wait until it is gone."""
    twistd = Path(sys.executable).with_name("twistd")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TSDAEMON_") and name != "STATE_DIRECTORY"
    }
    process = subprocess.Popen(  # noqa: S603  # our own program
        [twistd, "-n", "--pidfile=", *words], cwd=folder, env=environment
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def demonstrate(every_s: float, source_flags: Sequence[str]) -> None:
    """Run both sides and print what arrives, until a signal of :data:`STOP` comes.

    The signals must be held; then nothing that is begun here can be left half-done by one.

    :param every_s: how often to print, in seconds.
    :param source_flags: of ``twistd tsobjectsource``.
    :raises Ended: one of them has ended by itself.
    """
    callback, objects = free_port(CALLBACK_PORT), free_port(OBJECTS_PORT)
    url = f"http://{LOOPBACK}:{callback}/"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tsdaemon-demo-")))
        source = running(
            *("tsobjectsource", "--listen", f"tcp:{objects}:interface={LOOPBACK}"),
            *("--callback", f"{url}callback", *source_flags),
            folder=folder,
        )
        daemon = running(
            *("tsdaemon", "--only", "callback", "--state", str(folder / "state")),
            *("--set", f"callback.listen=tcp:{callback}:interface={LOOPBACK}"),
            *("--set", f"callback.source=http://{LOOPBACK}:{objects}"),
            folder=folder,
        )
        processes = [stack.enter_context(source), stack.enter_context(daemon)]
        _say(f"The daemon is at {url}, the objects are at http://{LOOPBACK}:{objects}/objects/<id>")
        while signal.sigtimedwait(STOP, every_s) is None:
            if any(process.poll() is not None for process in processes):
                raise Ended("one of the two has ended; its log says why")
            try:
                _say(described(online(url)))
            except OSError as error:
                _say(f"the daemon does not answer: {error}")


def main(arguments: Sequence[str]) -> None:
    """Demonstrate; Ctrl-C and SIGTERM end it with exit status 0.

    :param arguments: ``--every SECONDS``, and flags of ``twistd tsobjectsource``.
    """
    parser = argparse.ArgumentParser(
        prog="python -m daemon.objectsource.demo",
        description="Run the callback service and its object source side by side.",
        epilog="All other flags are those of twistd tsobjectsource.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--every", type=float, default=2.0, metavar="SECONDS", help="how often to print"
    )
    known, source_flags = parser.parse_known_args(arguments)
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    try:
        demonstrate(known.every, source_flags)
    except Ended as error:
        sys.exit(f"demo: {error}")


def _say(line: str) -> None:
    sys.stdout.write(f"--- {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
