"""What the timestamp service answers, over both servers."""

from __future__ import annotations

import errno
from hashlib import sha256

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from daemon.timestamp.register import Register, Stored, Write
from daemon.timestamp.web import TimestampAPI, WriteSoon
from daemon.tokens import Tokens
from daemon.waiters import Waiters
from tests.http.fronts import Front, front

__all__ = ["front"]

PLAIN = {"Content-Type": "text/plain"}


class Service:
    """The service in memory, or with writes that the test lets through."""

    def __init__(
        self,
        front: Front,
        *,
        held: bool = False,
        write: WriteSoon | None = None,
        tokens: Tokens | None = None,
    ) -> None:
        self.front = front
        self.waiters = Waiters(front.clock)
        self.register = Register("boot", on_change=self.waiters.wake)
        self.held: list[tuple[Write, Deferred[Stored]]] = []
        self.api = TimestampAPI(
            self.register,
            write or (self._hold if held else self.register.write),
            self.waiters,
            front.clock,
            tokens=tokens or Tokens(),
            max_wait_s=60,
        )
        front.serve(self.api.app)

    def _hold(self, write: Write) -> Deferred[Stored]:
        written: Deferred[Stored] = Deferred()
        self.held.append((write, written))
        return written

    def let_through(self) -> None:
        write, written = self.held.pop(0)
        written.callback(self.register.write(write))

    def put(self, body, fields=PLAIN, method="PUT"):
        return self.front.ask(method, "/timestamp", body, fields)

    def get(self, fields=None, target="/timestamp", method="GET"):
        return self.front.ask(method, target, b"", fields)

    def wait(self, etag, seconds="30"):
        return self.front.begin(
            "GET", f"/timestamp?wait={seconds}", b"", {"If-None-Match": etag} if etag else {}
        )


@pytest.fixture
def service(front):
    return Service(front)


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"1700000000", b"1700000000"),
        (b" \t\r\n1700000000.50\n", b"1700000000.50"),
        (b"0", b"0"),
        (b"-1.5", b"-1.5"),
    ],
)
def test_what_is_written_is_read_back(service, method, sent, read):
    written = service.put(sent, method=method)
    assert (written.status, written.body) == (204, b"")
    reply = service.get()
    assert (reply.status, reply.body) == (200, read)
    assert reply.fields["content-type"].startswith("text/plain")
    assert reply.fields["etag"] == written.fields["etag"]


def test_nothing_stored_is_404_in_plain_text(service):
    reply = service.get()
    assert reply.status == 404
    assert reply.fields["content-type"].startswith("text/plain")


def test_head_says_what_get_says_without_the_body(service):
    assert service.get(method="HEAD").status == 404
    service.put(b"5")
    get, head = service.get(), service.get(method="HEAD")
    assert (head.status, head.fields, head.body) == (get.status, get.fields, b"")


@pytest.mark.parametrize(
    "body", [b"", b"1e9", b"+5", b"-0", b".5", b"5.", b"0x1", b"01", b"x" * 64]
)
def test_what_is_no_timestamp_gets_400_that_says_what_is_wanted(service, body):
    reply = service.put(body)
    assert reply.status == 400
    assert b"decimal seconds" in reply.body
    assert reply.fields["content-type"].startswith("text/plain")
    assert service.get().status == 404


def test_milliseconds_by_mistake_are_named(service):
    assert b"milliseconds" in service.put(b"1700000000000").body


@pytest.mark.parametrize(("size", "status"), [(64, 204), (65, 413), (60_000, 413)])
def test_more_than_64_bytes_are_too_many(service, size, status):
    assert service.put(b"5" + b" " * (size - 1)).status == status


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "TEXT/Plain",
        "text/plain; charset=utf-8",
        'text/plain;charset="UTF-8"',
        "text/plain; charset=us-ascii",
        "text/plain; charset=ASCII",
    ],
)
def test_plain_text_is_taken(service, media_type):
    assert service.put(b"5", {"Content-Type": media_type}).status == 204


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Content-Type": "application/json"},
        {"Content-Type": "text/html"},
        {"Content-Type": "text/plain; charset=utf-16"},
        {"Content-Type": "text/plain; charset=latin-1"},
        {"Content-Type": "text"},
        {"Content-Type": "text/plain", "Content-Encoding": "gzip"},
    ],
)
def test_anything_else_is_415(service, fields):
    reply = service.put(b"5", fields)
    assert reply.status == 415
    assert reply.fields["accept"] == "text/plain"
    assert service.get().status == 404


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_write_without_any_body_is_411(service, method):
    exchange = service.front.begin("GET", "/timestamp")
    exchange.transport.clear()
    exchange.send(
        f"{method} /timestamp HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n\r\n".encode()
    )
    assert exchange.reply.status == 411


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("text/*", 200),
        ("text/plain", 200),
        ("text/plain;q=0.1, application/json", 200),
        ("application/json", 406),
        ("text/plain;q=0, */*", 406),
        ("*/*;q=0", 406),
        ("", 200),
    ],
)
def test_accept_that_leaves_out_plain_text_is_406(service, accept, status):
    service.put(b"5")
    assert service.get({"Accept": accept}).status == status
    assert service.get({"Accept": accept}, method="HEAD").status == status


def test_each_write_has_an_etag_of_its_own(service):
    etags = {service.put(b"5").fields["etag"] for _ in range(10)}
    assert len(etags) == 10
    assert all(etag.startswith('"') and etag.endswith('"') for etag in etags)


def test_compare_and_set(service):
    first = service.put(b"1").fields["etag"]
    second = service.put(b"2", {**PLAIN, "If-Match": first})
    assert second.status == 204
    refused = service.put(b"3", {**PLAIN, "If-Match": first})
    assert refused.status == 412
    assert refused.fields["etag"] == second.fields["etag"]
    assert service.get().body == b"2"


def test_create_once(service):
    assert service.put(b"1", {**PLAIN, "If-None-Match": "*"}).status == 204
    assert service.put(b"2", {**PLAIN, "If-None-Match": "*"}).status == 412
    assert service.get().body == b"1"


def test_if_match_any_needs_something_stored(service):
    assert service.put(b"1", {**PLAIN, "If-Match": "*"}).status == 412
    assert service.get().status == 404


def test_a_reader_who_knows_it_gets_304(service):
    etag = service.put(b"1").fields["etag"]
    for tags in (etag, f'"x", W/{etag}', "*"):
        reply = service.get({"If-None-Match": tags})
        assert (reply.status, reply.body, reply.fields["etag"]) == (304, b"", etag)
    assert service.get({"If-None-Match": '"other"'}).status == 200
    assert service.get({"If-Match": '"other"'}).status == 412
    assert service.get({"If-Match": etag}).status == 200


def test_repeated_condition_fields_count_as_one_list(service):
    etag = service.put(b"1").fields["etag"]
    exchange = service.front.begin("GET", "/timestamp")
    exchange.transport.clear()
    exchange.send(
        b"GET /timestamp HTTP/1.1\r\nHost: a\r\n"
        + f'If-None-Match: {etag}\r\nIf-None-Match: "x"\r\n\r\n'.encode()
    )
    assert exchange.reply.status == 304


@pytest.mark.parametrize("value", ["x", '"a', 'w/"a"', '"a" "b"', '*, "a"'])
def test_malformed_conditions_are_400(service, value):
    assert service.put(b"1", {**PLAIN, "If-Match": value}).status == 400
    assert service.get({"If-None-Match": value}).status == 400


@pytest.mark.parametrize("target", ["/", "/timestamp/", "/timestamps", "/timestamp/1"])
def test_other_paths_are_404_in_plain_text(service, target):
    reply = service.get(target=target)
    assert reply.status == 404
    assert reply.fields["content-type"].startswith("text/plain")


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_other_methods_are_405(service, method):
    service.put(b"1")
    reply = service.front.ask(method, "/timestamp")
    assert reply.status == 405
    assert reply.fields["allow"] == "GET, HEAD, OPTIONS, POST, PUT"
    assert service.get().body == b"1"


def test_options_says_what_is_allowed(service):
    service.front.differs("OPTIONS")
    reply = service.front.ask("OPTIONS", "/timestamp")
    assert (reply.status, reply.fields["allow"]) == (204, "GET, HEAD, OPTIONS, POST, PUT")


def test_a_reader_waits_for_the_next_write(service):
    etag = service.put(b"1").fields["etag"]
    waiting = service.wait(etag)
    service.front.clock.advance(29)
    assert not waiting.answered
    service.put(b"1")
    assert (waiting.reply.status, waiting.reply.body) == (200, b"1")
    assert waiting.reply.fields["etag"] != etag


def test_a_reader_who_waited_in_vain_gets_304(service):
    etag = service.put(b"1").fields["etag"]
    waiting = service.wait(etag, "0.5")
    service.front.clock.advance(0.4)
    assert not waiting.answered
    service.front.clock.advance(0.1)
    assert waiting.reply.status == 304


def test_a_reader_who_waited_for_the_first_write_in_vain_gets_404(service):
    waiting = service.wait('"x"', "2")
    service.front.clock.advance(1.9)
    assert not waiting.answered
    service.front.clock.advance(0.2)
    assert waiting.reply.status == 404


def test_a_reader_waits_for_the_first_write(service):
    waiting = service.wait("*")
    assert not waiting.answered
    service.put(b"7")
    service.front.clock.advance(0)
    # "*" names whatever is stored, so this is nothing new to the reader.
    assert not waiting.answered
    service.front.clock.advance(30)
    assert waiting.reply.status == 304


def test_nobody_waits_who_does_not_say_what_is_known(service):
    assert service.wait(None).reply.status == 404
    service.put(b"1")
    assert service.wait(None).reply.status == 200


def test_a_reader_who_knows_something_else_does_not_wait(service):
    service.put(b"1")
    assert service.wait('"other"').reply.body == b"1"


def test_nobody_waits_longer_than_allowed(service):
    etag = service.put(b"1").fields["etag"]
    waiting = service.wait(etag, "999999")
    service.front.clock.advance(59)
    assert not waiting.answered
    service.front.clock.advance(2)
    assert waiting.reply.status == 304


@pytest.mark.parametrize(
    "wait", ["", "-1", "1e3", "x", "+1", ".5", "5.", "nan", "1&wait=2", "%201"]
)
def test_any_other_wait_is_400(service, wait):
    service.put(b"1")
    assert service.wait('"x"', wait).reply.status == 400
    assert service.wait(None, wait).reply.status == 400


def test_a_wait_of_nothing_is_none(service):
    etag = service.put(b"1").fields["etag"]
    assert service.wait(etag, "0").reply.status == 304


def test_a_reader_who_hangs_up_is_forgotten(service):
    etag = service.put(b"1").fields["etag"]
    waiting = service.wait(etag)
    assert len(service.waiters) == 1
    waiting.hang_up()
    assert len(service.waiters) == 0


def test_a_drain_releases_those_who_wait(service):
    etag = service.put(b"1").fields["etag"]
    waiting = [service.wait(etag) for _ in range(3)]
    service.waiters.close()
    assert [exchange.reply.status for exchange in waiting] == [304] * 3
    assert service.wait(etag).reply.status == 304


def test_a_write_is_answered_and_seen_only_once_it_is_stored(front):
    service = Service(front, held=True)
    writing = front.begin("PUT", "/timestamp", b"1", PLAIN)
    assert not writing.answered
    assert service.get().status == 404
    service.let_through()
    assert writing.reply.status == 204
    assert service.get().body == b"1"


def test_a_write_goes_on_when_its_writer_hangs_up(front):
    service = Service(front, held=True)
    writing = front.begin("PUT", "/timestamp", b"1", PLAIN)
    _, written = service.held[0]
    written.addErrback(lambda _: None)  # the one who waited for it has been cancelled
    writing.hang_up()
    assert service.held[0][0].text == "1"


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EIO, 503)])
def test_what_could_not_be_stored_is_said_and_the_old_value_stays(front, number, status):
    service = Service(front, held=True)
    front.begin("PUT", "/timestamp", b"1", PLAIN)
    service.let_through()
    writing = front.begin("PUT", "/timestamp", b"2", PLAIN)
    write, written = service.held.pop()
    batch = service.register.begin([write])
    (failure,) = service.register.end(batch, OSError(number, "sorry"))
    assert isinstance(failure, Exception)
    written.errback(failure)
    assert writing.reply.status == status
    assert writing.reply.fields["retry-after"] == "1"
    assert service.get().body == b"1"


def test_writing_needs_a_token_where_tokens_are_in_use(front, tmp_path):
    path = tmp_path / "tokens"
    path.write_text(sha256(b"secret").hexdigest())
    tokens = Tokens(path)
    tokens.load()
    service = Service(front, tokens=tokens)
    assert service.put(b"1").status == 401
    assert service.put(b"1").fields["www-authenticate"] == "Bearer"
    assert service.put(b"1", {**PLAIN, "Authorization": "Bearer wrong"}).status == 401
    assert service.put(b"1", {**PLAIN, "Authorization": "Bearer secret"}).status == 204
    assert service.get().body == b"1"


def test_a_bug_gets_500_with_an_incident_that_is_in_the_log(front):
    def fail(_write):
        raise RuntimeError("a bug")

    with capturedLogs() as events:
        reply = Service(front, write=fail).put(b"1")
    assert reply.status == 500
    (event,) = [event for event in events if "incident" in event]
    expected = f"500 Internal Server Error: incident {event['incident']}\n"
    assert reply.body == expected.encode()
    assert event["log_failure"].check(RuntimeError)
