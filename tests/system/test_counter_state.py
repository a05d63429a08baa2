"""What the counter keeps over stops, crashes and damage, and what it does when it cannot."""

from __future__ import annotations

import os
import random
import shutil
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.small_disk import fill, small_disk_in
from tests.system.conftest import Starter
from tests.system.counted import Counted
from tests.system.http_clients import Place, WebDaemon, flags, serve, tcp
from tests.system.running import eventually, run_tsdaemon

HEADER_BYTES = 32
"""Of a file of entries: magic, format, room, anchor."""

ENTRY_BYTES = 8

FORMAT_AT = 8


@pytest.fixture
def folder(start: Starter) -> Path:
    """The working folder of daemons that come one after another."""
    return start.folder()


@pytest.fixture
def place(start: Starter) -> Place:
    """Where they listen."""
    return tcp(start.port())


@pytest.fixture
def daemon(start: Starter, folder: Path, place: Place) -> WebDaemon:
    """The first of them."""
    return started(start, folder, place)


def started(
    start: Starter, folder: Path, place: Place | None = None, *, wait: bool = True
) -> WebDaemon:
    """Start a daemon that sees to its files all the time and forgets nothing."""
    return serve(start, "counter", folder=folder, place=place, wait=wait, sync=0.05, window=3_600)


def count(daemon: WebDaemon, times: int = 1) -> int:
    """Ask so many times, and give the last answer."""
    client = daemon.connect()
    replies = [client.ask("GET", "/") for _ in range(times)]
    client.close()
    return int(replies[-1].body)


def files_in(folder: Path) -> dict[Path, bytes]:
    """Give what lies in the counter's folder."""
    paths = (folder / "tsdaemon-state" / "counter").iterdir()
    return {path: path.read_bytes() for path in sorted(paths)}


def file_with_entries(folder: Path) -> Path:
    """Give the one file that holds what was counted."""
    held = [
        path for path, content in files_in(folder).items() if content[HEADER_BYTES:].strip(b"\0")
    ]
    (path,) = held
    return path


# --- stops and crashes


def test_every_restart_goes_on_where_the_last_one_has_ended(
    start: Starter, folder: Path, place: Place
):
    total = 0
    for end in (WebDaemon.kill, WebDaemon.stop, WebDaemon.kill, WebDaemon.kill):
        daemon = started(start, folder, place)
        assert count(daemon) == total + 1
        total = count(daemon, 50)
        end(daemon)
        assert "degraded" not in daemon.stderr
    assert total == 4 * 51


def have_answers(clients: list[Counted], wanted: int) -> bool:
    """Whether clients were answered so often together."""
    return sum(client.answered for client in clients) >= wanted


def test_no_answered_request_is_missing_after_crashes_and_stops_under_load(
    start: Starter, folder: Path, place: Place
):
    total = 0
    lost = 0
    for end in (WebDaemon.kill, WebDaemon.stop, WebDaemon.kill):
        clients = [Counted(place) for _ in range(5)]
        stopped = threading.Event()
        with ThreadPoolExecutor(len(clients)) as pool, ExitStack() as stack:
            stack.callback(stopped.set)
            runs = [pool.submit(client.run, stopped) for client in clients]
            daemon = started(start, folder, place)
            eventually(partial(have_answers, clients, 300))
            end(daemon)
            stopped.set()
            for run in runs:
                run.result()
        total += sum(client.answered for client in clients)
        lost += sum(client.lost for client in clients)
        daemon = started(start, folder, place)
        total += 1
        assert total <= count(daemon) <= total + lost
        daemon.kill()


# --- files that are not as they were left


def cut_off(path: Path) -> None:
    """Leave 60 whole entries and a bit."""
    os.truncate(path, HEADER_BYTES + 60 * ENTRY_BYTES + 3)


def overwrite_an_entry(path: Path) -> None:
    """Leave 70 entries before one that cannot be true."""
    overwrite(path, HEADER_BYTES + 70 * ENTRY_BYTES, struct.pack("=q", 1))


def set_to_the_future(path: Path) -> None:
    """Have the last five requests come in an hour."""
    future_us = int((time.time() + 3_600) * 1e6)
    overwrite(path, HEADER_BYTES + 95 * ENTRY_BYTES, struct.pack("=5q", *[future_us] * 5))


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def empty(path: Path) -> None:
    """Leave nothing in it."""
    os.truncate(path, 0)


def replace_by_something_else(path: Path) -> None:
    """Put something there that is not the counter's."""
    path.write_bytes(random.Random(1).randbytes(9_000))  # noqa: S311


def spoil_the_header(path: Path) -> None:
    """Have it claim no room at all."""
    overwrite(path, FORMAT_AT + 8, struct.pack("=q", -1))


def lay_something_beside(path: Path) -> None:
    """Put files there that the counter has not made."""
    path.with_name("99999999.column").write_text("not ours\n")
    path.with_name("notes.txt").write_text("not ours either\n")


def change_nothing(path: Path) -> None:
    """Leave all as it is."""


class Damage(NamedTuple):
    """What was done to the file of 100 requests, and what comes of it.

    :ivar readable: how many requests are still known.
    :ivar said: words in the log.
    """

    do: Callable[[Path], None]
    readable: int
    said: str


DAMAGES = [
    Damage(change_nothing, 100, "ready: counter"),
    Damage(cut_off, 60, "was torn: 60 entries of it are readable"),
    Damage(overwrite_an_entry, 70, "was torn: 70 entries of it are readable"),
    Damage(set_to_the_future, 95, "dropped 5 requests of the future"),
    Damage(empty, 0, "ready: counter"),
    Damage(replace_by_something_else, 0, "counter is degraded: "),
    Damage(spoil_the_header, 0, "counter is degraded: "),
    Damage(lay_something_beside, 100, "counter is degraded: "),
]


@pytest.fixture
def left(start: Starter) -> Path:
    """A working folder in which a daemon has counted 100 requests and was killed."""
    folder = start.folder()
    daemon = started(start, folder)
    assert count(daemon, 100) == 100
    daemon.kill()
    return folder


def test_whatever_happened_to_its_file_the_counter_starts_with_what_is_readable(
    start: Starter, left: Path
):
    folders = [start.folder() for _ in DAMAGES]
    for folder, damage in zip(folders, DAMAGES, strict=True):
        shutil.copytree(left, folder, dirs_exist_ok=True)
        damage.do(file_with_entries(folder))
    daemons = [started(start, folder, wait=False) for folder in folders]
    for daemon, damage in zip(daemons, DAMAGES, strict=True):
        daemon.wait_until_ready()
        assert damage.said in daemon.stderr, damage
        assert ("degraded" in daemon.stderr) == ("degraded" in damage.said or "torn" in damage.said)
        assert count(daemon, 10) == damage.readable + 10, damage
        daemon.kill()
    daemons = [started(start, folder, wait=False) for folder in folders]
    for daemon, damage in zip(daemons, DAMAGES, strict=True):
        daemon.wait_until_ready()
        assert "degraded" not in daemon.stderr, damage
        assert count(daemon) == damage.readable + 11, damage
        daemon.kill()
    for folder, damage in zip(folders, DAMAGES, strict=True):
        aside = [content for path, content in files_in(folder).items() if ".aside-" in path.name]
        assert len(aside) == (damage.said == "counter is degraded: "), damage


def test_a_file_from_a_newer_version_stops_the_start_and_all_files_stay(start: Starter, left: Path):
    overwrite(file_with_entries(left), FORMAT_AT, struct.pack("=q", 2))
    before = files_in(left)
    finished = run_tsdaemon(left, *flags("counter", tcp(start.port())))
    assert finished.status == 1
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr
    (why,) = [line for line in finished.stderr.splitlines() if "#critical]" in line]
    assert "has format 2" in why
    assert files_in(left) == before


def test_a_second_daemon_on_the_state_folder_does_not_start_and_counting_goes_on(
    start: Starter, folder: Path, daemon: WebDaemon
):
    assert count(daemon, 10) == 10
    finished = run_tsdaemon(folder, *flags("counter", tcp(start.port())))
    assert finished.status == 1
    assert "is in use by another daemon" in finished.stderr
    assert count(daemon, 10) == 20


def test_files_removed_while_it_runs_are_written_anew(
    start: Starter, folder: Path, place: Place, daemon: WebDaemon
):
    assert count(daemon, 100) == 100
    shutil.rmtree(folder / "tsdaemon-state" / "counter")
    eventually(lambda: "counter is degraded: " in daemon.stderr)
    assert count(daemon, 100) == 200
    eventually(lambda: "counter is over this: " in daemon.stderr)
    assert count(daemon, 100) == 300
    daemon.kill()
    daemon = started(start, folder, place)
    assert count(daemon) == 301


# --- a disk that is full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    with small_disk_in(tmp_path, "24m") as disk:
        yield disk


def test_on_a_full_disk_it_goes_on_counting_and_keeps_all_when_there_is_room_again(
    start: Starter, small_disk: Path, place: Place
):
    daemon = started(start, small_disk, place)
    assert count(daemon, 100) == 100
    daemon.kill()
    ballast = fill(small_disk)
    daemon = started(start, small_disk, place)
    eventually(lambda: "counter is degraded: " in daemon.stderr)
    assert count(daemon, 100) == 200
    ballast.unlink()
    eventually(lambda: "counter is over this: " in daemon.stderr)
    assert count(daemon, 100) == 300
    daemon.kill()
    daemon = started(start, small_disk, place)
    assert count(daemon) == 301


def test_a_stop_on_a_full_disk_ends_in_good_order_and_says_what_may_be_missing(
    start: Starter, small_disk: Path, place: Place
):
    fill(small_disk)
    daemon = started(start, small_disk, place)
    assert count(daemon, 100) == 100
    assert daemon.stop() == 0
    assert "counter is degraded: " in daemon.stderr
