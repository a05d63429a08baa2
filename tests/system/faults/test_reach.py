"""The faults reach what they are meant for: a test of them that does not fail means something."""

from __future__ import annotations

import errno
from pathlib import Path

from tests.system.faults.shaky import Shaky, touch
from tests.system.running import eventually


def test_every_file_that_is_synced_and_written_can_be_made_to_fail(shaky: Shaky):
    """SQLite's calls are caught, and Python's."""
    whole, faults = shaky, shaky.faults
    whole.live()
    state = whole.state
    for name, path in (
        ("timestamp", state / "timestamp"),
        ("counter", state / "counter"),
        ("hash", state / "hash"),
        ("callback", state / "inbox.sqlite"),
        ("callback", Path(whole.database.setting.partition(":")[2])),
        ("numbers", whole.log),
    ):
        faults.concern(path)
        for kind in ("sync", "write"):
            if kind == "write" and name in {"counter", "hash"}:
                continue  # entries go into mapped files
            before = faults.failed
            with faults.failing(**{kind: errno.EIO}):
                touch(whole, name)
                eventually(lambda: faults.failed > before)  # noqa: B023
    faults.concern("/nowhere")
    before = faults.failed
    with faults.failing(sync=errno.EIO, write=errno.EIO, open=errno.EIO):
        touch(whole, "timestamp", "callback")
    assert faults.failed == before
