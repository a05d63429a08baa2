"""What an answer of the source says about an object."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.callback.verdict import Says, judge

NOW_US = 784_111_777_000_000
"""Sunday, 6 November 1994, 08:49:37 GMT."""


def answer(status, body=b"", object_id=7, **fields):
    sent = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return judge(object_id, status, sent, body, NOW_US)


@pytest.mark.parametrize(("online", "says"), [(True, Says.ONLINE), (False, Says.OFFLINE)])
def test_a_good_answer_says_whether_the_object_is_online(online, says):
    body = json.dumps({"id": 7, "online": online}).encode()
    assert answer(200, body).says is says
    assert answer(200, body, content_type=b"text/plain").says is says


@pytest.mark.parametrize("object_id", [-(2**63), -1, 0, 2**63 - 1])
def test_every_id_can_be_answered(object_id):
    assert answer(200, b'{"id":%d,"online":true}' % object_id, object_id).says is Says.ONLINE


def test_what_else_is_in_an_answer_does_not_matter():
    assert answer(200, b' {"x": [1], "online": true, "id": 7} ').says is Says.ONLINE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"online",
        b"null",
        b"[7, true]",
        b'{"id":7}',
        b'{"online":true}',
        b'{"id":"7","online":true}',
        b'{"id":7,"online":1}',
        b'{"id":7,"online":"true"}',
        b'{"id":7.5,"online":true}',
        b'{"id":8,"online":true}',
        b'{"id":7,"online":true',
        b'{"id":7,"online":true}{}',
        b"\xff\xfe",
        b"[" * 60_000,
    ],
)
def test_an_answer_that_says_nothing_is_no_answer(body):
    verdict = answer(200, body)
    assert verdict.says is Says.NOTHING
    assert verdict.why


@given(st.integers(100, 599).filter(lambda status: status != 200))
@example(404)
@example(410)
@example(429)
def test_every_other_status_has_its_meaning(status):
    says = answer(status, b'{"id":7,"online":true}').says
    if status in (404, 410):
        assert says is Says.UNKNOWN
    elif 400 <= status < 500 and status not in (408, 425, 429):
        assert says is Says.REFUSED
    else:
        assert says is Says.NOTHING


@pytest.mark.parametrize(
    ("value", "wait_us"),
    [
        (b"0", 0),
        (b"7", 7_000_000),
        (b" 7 ", 7_000_000),
        (b"Sun, 06 Nov 1994 08:49:47 GMT", 10_000_000),
        (b"Sun, 06 Nov 1994 08:49:47", 10_000_000),
        (b"Sun, 06 Nov 1994 08:49:27 GMT", 0),
        (b"-1", 0),
        (b"1.5", 0),
        (b"soon", 0),
        (b"\xff", 0),
        (b"9" * 40, 0),
        (b"Sun, 99 Nov 1994 08:49:47 GMT", 0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_source_is_left_alone_as_long_as_it_wants(status, value, wait_us):
    assert answer(status, retry_after=value).wait_us == wait_us


@given(st.binary(max_size=40))
def test_no_field_of_the_source_can_do_harm(value):
    assert answer(503, retry_after=value).wait_us >= 0


@given(st.binary(max_size=40))
def test_no_body_can_do_harm(body):
    assert answer(200, body).says in Says
