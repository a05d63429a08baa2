"""What the callback service answers, over both servers."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import sha256

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from daemon.callback.inbox import Callback, InboxFullError, RefusedError
from daemon.callback.objects.store import DatabaseUnavailableError, StoreError
from daemon.callback.pages import rfc3339
from daemon.callback.web import REJECTED_BYTES, CallbackAPI
from daemon.http.problem import problem_json
from daemon.http.turns import Slices
from daemon.metrics import Histogram
from daemon.tokens import Tokens
from tests.callback.inboxes import Bench
from tests.callback.scripts import ScriptedStore
from tests.http.fronts import Front, Reply, front

__all__ = ["front"]

NOW_US = 1_700_000_000_123_456
LIFESPAN_US = 30_000_000


class Service:
    """The service with a real inbox and a database that the test holds."""

    def __init__(self, front: Front, tmp_path, tokens: Tokens | None = None) -> None:
        self.front = front
        self.bench = Bench(tmp_path / "inbox.sqlite")
        self.inbox = self.bench.inbox
        self.store = ScriptedStore()
        self.arrived: list[Callback] = []
        self.accept_time = Histogram([1])
        self.api = CallbackAPI(
            self.inbox,
            self.store,
            lambda: NOW_US,
            arrived=self.arrived.append,
            accept_time=self.accept_time,
            tokens=tokens or Tokens(),
            max_ids=5,
            lifespan_us=LIFESPAN_US,
            slices=Slices(self.bench.clock),
        )
        front.serve(self.api.app, problem_json)

    def begin(self, method, target, body=b"", fields=None):
        exchange = self.front.begin(method, target, body, fields)
        self.bench.clock.advance(0)
        return exchange

    def ask(self, method, target, body=b"", fields=None) -> Reply:
        reply: Reply = self.begin(method, target, body, fields).reply
        return reply

    def post(self, body, fields=None) -> Reply:
        return self.ask("POST", "/callback", body, fields)

    def get(self, target):
        reply = self.ask("GET", target)
        assert reply.status == 200, reply.body
        assert reply.fields["content-type"] == "application/json"
        return json.loads(reply.body)


@pytest.fixture
def service(front, tmp_path) -> Service:
    return Service(front, tmp_path)


def assert_problem(reply: Reply, status: int, *words: str) -> None:
    assert reply.status == status
    assert reply.fields["content-type"] == "application/problem+json"
    problem = json.loads(reply.body)
    assert problem["status"] == status
    assert problem["title"]
    for word in words:
        assert word in problem["detail"]


@pytest.mark.parametrize(
    "fields",
    [{}, {"Content-Type": "application/json"}, {"Content-Type": "text/html"}, {"Content-Type": ""}],
)
def test_a_callback_is_answered_204_whatever_its_content_type(service, fields):
    reply = service.post(b'{"object_ids":[3,1,3]}', fields)
    assert (reply.status, reply.body) == (204, b"")
    (callback,) = service.arrived
    assert (callback.received_us, list(callback.ids)) == (NOW_US, [3, 1])
    assert service.api.accepted == 1
    assert service.accept_time.buckets[-1] == ("+Inf", 1)


def test_no_ids_are_a_callback_too(service):
    assert service.post(b'{"object_ids":[]}').status == 204


def test_the_reply_comes_when_the_callback_is_on_disk_and_not_before(service):
    exchange = service.front.begin("POST", "/callback", b'{"object_ids":[1]}')
    assert not exchange.answered
    assert service.arrived == []
    service.bench.clock.advance(0)
    assert exchange.reply.status == 204
    assert service.bench.numbers() == [1]


def test_a_callback_whose_sender_hangs_up_is_worked_on_all_the_same(service):
    exchange = service.front.begin("POST", "/callback", b'{"object_ids":[1]}')
    exchange.hang_up()
    service.bench.clock.advance(0)
    assert [callback.number for callback in service.arrived] == [1]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"),
        (b"{", "JSON"),
        (b"[1]", "array"),
        (b"{}", "object_ids"),
        (b'{"object_ids":[1,"2"]}', "element 1"),
        (b'{"object_ids":[1,2,3,4,5,6]}', "more than 5"),
        (b'{"object_ids":[9223372036854775808]}', "int64"),
        (b"\xff", "UTF-8"),
    ],
)
def test_what_is_no_callback_gets_400_that_names_what_is_wrong_and_is_kept(service, body, word):
    assert_problem(service.post(body), 400, word)
    assert service.arrived == []
    assert service.api.rejected == 1
    (kept,) = service.get("/callbacks/rejected")["rejected"]
    assert kept["received"] == "2023-11-14T22:13:20.123456Z"
    assert word in kept["reason"]
    if body == b"\xff":
        assert kept["body_base64"] == "/w=="
    else:
        assert kept["body"] == body.decode()


def test_rejected_bodies_are_read_newest_first_in_pages(service):
    for number in range(5):
        service.post(b"%d" % number)
    bodies = []
    target = "/callbacks/rejected?limit=2"
    pages = 0
    while target:
        page = service.get(target)
        bodies += [each["body"] for each in page["rejected"]]
        target = page["next"]
        pages += 1
    assert bodies == ["4", "3", "2", "1", "0"]
    assert pages == 3


def test_a_page_of_rejected_bodies_is_bounded_in_bytes_too(service):
    sizes = [60_000 + number for number in range(40)]
    for size in sizes:
        service.post(b"\0" * size)
    target = "/callbacks/rejected?limit=1000"
    found = []
    pages = 0
    while target:
        page = service.get(target)
        on_page = [len(each["body"]) for each in page["rejected"]]
        assert 0 < sum(on_page) <= REJECTED_BYTES
        found += on_page
        target = page["next"]
        pages += 1
    assert found == sizes[::-1]
    assert pages == 3


def test_a_sender_of_garbage_that_hangs_up_leaves_nothing_behind(service):
    exchange = service.front.begin("POST", "/callback", b"{")
    exchange.hang_up()
    service.bench.clock.advance(0)
    assert len(service.get("/callbacks/rejected")["rejected"]) == 1


def test_objects_are_read_in_the_order_of_their_ids_in_pages(service):
    service.store.rows = dict.fromkeys(range(-3, 4), NOW_US)
    ids = []
    target = "/objects?limit=3"
    while target:
        page = service.get(target)
        ids += [each["id"] for each in page["objects"]]
        target = page["next"]
    assert ids == list(range(-3, 4))


def test_an_object_is_shown_with_the_time_when_it_was_last_seen(service):
    service.store.rows = {7: NOW_US}
    shown = {"id": 7, "last_seen": "2023-11-14T22:13:20.123456Z"}
    assert service.get("/objects") == {"objects": [shown], "next": None}
    assert service.get("/objects/7") == shown
    assert service.ask("HEAD", "/objects/7").body == b""


def test_a_long_page_has_each_object_with_its_own_time(service):
    """Times within the same second, and in others, over several pieces of a page."""
    times_us = {number: NOW_US - number * 99_999 for number in range(250)}
    service.store.rows = times_us
    shown = service.get("/objects?limit=1000")["objects"]
    assert [each["id"] for each in shown] == list(times_us)
    for each in shown:
        time = datetime.fromisoformat(each["last_seen"])
        assert round(time.timestamp() * 1_000_000) == times_us[each["id"]]
        assert len(each["last_seen"]) == len("2023-11-14T22:13:20.123456Z")


def test_an_object_whose_time_is_over_is_not_shown_though_it_is_not_deleted_yet(service):
    service.store.rows = {1: NOW_US - LIFESPAN_US, 2: NOW_US - LIFESPAN_US - 1}
    assert [each["id"] for each in service.get("/objects")["objects"]] == [1]
    assert_problem(service.ask("GET", "/objects/2"), 404, "2")


def test_pages_start_after_any_id(service):
    service.store.rows = {-(2**63): NOW_US, 2**63 - 1: NOW_US}
    page = service.get(f"/objects?after={-(2**63)}")
    assert [each["id"] for each in page["objects"]] == [2**63 - 1]
    assert service.get(f"/objects?after={2**63 - 1}")["objects"] == []


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=1&limit=2",
        "limit=99999999999999999999",
        "after=x",
        "after=1.5",
        "after=9223372036854775808",
        "after=-0",
        "after=1&after=2",
        "after=%ff",
    ],
)
def test_a_query_that_makes_no_sense_gets_400(service, query):
    assert_problem(service.ask("GET", f"/objects?{query}"), 400, query[:5])


def test_a_query_for_rejected_bodies_that_makes_no_sense_gets_400(service):
    assert_problem(service.ask("GET", "/callbacks/rejected?before=x"), 400, "before")


@pytest.mark.parametrize("object_id", ["x", "1.5", "01", "+1", "9223372036854775808", "%31x"])
def test_an_object_that_is_no_int64_gets_400(service, object_id):
    assert_problem(service.ask("GET", f"/objects/{object_id}"), 400, "64 bits")


@pytest.mark.parametrize("error", [DatabaseUnavailableError("down"), StoreError("newer")])
@pytest.mark.parametrize("target", ["/objects", "/objects/1"])
def test_a_database_that_is_down_is_503(service, target, error):
    service.store.errors = [error]
    reply = service.ask("GET", target)
    assert_problem(reply, 503, str(error))
    assert reply.fields["retry-after"] == "1"


def test_a_callback_for_which_there_is_no_room_gets_503(service, monkeypatch):
    monkeypatch.setattr(service.inbox, "accept", lambda *_: fail(InboxFullError("full")))
    reply = service.post(b'{"object_ids":[1]}')
    assert_problem(reply, 503, "full")
    assert reply.fields["retry-after"] == "1"
    assert service.api.accepted == 0


def test_rejected_bodies_that_cannot_be_read_are_503(service, monkeypatch):
    broken = lambda *_: fail(RefusedError("the disk fails"))  # noqa: E731
    monkeypatch.setattr(service.inbox, "page_of_rejected", broken)
    assert_problem(service.ask("GET", "/callbacks/rejected"), 503, "disk")


def test_an_inbox_that_closes_gets_503(service):
    service.bench.close()
    assert_problem(service.post(b'{"object_ids":[1]}'), 503, "closed")
    assert_problem(service.post(b"{"), 400)


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("GET", "/callback", "OPTIONS, POST"),
        ("PUT", "/callback", "OPTIONS, POST"),
        ("POST", "/objects", "GET, HEAD, OPTIONS"),
        ("DELETE", "/objects/1", "GET, HEAD, OPTIONS"),
        ("POST", "/callbacks/rejected", "GET, HEAD, OPTIONS"),
    ],
)
def test_every_other_method_gets_405(service, method, target, allow):
    reply = service.ask(method, target)
    assert_problem(reply, 405)
    assert reply.fields["allow"] == allow


@pytest.mark.parametrize("target", ["/", "/callbacks", "/callback/", "/objects/1/2", "/object"])
def test_every_other_path_gets_404(service, target):
    assert_problem(service.ask("GET", target), 404)


def test_options_are_told(service):
    service.front.differs("OPTIONS")
    reply = service.ask("OPTIONS", "/callback")
    assert (reply.status, reply.fields["allow"]) == (204, "OPTIONS, POST")


@pytest.fixture
def guarded(front, tmp_path) -> Service:
    """A service that wants a token."""
    path = tmp_path / "tokens"
    path.write_text(sha256(b"secret").hexdigest())
    tokens = Tokens(path)
    tokens.load()
    return Service(front, tmp_path, tokens)


def test_with_tokens_a_callback_needs_one(guarded):
    body = b'{"object_ids":[1]}'
    reply = guarded.post(body)
    assert_problem(reply, 401)
    assert reply.fields["www-authenticate"].startswith("Bearer")
    assert guarded.arrived == []
    assert guarded.post(body, {"Authorization": "Bearer secret"}).status == 204
    assert guarded.ask("GET", "/objects").status == 200


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (NOW_US, "2023-11-14T22:13:20.123456Z"),
    ],
)
def test_times_are_written_to_the_microsecond(time_us, text):
    assert rfc3339(time_us) == text


def test_a_reader_that_hangs_up_while_the_database_works_harms_nobody(service):
    service.store.held = True
    exchange = service.begin("GET", "/objects")
    exchange.hang_up()
    service.store.held = False
    service.store.let_go()
    assert service.get("/objects")["objects"] == []


def test_the_same_reply_comes_from_a_deferred_that_has_fired_already(service, monkeypatch):
    callback = Callback(1, NOW_US, (1,))
    done: Deferred[Callback] = succeed(callback)
    monkeypatch.setattr(service.inbox, "accept", lambda *_: done)
    assert service.post(b'{"object_ids":[1]}').status == 204
    assert service.arrived == [callback]
