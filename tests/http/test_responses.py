"""The client of the tests forgives nothing."""

import pytest

from tests.http.responses import MalformedReplyError, read_responses

DATE = b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
OK = b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 2\r\n\r\nhi"
EMPTY = b"HTTP/1.1 204 No Content\r\n" + DATE + b"\r\n"
HEADER = b"HTTP/1.1 200 OK\r\n" + DATE + b"Content-Length: 2\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_replies_are_read_one_behind_the_other():
    found = read_responses(OK + EMPTY + CONTINUE + OK)
    assert [reply.status for reply in found] == [200, 204, 100, 200]
    assert [reply.body for reply in found] == [b"hi", b"", b"", b"hi"]
    assert found[0].get(b"content-LENGTH") == b"2"
    assert found[0].get(b"X") is None


def test_nothing_is_no_reply():
    assert read_responses(b"") == []


def test_a_reply_to_head_has_the_length_but_not_the_body():
    assert [reply.body for reply in read_responses(HEADER + OK, [b"HEAD"])] == [b"", b"hi"]


def test_an_interim_reply_answers_no_request():
    found = read_responses(CONTINUE + HEADER + OK, [b"HEAD", b"GET"])
    assert [reply.body for reply in found] == [b"", b"", b"hi"]


def test_close_is_found_in_lists():
    raw = OK.replace(DATE, DATE + b"Connection: x, Close\r\n")
    assert read_responses(raw)[0].closes
    assert not read_responses(OK)[0].closes


@pytest.mark.parametrize(
    ("raw", "methods", "why"),
    [
        (OK[:-1], [], "missing"),
        (OK + b"x", [], "no status line"),
        (OK, [b"HEAD"], "no status line"),
        (EMPTY + b"x", [], "no status line"),
        (OK.replace(b"HTTP/1.1", b"HTTP/1.0"), [], "no status line"),
        (OK.replace(b" OK\r\n", b" OK\n"), [], "no status line"),
        (OK.replace(DATE, b""), [], "Date"),
        (OK.replace(b"Sun, 06", b"Sun, 6"), [], "Date"),
        (OK.replace(DATE, DATE + DATE), [], "more than one date"),
        (OK.replace(b"Content-Length: 2\r\n", b""), [], "no Content-Length"),
        (OK.replace(b": 2\r\n", b": +2\r\n"), [], "Content-Length"),
        (OK.replace(b": 2\r\n", b": 02\r\n"), [], "Content-Length"),
        (OK.replace(b": 2\r\n", b" : 2\r\n"), [], "no field line"),
        (OK.replace(b": 2\r\n", b": 2\n"), [], "no field line"),
        (OK.replace(DATE, DATE + b" x\r\n"), [], "no field line"),
        (OK.replace(DATE, DATE + b"X: \x00\r\n"), [], "no field line"),
        (OK.replace(DATE, DATE + b"Transfer-Encoding: chunked\r\n"), [], "known length"),
        (EMPTY.replace(DATE, DATE + b"Content-Length: 0\r\n"), [], "204 with Content-Length"),
        (OK.replace(b"200 OK", b"405 No"), [], "405 without allow"),
        (OK.replace(b"200 OK", b"401 No"), [], "401 without www-authenticate"),
        (OK.replace(DATE, DATE + b"Connection: close\r\n") + OK, [], "behind the last reply"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", [], "not asked for"),
        (CONTINUE.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"), [], "no content"),
    ],
)
def test_whatever_is_not_to_the_letter_is_an_error(raw, methods, why):
    with pytest.raises(MalformedReplyError, match=why):
        read_responses(raw, methods)
