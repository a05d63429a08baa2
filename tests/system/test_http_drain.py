"""An HTTP service that is told to stop while clients want something of it."""

from __future__ import annotations

import random
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest

from tests.system.conftest import Starter
from tests.system.http_clients import (
    TEXT,
    EndedError,
    HTTPClient,
    Place,
    WebDaemon,
    request,
    serve,
    tcp,
)
from tests.system.running import eventually
from tests.system.timestamp_history import Recorder
from tests.timestamp.linearizability import violation

GET = request("GET", "/timestamp")
PUT = request("PUT", "/timestamp", b"1700000000", content_type=TEXT)


@pytest.fixture
def daemon(start: Starter) -> WebDaemon:
    """A daemon with a timestamp."""
    daemon = serve(start, "timestamp")
    assert daemon.put("1").status == 204
    return daemon


def stopping(daemon: WebDaemon) -> None:
    """Tell a daemon to stop, and wait until it takes no connections any more."""
    daemon.signal(signal.SIGTERM)
    eventually(lambda: is_refused(daemon))


def is_refused(daemon: WebDaemon) -> bool:
    """Whether nobody can connect."""
    try:
        HTTPClient(daemon.address).close()
    except ConnectionRefusedError:
        return True
    return False


def test_idle_connections_are_closed_at_once(start: Starter):
    """In less time than is given to clients with requests under way."""
    daemon = serve(start, "timestamp", "--drain-timeout", "1.5")
    daemon.put("1")
    idle = [daemon.connect() for _ in range(50)]
    assert all(client.ask("GET", "/timestamp").status == 200 for client in idle[:25])
    assert daemon.stop() == 0
    assert all(client.has_ended() for client in idle)


def test_what_was_sent_before_the_signal_is_answered(daemon: WebDaemon):
    clients = [daemon.connect() for _ in range(10)]
    assert all(client.ask("GET", "/timestamp").body == b"1" for client in clients)
    with daemon.frozen():
        for client in clients[:5]:
            client.send(GET)
        clients[5].send(PUT)
        daemon.signal(signal.SIGTERM)
    replies = [client.reply() for client in clients[:6]]
    assert [reply.status for reply in replies] == [200] * 5 + [204]
    assert all(client.has_ended() for client in clients)
    assert daemon.wait() == 0


def test_a_pipeline_sent_before_the_signal_breaks_off_between_replies(daemon: WebDaemon):
    client = daemon.connect()
    with daemon.frozen():
        client.send((PUT + GET) * 100)
        daemon.signal(signal.SIGTERM)
    replies = []
    with pytest.raises(EndedError):
        while True:
            replies.append(client.reply())
    *others, last = replies
    assert last.fields["connection"] == "close"
    assert all("connection" not in reply.fields for reply in others)
    client.close()
    assert daemon.wait() == 0


def test_a_request_under_way_may_be_finished_and_others_are_dropped_soon(daemon: WebDaemon):
    busy, stuck, mute = daemon.connect(), daemon.connect(), daemon.connect()
    busy.send(PUT[:-3])
    stuck.send(PUT[:-3])
    mute.send(GET[:-3])
    assert daemon.get().body == b"1"
    stopping(daemon)
    reply = busy.send(PUT[-3:]).reply()
    assert (reply.status, reply.fields["connection"]) == (204, "close")
    assert busy.has_ended()
    for client in (stuck, mute):
        assert client.reply().status == 503
        assert client.has_ended()
        client.close()
    assert daemon.wait() == 0


def test_who_does_not_read_does_not_keep_the_daemon(daemon: WebDaemon):
    daemon.connect().with_small_buffer().send_until_stuck(GET)
    assert daemon.stop() == 0
    assert "abandoned" not in daemon.stderr


def test_clients_of_all_kinds_at_once_do_not_keep_the_daemon(daemon: WebDaemon):
    in_head, in_body, mute, refused, waiting, gone, idle = (daemon.connect() for _ in range(7))
    mute.with_small_buffer().send_until_stuck(GET)
    in_head.send(GET[:-3])
    in_body.send(PUT[:-3])
    refused.send(b"?\r\n\r\n")
    long = daemon.get().etag
    for client in (waiting, gone):
        client.send(request("GET", "/timestamp?wait=60", if_none_match=long))
    gone.finish()
    assert daemon.get().body == b"1"
    fresh = daemon.connect()
    daemon.signal(signal.SIGTERM)
    assert [client.reply().status for client in (in_head, in_body)] == [503, 503]
    assert [client.reply().status for client in (refused, waiting, gone)] == [400, 304, 304]
    assert all(client.has_ended() for client in (in_head, in_body, refused, waiting, gone))
    assert idle.has_ended()
    assert fresh.has_ended()
    assert daemon.wait() == 0
    assert "abandoned" not in daemon.stderr


@pytest.fixture
def place(start: Starter) -> Place:
    """Where daemons listen that come one after another."""
    return tcp(start.port())


def pipelines(place: Place, seed: int, stopped: threading.Event) -> int:
    """Send requests in bunches until someone says stop; counts the whole replies."""
    source = random.Random(seed)  # noqa: S311
    count = 0
    while not stopped.wait(source.random() / 500):
        try:
            client = HTTPClient(place.address)
        except ConnectionError:
            continue
        try:
            for _ in range(source.randrange(1, 4)):
                size = source.randrange(1, 40)
                client.send(GET * size)
                for _ in range(size):
                    assert client.reply().status in {200, 404}
                    count += 1
        except (EndedError, ConnectionError):
            pass
        finally:
            client.close()
    return count


def test_around_a_stop_each_client_gets_whole_replies_or_none_and_no_write_is_lost(
    start: Starter, place: Place
):
    """Torn replies fail in the clients."""
    folder = start.folder()
    recorders = [Recorder(place, seed) for seed in range(4)]
    stopped = threading.Event()
    with ThreadPoolExecutor(8) as pool, ExitStack() as stack:
        stack.callback(stopped.set)
        histories = [pool.submit(recorder.run, stopped) for recorder in recorders]
        counts = [pool.submit(pipelines, place, seed, stopped) for seed in range(4)]

        def recorded(wanted: int) -> bool:
            failed = any(history.done() for history in histories)
            failed = failed or any(count.done() for count in counts)
            return failed or sum(len(recorder.history) for recorder in recorders) >= wanted

        for wanted in (150, 300, 450):
            daemon = serve(start, "timestamp", place=place, folder=folder)
            eventually(partial(recorded, wanted))
            assert daemon.stop() == 0
        stopped.set()
        history = [operation for each in histories for operation in each.result()]
        assert all(count.result() for count in counts)
    assert violation(history) is None
