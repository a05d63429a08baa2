"""What the timestamp service does with disks that are full and files that are not its own."""

from __future__ import annotations

import random
import resource
import struct
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from tests.small_disk import fill, small_disk_in
from tests.system.conftest import Starter
from tests.system.http_clients import Place, WebDaemon, flags, serve, tcp
from tests.system.running import eventually, run_tsdaemon

SLOT_BYTES = 4096


@pytest.fixture
def folder(start: Starter) -> Path:
    """The working folder of daemons that come one after another."""
    return start.folder()


@pytest.fixture
def place(start: Starter) -> Place:
    """Where they listen."""
    return tcp(start.port())


def file_in(folder: Path) -> Path:
    """Give the file that holds the timestamp."""
    return folder / "tsdaemon-state" / "timestamp"


def refused_start(folder: Path, place: Place) -> str:
    """See a daemon refuse to start, and give the one line that says why."""
    finished = run_tsdaemon(folder, *flags("timestamp", place))
    assert finished.status == 1
    assert finished.stdout == ""
    assert "Traceback" not in finished.stderr
    (why,) = [line for line in finished.stderr.splitlines() if "#critical]" in line]
    return why


def limit_files(daemon: WebDaemon, size_bytes: int | None) -> None:
    """Limit the size of what a daemon writes to, its log too; None: no longer."""
    _, hard = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
    soft = hard if size_bytes is None else size_bytes
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_nothing_refuses_writes_and_keeps_the_old_timestamp(
    start: Starter, folder: Path, place: Place
):
    daemon = serve(start, "timestamp", place=place, folder=folder)
    etag = daemon.put("1").etag
    limit_files(daemon, 0)
    for _ in range(3):
        refused = daemon.put("2")
        assert (refused.status, refused.fields["retry-after"]) == (503, "1")
        kept = daemon.get()
        assert (kept.body, kept.etag) == (b"1", etag)
    limit_files(daemon, None)
    etag = daemon.put("3", if_match=etag).etag
    limit_files(daemon, 0)
    assert daemon.put("4").status == 503
    daemon.kill()
    daemon = serve(start, "timestamp", place=place, folder=folder)
    kept = daemon.get()
    assert (kept.body, kept.etag) == (b"3", etag)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    with small_disk_in(tmp_path, "1m") as disk:
        yield disk


def keep_one_slot(path: Path) -> None:
    """Give the room of the slot that was never written back to the disk, as a copy might."""
    content = path.read_bytes()
    with path.open("wb") as file:
        for at in range(0, len(content), SLOT_BYTES):
            if content[at : at + SLOT_BYTES].strip(b"\0"):
                file.seek(at)
                file.write(content[at : at + SLOT_BYTES])
        file.truncate(len(content))


def test_a_full_disk_refuses_writes_and_keeps_the_old_timestamp(
    start: Starter, small_disk: Path, place: Place
):
    daemon = serve(start, "timestamp", place=place, folder=small_disk)
    etag = daemon.put("1").etag
    assert daemon.stop() == 0
    keep_one_slot(file_in(small_disk))
    ballast = fill(small_disk)
    daemon = serve(start, "timestamp", place=place, folder=small_disk)
    eventually(lambda: "timestamp is degraded: " in daemon.stderr)
    for _ in range(3):
        refused = daemon.put("2")
        assert (refused.status, refused.fields["retry-after"]) == (507, "1")
        kept = daemon.get()
        assert (kept.body, kept.etag) == (b"1", etag)
    ballast.unlink()
    assert daemon.put("3", if_match=etag).status == 204
    eventually(lambda: "timestamp is over this: " in daemon.stderr)
    daemon.kill()
    daemon = serve(start, "timestamp", place=place, folder=small_disk)
    assert daemon.get().body == b"3"


def test_a_disk_that_fills_up_later_stops_no_write(start: Starter, small_disk: Path, place: Place):
    daemon = serve(start, "timestamp", place=place, folder=small_disk)
    fill(small_disk)
    assert [daemon.put(str(value)).status for value in range(4)] == [204] * 4
    daemon.kill()
    daemon = serve(start, "timestamp", place=place, folder=small_disk)
    assert daemon.get().body == b"3"


def slot(version: int, value: bytes) -> bytes:
    """Write a slot of the file."""
    head = struct.pack("<8sIIQ", b"tsdslots", version, len(value), 7)
    return (head + struct.pack("<I", crc32(value, crc32(head))) + value).ljust(SLOT_BYTES, b"\0")


def test_a_file_from_a_newer_version_stops_the_start_and_stays_as_it_is(folder: Path, place: Place):
    path = file_in(folder)
    path.parent.mkdir()
    content = bytes(SLOT_BYTES) + slot(2, b"something new")
    path.write_bytes(content)
    assert f"{path.name} has format 2" in refused_start(folder, place)
    assert path.read_bytes() == content
    assert {entry.name for entry in path.parent.iterdir()} <= {"timestamp", "lock"}


DAMAGED = {
    "foreign": b"not ours\n",
    "too long": bytes(2 * SLOT_BYTES) + b"?",
    "nonsense": slot(1, b"tag nonsense"),
    "random": random.Random(1).randbytes(9_000),  # noqa: S311
}


def test_a_damaged_file_is_moved_aside_and_the_service_starts_anew(start: Starter):
    daemons = {}
    for content in DAMAGED.values():
        folder = start.folder()
        path = file_in(folder)
        path.parent.mkdir()
        path.write_bytes(content)
        daemons[path] = serve(start, "timestamp", folder=folder, wait=False)
    for (path, daemon), content in zip(daemons.items(), DAMAGED.values(), strict=True):
        daemon.wait_until_ready()
        assert "timestamp is degraded: " in daemon.stderr
        (aside,) = path.parent.glob("timestamp.*")
        assert aside.read_bytes() == content
        assert daemon.get().status == 404
        assert daemon.put("1").status == 204
        assert daemon.get().body == b"1"


def test_an_empty_file_and_one_never_written_are_new(start: Starter):
    daemons = []
    for content in (b"", bytes(2 * SLOT_BYTES)):
        folder = start.folder()
        file_in(folder).parent.mkdir()
        file_in(folder).write_bytes(content)
        daemons.append(serve(start, "timestamp", folder=folder, wait=False))
    for daemon in daemons:
        daemon.wait_until_ready()
        assert daemon.get().status == 404
        assert daemon.put("1").status == 204
        assert "degraded" not in daemon.stderr


def test_a_second_daemon_on_the_state_folder_or_on_the_port_does_not_start(
    start: Starter, folder: Path, place: Place
):
    first = serve(start, "timestamp", place=place, folder=folder)
    etag = first.put("1").etag
    content = file_in(folder).read_bytes()
    assert "is in use by another daemon" in refused_start(folder, tcp(start.port()))
    other = start.folder()
    assert "cannot listen on tcp:" in refused_start(other, place)
    assert list(other.iterdir()) == []
    assert file_in(folder).read_bytes() == content
    assert first.put("2", if_match=etag).status == 204
