"""A disk that takes its time, or does not answer at all for a while."""

from __future__ import annotations

import json
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from tests.system.callbacks import body_of
from tests.system.faults.shaky import NEED_NO_SYNC, POLL_S, Shaky, touch
from tests.system.http_clients import TEXT, HTTPClient, request
from tests.system.running import eventually
from tests.systemd import Listener

NEED_NO_DISK = (
    ("timestamp", "/timestamp"),
    ("hash", "/stats"),
    ("admin", "/healthz"),
    ("admin", "/metrics"),
    ("admin", "/status"),
)

KEEPING = ("timestamp", "counter", "hash", "callback", "numbers")
"""Services that keep something."""

STORED, WAITS, LATE = 2, 4, 6
"""Objects that are named before the disk hangs, and while it does."""


def test_a_disk_that_is_slow_or_hangs_delays_only_what_waits_for_it(shaky: Shaky):
    """Senders of callbacks do not wait for seconds, but no callback is missed."""
    whole, faults, load = shaky, shaky.faults, shaky.load
    whole.live()
    with load.running():
        with faults.slow_disk(200):
            load.advance(answers=4)
        with faults.slow_disk(2_000):
            eventually(lambda: faults.waiting)
            load.advance(NEED_NO_SYNC)
        with all_waiting(whole):
            answered = load.answers()["callback"]
            load.advance(NEED_NO_SYNC)
            for name, path in NEED_NO_DISK:
                assert whole.ask(name, "GET", path).status == 200
            assert load.answers()["callback"] == answered
        load.advance()
    load.require_log()
    load.require_kept()
    whole.require_all_callbacks()
    assert whole.daemon.stop() == 0


def test_a_disk_that_hangs_is_told_and_what_waits_for_it_is_bounded(shaky: Shaky, tmp_path: Path):
    whole, faults = shaky, shaky.faults
    with closing(Listener(str(tmp_path / "notify"))) as systemd, ExitStack() as stack:
        faults.environment |= {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "500000"}
        whole.live()

        def client(name: str) -> HTTPClient:
            return stack.enter_context(closing(HTTPClient(whole.places[name].address)))

        sender, writer = client("callback"), client("timestamp")
        assert sender.ask("POST", "/callback", body_of([STORED])).status == 204
        eventually(lambda: whole.database.ids() == {STORED})
        faults.concern(whole.database.setting.partition(":")[2])
        with faults.held_disk():
            assert sender.ask("POST", "/callback", body_of([WAITS])).status == 204
            eventually(lambda: faults.waiting)
            assert objects(whole) == {STORED}
            faults.concern(tmp_path / "folder-")
            sender.send(request("POST", "/callback", body_of([LATE])))
            writer.send(request("PUT", "/timestamp", b"12", content_type=TEXT))
            touch(whole, "counter", "hash", "numbers")
            whole.wait_for_troubles(*KEEPING)
            eventually(lambda: "objects" in whole.troubles()["callback"], pause_s=POLL_S)
            for why in whole.troubles().values():
                assert "the disk has not answered for 5 s" in why
            systemd.heard()
            eventually(lambda: {"WATCHDOG": "1"} in systemd.heard())
            assert whole.ask("admin", "GET", "/readyz").status == 200
            assert objects(whole) == {STORED}
            assert whole.ask("timestamp", "GET", "/timestamp").status == 404
            waiting = put_many(client)
            assert whole.ask("callback", "GET", f"/objects/{STORED}").status == 200
        eventually(lambda: whole.troubles() == {}, pause_s=POLL_S)
        assert sender.reply().status == 204
        assert writer.reply().status == 204
        assert [each.reply().status for each in waiting].count(204) > 200
    eventually(lambda: whole.database.ids() == {STORED, WAITS, LATE})
    assert objects(whole) == {STORED, WAITS, LATE}
    assert whole.ask("timestamp", "GET", "/timestamp").body == b"13"
    assert whole.daemon.stop() == 0


def objects(whole: Shaky) -> set[int]:
    """Ask which objects are online."""
    reply = whole.ask("callback", "GET", "/objects")
    assert reply.status == 200
    return {each["id"] for each in json.loads(reply.body)["objects"]}


def put_many(client: Callable[[str], HTTPClient]) -> list[HTTPClient]:
    """Put timestamps, of which some must be refused at once; give the clients of the others."""
    # As the daemon reckons, each of these takes a quarter of a megabyte, and 64 may wait.
    tags = ",".join(f'"{number}"' for number in range(2_000))
    put = request("PUT", "/timestamp", b"13", content_type=TEXT, if_none_match=tags)
    waiting = {client("timestamp") for _ in range(300)}
    for each in waiting:
        each.send(put)
    refused = eventually(lambda: select.select(waiting, [], [], 0)[0])
    for each in refused:
        refusal = each.reply()
        assert (refusal.status, refusal.fields["retry-after"]) == (503, "1")
        assert b"timestamps wait for it" in refusal.body
    return list(waiting - set(refused))


def test_a_stop_waits_for_a_sync_that_hangs_as_long_as_it_may(shaky: Shaky):
    whole, load = shaky, shaky.load
    whole.live()
    with load.running(), all_waiting(whole):
        tell_to_stop(whole)
    assert whole.daemon.wait() == 0
    assert abandoned(whole) == set()
    load.require_log()
    whole.add("drain_timeout=1")
    whole.live()
    load.require_kept()
    with load.running(), all_waiting(whole):
        tell_to_stop(whole)
        assert whole.daemon.wait() == 1
    assert abandoned(whole) == set(KEEPING)
    load.require_log()
    whole.live()
    load.require_kept()


@contextmanager
def all_waiting(whole: Shaky) -> Iterator[None]:
    """Let all services that keep something wait for the disk, as they do under load."""
    whole.faults.concern(f"{whole.log.parent}/")  # all but the objects
    eventually(lambda: whole.faults.waiting == 0)
    with whole.faults.held_disk():
        eventually(lambda: whole.faults.waiting == len(KEEPING))
        yield


def tell_to_stop(whole: Shaky) -> None:
    """Tell the daemon to stop, and wait until it has heard."""
    whole.daemon.signal(signal.SIGTERM)
    eventually(lambda: "stopping: SIGTERM" in whole.daemon.stderr)


def abandoned(whole: Shaky) -> set[str]:
    """Tell which services the daemon says that it did not wait for."""
    return {
        line.split("] ")[1].split()[0]
        for line in whole.daemon.stderr.splitlines()
        if "did not stop within" in line
    }
