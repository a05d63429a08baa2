"""The callback service, as its senders and readers see it on real sockets."""

from __future__ import annotations

import base64
import json

import pytest

from tests.system.callbacks import (
    IMMEDIATE,
    body_of,
    even,
    object_source,
    online,
    post,
    receiver,
    sqlite_database,
)
from tests.system.conftest import Starter
from tests.system.http_clients import WebDaemon, tcp
from tests.system.running import ReservedPort, eventually

MIN_ID, MAX_ID = -(2**63), 2**63 - 1


@pytest.fixture(scope="module")
def source_port(module_start: Starter) -> ReservedPort:
    """The port of a source whose even objects are online."""
    port = module_start.port()
    object_source(module_start, *IMMEDIATE, port=port)
    return port


@pytest.fixture
def daemon(start: Starter, source_port: ReservedPort) -> WebDaemon:
    """A daemon that receives callbacks."""
    return receiver(start, tcp(start.port()), start.folder(), source_port)


def test_a_callback_is_answered_204_without_a_body_and_its_online_objects_can_be_read(
    daemon: WebDaemon,
):
    ids = [3, 2, 2, 0, -1, -2, MIN_ID, MAX_ID, 3, *range(100, 400)]
    reply = daemon.ask("POST", "/callback", body_of(ids))
    assert (reply.status, reply.body) == (204, b"")
    eventually(lambda: online(daemon) == even(ids))
    for number in ids:
        assert daemon.get(f"/objects/{number}").status == (200 if number % 2 == 0 else 404)
    for content_type in ("application/json", "text/plain", "x"):
        reply = daemon.ask("POST", "/callback", body_of([]), content_type=content_type)
        assert (reply.status, reply.body) == (204, b"")


def test_the_real_senders_side_and_ours_understand_each_other(
    start: Starter, source_port: ReservedPort
):
    daemon = receiver(start, tcp(start.port()), start.folder(), source_port)
    assert isinstance(daemon.address, tuple)
    url = "http://{}:{}/callback".format(*daemon.address)
    sender = object_source(start, "--period", "0.01", callback=url)
    eventually(lambda: online(daemon) == even(range(100)))
    assert sender.stop() == 0
    assert "answered 204 in " in sender.stderr
    # One that was under way may have been broken off by the stop.
    assert " broken" not in sender.stderr
    assert " 400" not in sender.stderr


WRONG = [
    b"",
    b"{",
    b"[1, 2]",
    b"{}",
    b"null",
    b'{"object_ids": null}',
    b'{"object_ids": 7}',
    b'{"object_ids": "1,2"}',
    b'{"object_ids": [1, "2"]}',
    b'{"object_ids": [1, 2.5]}',
    b'{"object_ids": [true]}',
    b'{"object_ids": [null]}',
    b'{"object_ids": [[1]]}',
    b'{"object_ids": [9223372036854775808]}',
    b'{"object_ids": [-9223372036854775809]}',
    b'{"object_ids": [1]} {"object_ids": [2]}',
    b'{"object_ids": [1], "object_ids": [2]}',
    b'{"OBJECT_IDS": [1]}',
    b'{"object_ids": [1\xff]}',
    b"\xef\xbb\xbf" + body_of([1]),
    body_of([1]).decode().encode("utf-16"),
    body_of(range(10_001)),
]


def test_what_is_no_callback_gets_400_and_is_kept_for_people_to_see(
    start: Starter, source_port: ReservedPort
):
    place, folder = tcp(start.port()), start.folder()
    daemon = receiver(start, place, folder, source_port)
    client, reasons = daemon.connect(), []
    for body in WRONG:
        reply = client.ask("POST", "/callback", body)
        assert reply.status == 400, body
        assert reply.fields["content-type"] == "application/problem+json"
        problem = json.loads(reply.body)
        assert problem["status"] == 400
        assert problem["detail"]
        reasons.append(problem["detail"])
    assert client.ask("POST", "/callback", body_of([2])).status == 204
    daemon.kill()
    daemon = receiver(start, place, folder, source_port)
    rejected = json.loads(daemon.get("/callbacks/rejected").body)
    assert rejected["next"] is None
    shown = rejected["rejected"]
    assert [entry["reason"] for entry in shown] == reasons[::-1]
    assert [kept_body(entry) for entry in shown] == [body[:65_536] for body in WRONG[::-1]]
    times = [entry["received"] for entry in shown]
    assert times == sorted(times, reverse=True)
    eventually(lambda: online(daemon) == {2})


def kept_body(entry: dict[str, str]) -> bytes:
    """Give the body of what was rejected."""
    if "body" in entry:
        return entry["body"].encode()
    return base64.b64decode(entry["body_base64"])


def test_the_largest_callback_is_taken_and_one_too_large_is_not(daemon: WebDaemon):
    ids = range(MIN_ID, MIN_ID + 10_000)
    assert post(daemon, ids) == 204
    assert daemon.ask("POST", "/callback", b" " * (1024 * 1024 + 1)).status == 413
    eventually(lambda: online(daemon) == even(ids))


def test_an_object_that_is_not_named_again_is_gone_after_its_lifespan(
    start: Starter, source_port: ReservedPort
):
    place, folder = tcp(start.port()), start.folder()
    database = sqlite_database(folder / "tsdaemon-state" / "objects.sqlite")
    daemon = receiver(start, place, folder, source_port, lifespan=1)
    assert post(daemon, [2, 4]) == 204

    def only_four_is_left() -> bool:
        assert post(daemon, [4]) == 204
        return online(daemon) == {4}

    eventually(lambda: online(daemon) == {2, 4} or database.ids() == {2, 4})
    eventually(only_four_is_left)
    assert daemon.get("/objects/2").status == 404
    eventually(lambda: database.ids() <= {4})
    eventually(lambda: database.ids() == set())


def test_rows_found_at_the_start_run_out_as_well(start: Starter, source_port: ReservedPort):
    place, folder = tcp(start.port()), start.folder()
    database = sqlite_database(folder / "tsdaemon-state" / "objects.sqlite")
    daemon = receiver(start, place, folder, source_port)
    assert post(daemon, range(100)) == 204
    eventually(lambda: database.ids() == even(range(100)))
    daemon.kill()
    daemon = receiver(start, place, folder, source_port, lifespan=0.001)
    eventually(lambda: database.ids() == set())
    assert daemon.stop() == 0
