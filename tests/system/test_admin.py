"""The admin service, as those who watch over the daemon see it."""

from __future__ import annotations

import json
import signal
import socket
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.system.admin_daemons import Watched
from tests.system.conftest import Starter
from tests.system.http_clients import HTTPClient, request, serve
from tests.system.running import eventually, run_tsdaemon

GET = request("GET", "/")


def metric(watched: Watched, name: str, **labels: str) -> float:
    text = watched.daemon.get("/metrics").body.decode()
    values = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(values) == 1, (name, values)
    return values[0]


def test_it_tells_what_every_service_has_done(start: Starter):
    watched = Watched(start, "counter", "timestamp", "numbers")
    counter = watched.connect("counter")
    for _ in range(3):
        counter.ask("GET", "/")
    counter.ask("GET", "/", None, expect="miracles")
    timestamp = watched.connect("timestamp")
    assert timestamp.ask("GET", "/timestamp").status == 404
    assert timestamp.ask("PUT", "/timestamp", b"17", content_type="text/plain").status == 204
    with socket.create_connection(watched.address("numbers")) as numbers:
        numbers.sendall(b"000000001\n000000002\n000000001\n")
        eventually(lambda: metric(watched, "tsdaemon_numbers_received_total") == 3)
        assert metric(watched, "tsdaemon_numbers_clients") == 1
        numbers.sendall(b"no number\n")
        eventually(lambda: metric(watched, "tsdaemon_numbers_invalid_lines_total") == 1)
    expected = {
        "tsdaemon_counter_requests_total": 3,
        "tsdaemon_counter_window_requests": 3,
        "tsdaemon_timestamp_reads_total": 1,
        "tsdaemon_timestamp_writes_total": 1,
        "tsdaemon_timestamp_commit_seconds_count": 1,
        "tsdaemon_timestamp_http_connections": 1,
        "tsdaemon_numbers_unique_total": 2,
        "tsdaemon_numbers_duplicates_total": 1,
        "tsdaemon_numbers_unrecorded": 0,
        "tsdaemon_numbers_turned_away_total": 0,
    }
    for name, value in expected.items():
        assert metric(watched, name) == value, name
    replies = "http_replies_total"
    assert metric(watched, f"tsdaemon_counter_{replies}", status="2xx") == 3
    assert metric(watched, f"tsdaemon_counter_{replies}", status="4xx") == 1
    assert metric(watched, f"tsdaemon_timestamp_{replies}", status="2xx") == 1
    assert metric(watched, f"tsdaemon_timestamp_{replies}", status="4xx") == 1
    assert metric(watched, "process_resident_memory_bytes") > 10_000_000
    assert metric(watched, "tsdaemon_build_info") == 1
    eventually(lambda: metric(watched, "tsdaemon_reactor_lag_seconds_count") > 0)
    # Asking has counted nothing.
    assert metric(watched, "tsdaemon_counter_window_requests") == 3
    status = watched.json("/status")
    assert status["services"]["counter"]["numbers"]["requests"] == 3
    assert status["services"]["numbers"]["numbers"]["duplicates"] == 1
    assert status["process"]["cpu_seconds"] > 0


def test_what_the_counter_kept_from_before_is_in_the_window_but_not_new(start: Starter):
    before = serve(start, "counter")
    for _ in range(4):
        before.get("/")
    before.kill()
    watched = Watched(start, "counter", state=before.log.parent / "tsdaemon-state")
    assert metric(watched, "tsdaemon_counter_window_requests") == 4
    assert metric(watched, "tsdaemon_counter_requests_total") == 0


def test_ready_means_every_service_and_a_document_is_there_for_each(start: Starter):
    watched = Watched(start, "counter", "numbers")
    found = watched.json("/readyz")
    assert found["ready"] is True
    assert found["services"].keys() == {"admin", "counter", "numbers"}
    assert all(each["ok"] and not each["degraded"] for each in found["services"].values())
    assert watched.json("/openapi/counter.json")["info"]["title"] == "counter"
    assert watched.json("/openapi/admin.json")["info"]["title"] == "admin"
    assert watched.daemon.get("/openapi/numbers.json").status == 404
    assert watched.daemon.get("/openapi/timestamp.json").status == 404


def test_a_degraded_service_says_why_and_the_daemon_stays_ready(start: Starter):
    folder = start.folder()
    (folder / "timestamp").write_bytes(b"nothing that the timestamp service has written" * 1_000)
    watched = Watched(start, "timestamp", state=folder)
    found = watched.json("/readyz")
    assert found["ready"] is True
    timestamp = found["services"]["timestamp"]
    assert (timestamp["ok"], timestamp["degraded"]) == (True, True)
    assert "timestamp" in timestamp["why"]


def test_during_a_drain_it_answers_503_until_all_others_are_gone(start: Starter):
    watched = Watched(start, "counter")
    busy = watched.connect("counter").send(GET[:-2])
    kept = watched.connect("admin")
    assert kept.ask("GET", "/readyz").status == 200
    eventually(lambda: metric(watched, "tsdaemon_counter_http_connections") == 1)
    watched.daemon.signal(signal.SIGTERM)

    def drains() -> bool:
        reply = watched.daemon.get("/readyz")
        if reply.status == 200:
            return False
        assert reply.status == 503
        assert reply.fields["connection"] == "close"
        found = json.loads(reply.body)
        counter, admin = found["services"]["counter"], found["services"]["admin"]
        assert (found["ready"], counter["ok"], admin["ok"]) == (False, False, True)
        return True

    eventually(drains)
    assert watched.daemon.get("/healthz").body == b"ok"
    assert watched.json("/status")["services"]["counter"]["state"] == "draining"
    # Its port is closed, the admin's is not.
    with pytest.raises(ConnectionRefusedError):
        HTTPClient(watched.address("counter"))
    busy.send(GET[-2:])
    assert busy.reply().body == b"1"
    busy.close()
    assert watched.daemon.wait() == 0
    with pytest.raises(ConnectionRefusedError):
        HTTPClient(watched.address("admin"))


def test_alone_it_starts_and_stops_as_any_service(start: Starter):
    watched = Watched(start)
    assert watched.json("/readyz")["services"].keys() == {"admin"}
    began = time.monotonic()
    assert watched.daemon.stop() == 0
    assert time.monotonic() - began < 10


def test_a_port_that_is_taken_stops_the_start(start: Starter):
    watched = Watched(start)
    number = watched.ports["admin"].number
    finished = run_tsdaemon(
        start.folder(), "--only", "admin", "--set", f"admin.listen=tcp:{number}:interface=127.0.0.1"
    )
    assert finished.status != 0
    assert "admin" in finished.stderr
    assert str(number) in finished.stderr
