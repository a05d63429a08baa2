"""What the hash service answers, over both servers."""

from __future__ import annotations

import gc
import json
from base64 import b64encode
from hashlib import sha256, sha512
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs, eventAsText

from daemon.hash import forms, web
from daemon.hash.idempotency import Keys
from daemon.hash.jobs import DIGEST_BYTES, Jobs
from daemon.hash.web import HashAPI
from daemon.http.problem import problem_json
from daemon.http.replies import Errors
from daemon.http.request import Request
from daemon.storage.ring import Ring
from daemon.tokens import Tokens
from daemon.waiters import Waiters
from tests.http.fronts import OURS, Front, front

__all__ = ["front"]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
FORM_LINE = "Content-Type: application/x-www-form-urlencoded"
PROBLEM = "application/problem+json"
MONKEY = b"ZEHhWB65gUlzdVwtDQArEyx+KVLzp/aTaRaPlBzYRIFj6vjFdqEb0Q5B8zVKCZ0vKbZPZklJz0Fd7su2A+gf7Q=="
HASH_OF_A = b64encode(sha512(b"a").digest()).decode()
US = 1_000_000


class Service:
    """The service in memory, time in the test's hand."""

    def __init__(
        self,
        front: Front,
        *,
        capacity: int = 100,
        keys: int = 10,
        tokens: Tokens | None = None,
        shut_down: Deferred[None] | None = None,
        delay: int = 5,
        timer_ns=None,
    ) -> None:
        self.front = front
        self.waiters = Waiters(front.clock)
        self.observed: list[float] = []
        self.ended = 0
        self._shut_down = shut_down
        self.api = HashAPI(
            Keys(keys, 3600 * US),
            self.waiters,
            front.clock,
            self.now,
            tokens=tokens or Tokens(),
            shut_down=self.shut_down,
            version="1.2.3",
            capacity=capacity,
            max_wait_s=60,
            observe=self.observed.append,
            timer_ns=timer_ns or (lambda: 0),
        )
        self.api.jobs = Jobs(Ring(None, DIGEST_BYTES), capacity, delay * US, self.now())
        front.serve(self.api.app, problem_json)

    def now(self) -> int:
        return 1_000_000 * US + round(self.front.clock.seconds() * US)

    def shut_down(self) -> Deferred[None]:
        self.ended += 1
        return self._shut_down or succeed(None)

    def post(self, body=b"password=angryMonkey", fields=FORM, **more):
        return self.front.ask("POST", "/hash", body, {**fields, **more})

    def send(self, method, target, *lines, body=b""):
        """Send fields as they are, some of them twice."""
        exchange = self.front.begin("GET", "/stats")
        exchange.transport.clear()
        head = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        exchange.send("\r\n".join([*head, *lines, "", ""]).encode() + body)
        return exchange.reply

    def get(self, target="/hash/1", method="GET", **fields):
        return self.front.ask(method, target, b"", fields)

    def wait(self, prefer, target="/hash/1", **fields):
        return self.front.begin("GET", target, b"", {"Prefer": prefer, **fields})

    def later(self, seconds):
        self.front.clock.advance(seconds)


@pytest.fixture
def service(front):
    return Service(front)


def problem_of(reply):
    """The detail of an error, which must be a problem of its status."""
    assert reply.fields["content-type"] == PROBLEM
    found = json.loads(reply.body)
    assert found["status"] == reply.status
    assert found["title"]
    return found["detail"]


def test_a_password_becomes_an_id_and_five_seconds_later_its_hash(service):
    reply = service.post()
    assert (reply.status, reply.body) == (200, b"1")
    assert reply.fields["location"] == "/hash/1"
    assert reply.fields["content-type"].startswith("text/plain")
    assert service.post().body == b"2"
    service.later(4.999999)
    assert service.get().status == 202
    service.later(0.000001)
    reply = service.get()
    assert (reply.status, reply.body) == (200, MONKEY)
    assert reply.fields["content-type"].startswith("text/plain")
    assert service.get().body == MONKEY


def test_who_asks_too_early_hears_when_to_come_again_and_always_the_same(service):
    service.post()
    bodies = set()
    for left in (5, 5, 4, 4, 3, 3, 2, 2, 1, 1):
        reply = service.get()
        assert (reply.status, reply.fields["retry-after"]) == (202, str(left))
        bodies.add(reply.body)
        service.later(0.5)
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("0", 400),
        ("-1", 400),
        ("+1", 400),
        ("01", 400),
        ("1e3", 400),
        ("1.0", 400),
        ("abc", 400),
        ("%31", 400),
        ("1%20", 400),
        ("%D9%A1", 400),
        ("2", 404),
        ("99999999999999999999", 404),
        ("9" * 5000, 404),
        ("1/", 404),
        ("1/2", 404),
        ("/1", 404),
        ("", 404),
    ],
)
def test_what_is_no_id_and_what_never_was_one(service, path, status):
    service.post()
    reply = service.get(f"/hash/{path}")
    assert reply.status == status
    assert problem_of(reply)


def test_a_path_that_is_no_text_is_400(service):
    service.front.differs("encoding")
    assert service.get("/hash/%ff").status == 400


def test_an_evicted_job_is_410(front):
    service = Service(front, capacity=2)
    for _ in range(2):
        service.post()
    refused = service.post()
    assert (refused.status, refused.fields["retry-after"]) == (503, "5")
    assert problem_of(refused)
    service.later(5)
    assert service.post().body == b"3"
    assert service.get().status == 410
    assert problem_of(service.get())
    assert service.get("/hash/2").status == 200
    assert service.get("/hash/3").status == 202


@pytest.mark.parametrize(
    ("fields", "accept", "body"),
    [
        (FORM, None, b"1"),
        (FORM, "*/*", b"1"),
        (FORM, "text/html", b"1"),
        (FORM, "application/json", b'{"id": 1}'),
        (JSON, None, b'{"id": 1}'),
        (JSON, "*/*", b'{"id": 1}'),
        (JSON, "text/plain", b"1"),
    ],
)
def test_the_form_of_the_reply_to_a_post(service, fields, accept, body):
    sent = b'{"password": "angryMonkey"}' if fields is JSON else b"password=angryMonkey"
    more = {} if accept is None else {"Accept": accept}
    reply = service.post(sent, fields, **more)
    assert reply.body == body
    expected = "application/json" if body.startswith(b"{") else "text/plain"
    assert reply.fields["content-type"].startswith(expected)


def test_the_form_of_the_reply_to_a_get(service):
    service.post()
    early = service.get(Accept="application/json")
    assert (early.status, json.loads(early.body)) == (202, {"id": 1})
    service.later(5)
    reply = service.get(Accept="application/json")
    assert json.loads(reply.body) == {"id": 1, "hash": MONKEY.decode()}
    assert reply.fields["content-type"] == "application/json"
    assert service.get(Accept="*/*").body == MONKEY


@pytest.mark.parametrize(
    ("body", "fields", "status"),
    [
        (b"", {}, 400),
        (b"", FORM, 400),
        (b"password=", FORM, 400),
        (b"password=a&password=b", FORM, 400),
        (b"{", JSON, 400),
        (b"password=a", {}, 415),
        (b"password=a", {"Content-Type": "text/plain"}, 415),
        (b"password=a", {**FORM, "Content-Encoding": "gzip"}, 415),
        (b"password=" + b"x" * 65_537, FORM, 413),
    ],
)
def test_what_is_no_password(service, body, fields, status):
    reply = service.post(body, fields)
    assert reply.status == status
    assert problem_of(reply)
    assert service.get("/stats").body == b'{"total":0,"average":0}'


def test_any_bytes_are_a_password(service):
    service.post(b"password=%00%ff%FF+%2B")
    service.later(5)
    assert service.get().body == b64encode(sha512(b"\0\xff\xff +").digest())


def test_an_identity_coding_is_none(service):
    assert service.post(fields={**FORM, "Content-Encoding": "identity"}).status == 200


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("GET", "/hash", "OPTIONS, POST"),
        ("PUT", "/hash", "OPTIONS, POST"),
        ("DELETE", "/hash/1", "GET, HEAD, OPTIONS"),
        ("POST", "/hash/1", "GET, HEAD, OPTIONS"),
        ("POST", "/stats", "GET, HEAD, OPTIONS"),
        ("GET", "/shutdown", "OPTIONS, POST"),
        ("POST", "/v/status", "GET, HEAD, OPTIONS"),
        ("PUT", "/hash/", "OPTIONS, POST"),
        ("DELETE", "/hash/", "OPTIONS, POST"),
    ],
)
def test_other_methods_are_405(service, method, target, allow):
    reply = service.front.ask(method, target)
    assert (reply.status, reply.fields["allow"]) == (405, allow)
    assert problem_of(reply)


def test_options_says_what_is_allowed(service):
    assert service.get("/hash/", "OPTIONS").fields["allow"] == "OPTIONS, POST"
    service.front.differs("OPTIONS")
    for target, allow in (("/hash", "OPTIONS, POST"), ("/hash/1", "GET, HEAD, OPTIONS")):
        reply = service.get(target, "OPTIONS")
        assert (reply.status, reply.fields["allow"]) == (204, allow)


def test_a_post_with_a_slash_too_many_is_sent_on(service):
    reply = service.front.ask("POST", "/hash/", b"password=a", FORM)
    assert (reply.status, reply.fields["location"]) == (308, "/hash")
    for method in ("GET", "HEAD"):
        assert service.get("/hash/", method).status == 404


@pytest.mark.parametrize("target", ["/", "/x", "/hashes", "/stats/", "/shutdown/"])
def test_other_paths_are_404(service, target):
    reply = service.get(target)
    assert reply.status == 404
    assert problem_of(reply)


def test_head_says_what_get_says_without_the_body(service):
    service.post()
    for _ in range(2):
        get, head = service.get(), service.get(method="HEAD")
        assert (head.status, head.fields, head.body) == (get.status, get.fields, b"")
        service.later(5)


def test_who_prefers_to_wait_is_held_until_the_job_is_ready(service):
    service.post()
    service.later(1)
    waiting = service.wait("wait=10")
    service.later(3.9)
    assert not waiting.answered
    service.later(0.1)
    assert (waiting.reply.status, waiting.reply.body) == (200, MONKEY)
    assert waiting.reply.fields["preference-applied"] == "wait=10"


def test_who_would_not_wait_so_long_gets_202_after_it(service):
    service.post()
    waiting = service.wait("respond-async, wait=2")
    service.later(1.9)
    assert not waiting.answered
    service.later(0.1)
    assert (waiting.reply.status, waiting.reply.fields["retry-after"]) == (202, "3")


@pytest.mark.parametrize("prefer", ["wait=0", "wait=x", "respond-async"])
def test_nobody_waits_without_asking_for_it_well(service, prefer):
    service.post()
    assert service.wait(prefer).reply.status == 202


def test_nobody_waits_longer_than_the_longest_wait(front):
    service = Service(front, delay=100)
    service.post()
    waiting = [service.wait(f"wait={seconds}") for seconds in (61, 9999999999, "9" * 5000)]
    service.later(59.9)
    assert not any(each.answered for each in waiting)
    service.later(0.1)
    for each in waiting:
        assert (each.reply.status, each.reply.fields["preference-applied"]) == (202, "wait=60")


def test_nobody_waits_for_what_is_ready_or_never_was(service):
    service.post()
    assert service.wait("wait=10", "/hash/2").reply.status == 404
    service.later(5)
    assert service.wait("wait=10").reply.status == 200


def test_many_wait_with_one_timer_and_who_hangs_up_is_forgotten(service):
    service.post()
    before = len(service.front.clock.getDelayedCalls())
    waiting = [service.wait("wait=10") for _ in range(50)]
    ours = len(service.front.clock.getDelayedCalls()) - before
    assert ours <= 1 + (0 if service.front.name == OURS else 50)
    assert len(service.waiters) == 50
    for exchange in waiting[:20]:
        exchange.hang_up()
    assert len(service.waiters) == 30
    service.later(5)
    assert {exchange.reply.status for exchange in waiting[20:]} == {200}
    assert len(service.waiters) == 0


def test_a_job_evicted_under_a_waiter_is_410(front):
    service = Service(front, capacity=1)
    service.post()
    waiting = service.wait("wait=20")
    front.clock.rightNow += 5  # the timer is late
    service.post()
    service.later(0)
    assert waiting.reply.status == 410


def test_waiters_hear_at_the_end_that_it_is_not_ready(service):
    service.post()
    waiting = service.wait("wait=10")
    service.waiters.close()
    assert waiting.reply.status == 202
    assert service.wait("wait=10").reply.status == 202


def test_the_same_key_is_the_same_job(service):
    keyed = {"Idempotency-Key": '"k"'}
    assert service.post(**keyed).body == b"1"
    replay = service.post(**keyed)
    assert (replay.status, replay.body, replay.fields["location"]) == (200, b"1", "/hash/1")
    assert service.post(b"password=other", **keyed).status == 422
    assert problem_of(service.post(b"password=other", **keyed))
    assert service.post().body == b"2"
    service.later(3600)
    assert service.post(**keyed).body == b"3"
    assert json.loads(service.get("/stats").body)["total"] == 3


def test_bad_keys(front):
    service = Service(front, keys=1)
    assert service.post(**{"Idempotency-Key": ""}).status == 400
    assert service.post(**{"Idempotency-Key": "x" * 256}).status == 400
    assert service.post(**{"Idempotency-Key": "x" * 255}).status == 200
    full = service.post(**{"Idempotency-Key": "y"})
    assert (full.status, full.fields["retry-after"]) == (503, "3600")
    twice = ["Idempotency-Key: x"] * 2
    assert service.send("POST", "/hash", FORM_LINE, *twice, body=b"password=a").status == 400
    assert service.post().body == b"2"


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Type: application/json"],
        ["content-type: application/x-www-form-urlencoded"],
        ["Content-Encoding: gzip", "Content-Encoding: identity"],
        ["Content-Encoding: identity", "Content-Encoding: identity"],
    ],
)
def test_a_field_that_says_how_to_read_the_body_comes_once(service, lines):
    reply = service.send("POST", "/hash", FORM_LINE, *lines, body=b"password=a")
    assert reply.status == 400
    assert "more than one Content-" in problem_of(reply)


def test_several_accept_fields_are_one_list(service):
    accept = ["Accept: application/json", "Accept: text/html"]
    reply = service.send("POST", "/hash", FORM_LINE, *accept, body=b"password=a")
    assert reply.body == b'{"id": 1}'
    assert service.send("GET", "/hash/1", *accept).body == b'{"id": 1}'
    service.later(5)
    assert json.loads(service.send("GET", "/hash/1", *accept).body)["hash"] == HASH_OF_A


def test_stats_are_the_mean_of_the_work_in_whole_microseconds(front):
    ticks = iter([0, 10_000, 50_000, 71_000, 100_000])
    service = Service(front, timer_ns=lambda: next(ticks))
    assert service.get("/stats").body == b'{"total":0,"average":0}'
    service.post()
    service.post()
    reply = service.get("/stats")
    assert reply.body == b'{"total":2,"average":16}'
    assert reply.fields["content-type"] == "application/json"
    assert service.observed == [1e-5, 2.1e-5]


def test_work_that_takes_no_time_is_one_microsecond(service):
    service.post()
    assert service.get("/stats").body == b'{"total":1,"average":1}'


def test_the_status_says_how_it_is(service):
    service.post()
    expected = {"version": "1.2.3", "state": "running", "pending": 1, "capacity": 100}
    assert json.loads(service.get("/v/status").body) == expected
    service.later(5)
    service.api.draining = True
    expected |= {"state": "draining", "pending": 0}
    assert json.loads(service.get("/v/status").body) == expected


def test_a_draining_service_takes_no_job_and_lets_all_else_be_read(service):
    service.post(**{"Idempotency-Key": "k"})
    service.api.draining = True
    refused = service.post()
    assert refused.status == 503
    assert "retry-after" in refused.fields
    assert problem_of(refused)
    assert service.post(**{"Idempotency-Key": "k"}).body == b"1"
    assert service.post(**{"Idempotency-Key": "l"}).status == 503
    assert service.get().status == 202
    service.later(5)
    assert service.get().body == MONKEY


def test_shutdown_from_this_machine(service):
    service.post()
    reply = service.front.ask("POST", "/shutdown")
    assert (reply.status, json.loads(reply.body)) == (200, {"state": "draining", "pending": 1})
    assert service.front.ask("POST", "/shutdown").status == 200
    assert service.ended == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_no_web_page_of_another_site_can_shut_down(service, fields):
    reply = service.front.ask("POST", "/shutdown", b"", fields)
    assert reply.status == 403
    assert "page" in problem_of(reply)
    assert service.ended == 0


def test_a_page_of_this_service_can_shut_down(service):
    fields = {"Origin": "http://localhost:8090", "Sec-Fetch-Site": "same-origin"}
    assert service.front.ask("POST", "/shutdown", b"", fields).status == 200


def test_with_a_token_a_page_of_another_site_can_shut_down(front, tokens):
    fields = {"Origin": "http://dashboard.example", "Authorization": "Bearer secret"}
    Service(front, tokens=tokens)
    assert front.ask("POST", "/shutdown", b"", fields).status == 200


def test_shutdown_is_answered_when_nobody_can_connect_any_more(front):
    closed: Deferred[None] = Deferred()
    service = Service(front, shut_down=closed)
    asked = front.begin("POST", "/shutdown")
    assert not asked.answered
    closed.callback(None)
    assert asked.reply.status == 200
    assert service.ended == 1


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(sha256(b"secret").hexdigest())
    tokens = Tokens(path)
    tokens.load()
    return tokens


@pytest.mark.parametrize("target", ["/hash", "/shutdown"])
def test_where_tokens_are_in_use_changing_something_needs_one(front, tokens, target):
    service = Service(front, tokens=tokens)
    for token in ({}, {"Authorization": "Bearer wrong"}):
        reply = front.ask("POST", target, b"password=a", {**FORM, **token})
        assert reply.status == 401
        assert reply.fields["www-authenticate"].startswith("Bearer")
        assert problem_of(reply)
    assert service.ended == 0
    right = {"Authorization": "Bearer secret"}
    assert front.ask("POST", target, b"password=a", {**FORM, **right}).status == 200
    assert service.get("/stats").status == 200


def test_a_bug_gets_500_and_an_incident_and_nobody_reads_the_password(front, monkeypatch):
    def fail(body):
        raise RuntimeError(f"a bug with {body!r}")

    service = Service(front)
    monkeypatch.setattr("daemon.hash.web.plain_password", fail)
    with capturedLogs() as events:
        reply = service.post(b"password=xyzzy")
    assert reply.status == 500
    (event,) = [event for event in events if "incident" in event]
    assert event["incident"] in problem_of(reply)
    text = eventAsText(event)
    assert "RuntimeError at" in text
    assert "xyzzy" not in text
    assert b"xyzzy" not in reply.body


def test_no_error_says_what_was_sent(service):
    bodies = [
        (b"xyzzy=1", FORM),
        (b"password=xyzzy&password=xyzzy", FORM),
        (b'{"password": "xyzzy', JSON),
        (b'{"password": ["xyzzy"]}', JSON),
        (b"password=xyzzy", {"Content-Type": "text/plain"}),
        (b"--xyzzy\r\n", {"Content-Type": "multipart/form-data; boundary=xyzzy"}),
        (b"password=" + b"xyzzy" * 20_000, FORM),
    ]
    with capturedLogs() as events:
        for body, fields in bodies:
            reply = service.post(body, fields)
            assert 400 <= reply.status < 500
            assert b"xyzzy" not in reply.body
    assert not [event for event in events if "xyzzy" in eventAsText(event)]


def test_no_error_carries_the_password_out_of_the_form(service, monkeypatch):
    """What keeps an error (a log, a debugger) would else keep the password."""
    reached: list[object] = []
    reply = Errors.reply

    def look(errors, request, failure):
        trace = failure.value.__traceback__
        while trace is not None:
            reached.extend(trace.tb_frame.f_locals.values())
            trace = trace.tb_next
        return reply(errors, request, failure)

    monkeypatch.setattr(Errors, "reply", look)
    for body, fields in [
        (b"password=xyzzy&password=xyzzy", FORM),
        (b'{"password": "xyzzy', JSON),
        (b"password=" + b"xyzzy" * 20_000, FORM),
    ]:
        assert 400 <= service.post(body, fields).status < 500
    assert reached
    assert not any(b"xyzzy" in each for each in reached if isinstance(each, bytes))


def requests_alive() -> int:
    return sum(type(thing) is Request for thing in gc.get_objects())


def test_no_request_outlives_its_reply(front):
    """What is not freed at once would wait for the garbage collector, the password with it."""
    front.differs("limits")
    service = Service(front)
    gc.collect()
    before = requests_alive()
    gc.disable()
    try:
        for body, fields in [
            (b"password=x", FORM),
            (b"password=x&password=x", FORM),
            (b'{"password": "x', JSON),
            (b"password=x", {}),
            (b"password=x", {**FORM, "Idempotency-Key": ""}),
        ]:
            service.post(body, fields)
            service.get("/hash/x")
        assert requests_alive() == before
    finally:
        gc.enable()


def test_the_body_limit_lets_any_password_through():
    assert 6 * forms.MAX_PASSWORD_BYTES < 512 * 1024


def responses_of(path, method):
    document = json.loads(Path(web.__file__).with_name("openapi.json").read_text())
    found = document["paths"][path][method.lower()]["responses"]
    return {
        int(status): document["components"]["responses"].get(each.get("$ref", "").split("/")[-1])
        for status, each in found.items()
    }


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_one_slash_too_many_is_described_for_every_method(service, method):
    reply = service.front.ask(method, "/hash/")
    described = responses_of("/hash/", method)[reply.status]
    assert set(described.get("headers", {})) == {
        name.title() for name in reply.fields if name != "content-type"
    }
