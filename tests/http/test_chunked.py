"""The chunked transfer coding, against an encoder and a reader that know nothing of the server."""

from __future__ import annotations

from contextlib import suppress
from http import HTTPStatus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from daemon.http.chunked import ChunkedBody
from daemon.http.limits import Limits, Refused
from tests.http.requests import IN_VALUES, TOKEN, chunked, cut, spoiled

LIMITS = Limits(body_bytes=1000, header_bytes=500)
HEXADECIMAL = b"0123456789abcdefABCDEF"

encoded = st.binary(max_size=60).flatmap(
    lambda body: st.tuples(st.just(body), chunked(body))  # both belong together
)


class Strict:
    """Reads a chunked body byte by byte, as the grammar of RFC 9112 section 7.1 is written."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.place = 0

    def read(self) -> tuple[bytes, bytes] | None:
        """Give the body and what follows it; None when it is malformed or not whole."""
        with suppress(ValueError):
            body = b""
            while size := self.size():
                body += self.take(size)
                self.expect(b"\r\n")
            while not self.raw.startswith(b"\r\n", self.place):
                self.run(TOKEN)
                self.expect(b":")
                self.run(IN_VALUES, least=0)
                self.expect(b"\r\n")
            self.expect(b"\r\n")
            return body, self.raw[self.place :]
        return None

    def size(self) -> int:
        digits = self.run(HEXADECIMAL)
        if len(digits) > 16:
            raise ValueError
        while self.peek() == b";":
            self.expect(b";")
            self.run(TOKEN)
            if self.peek() == b"=":
                self.expect(b"=")
                if self.peek() == b'"':
                    self.quoted()
                else:
                    self.run(TOKEN)
        self.expect(b"\r\n")
        return int(digits, 16)

    def quoted(self) -> None:
        self.expect(b'"')
        while self.peek() != b'"':
            if self.peek() == b"\\":
                self.expect(b"\\")
                if self.peek() >= b"\x80":
                    raise ValueError
            if self.take(1) not in {bytes([byte]) for byte in IN_VALUES}:
                raise ValueError
        self.expect(b'"')

    def run(self, alphabet: bytes, least: int = 1) -> bytes:
        start = self.place
        while self.place < len(self.raw) and self.raw[self.place] in alphabet:
            self.place += 1
        if self.place - start < least:
            raise ValueError
        return self.raw[start : self.place]

    def peek(self) -> bytes:
        return self.raw[self.place : self.place + 1]

    def expect(self, wanted: bytes) -> None:
        if self.take(len(wanted)) != wanted:
            raise ValueError

    def take(self, size: int) -> bytes:
        self.place += size
        if self.place > len(self.raw):
            raise ValueError
        return self.raw[self.place - size : self.place]


def feed(raw: bytes, limits: Limits = LIMITS) -> tuple[bytes, bytes] | None:
    """Give the body and what follows it, None while it is not whole."""
    body, data = ChunkedBody(limits), bytearray(raw)
    return (bytes(body.body), bytes(data)) if body.feed(data) else None


def refusal(raw: bytes, limits: Limits = LIMITS) -> HTTPStatus:
    """Give the status with which a body is refused."""
    with pytest.raises(Refused) as caught:
        feed(raw, limits)
    return caught.value.status


@settings(deadline=None)
@given(encoded, st.binary(max_size=20), st.data())
def test_a_body_is_read_however_it_is_cut_and_nothing_behind_it(pair, behind, data):
    body, raw = pair
    reading, waiting, ended = ChunkedBody(LIMITS), bytearray(), False
    for piece in data.draw(cut(raw + behind)):
        waiting += piece
        ended = ended or reading.feed(waiting)
    assert ended
    assert reading.body == body
    assert waiting == behind


@settings(deadline=None)
@given(encoded, st.data())
def test_a_body_has_not_ended_before_its_last_byte(pair, data):
    raw = pair[1]
    assert feed(raw[: data.draw(st.integers(0, len(raw) - 1))]) is None


@settings(deadline=None)
@given(encoded.flatmap(lambda pair: spoiled(pair[1])) | st.binary(max_size=60))
@example(b"0\r\n\r\n")
@example(b"1;a\r\nx\r\n0\r\n\r\n")
@example(b"1;\r\nx\r\n0\r\n\r\n")
def test_only_what_the_grammar_allows_is_taken_for_a_body(raw):
    expected = Strict(raw).read()
    if expected is None:
        with suppress(Refused):
            assert feed(raw) is None
    else:
        assert feed(raw) == expected


@settings(deadline=None)
@given(encoded.flatmap(lambda pair: spoiled(pair[1])), st.data())
def test_the_verdict_does_not_depend_on_the_cuts(raw, data):
    def verdict(pieces: list[bytes]) -> object:
        reading, waiting, ended = ChunkedBody(LIMITS), bytearray(), False
        try:
            for piece in pieces:
                waiting += piece
                ended = ended or reading.feed(waiting)
        except Refused as refused:
            return refused.status
        return (bytes(reading.body), bytes(waiting)) if ended else None

    assert verdict([raw]) == verdict(data.draw(cut(raw)))


@pytest.mark.parametrize(
    "raw",
    [
        b"\r\n",
        b"x\r\n",
        b" 1\r\n",
        b"1 \r\n",
        b"1 ;a\r\n",
        b"1; a\r\n",
        b"1;a =b\r\n",
        b"1;a=\r\n",
        b'1;a="b\r\n',
        b"1;=b\r\n",
        b"+1\r\n",
        b"-1\r\n",
        b"0x1\r\n",
        b"1_0\r\n",
        b"1\n",
        b"1\r\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b"1\r\na\rb",
        b"00000000000000000\r\n",
        b"0\r\nX : 1\r\n\r\n",
        b"0\r\n X: 1\r\n\r\n",
        b"0\r\nX: 1\r\n folded\r\n\r\n",
        b"0\r\nX: a\0b\r\n\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\n\n",
    ],
)
def test_what_is_malformed_is_refused(raw):
    assert refusal(raw) == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("sizes", [(1000,), (999, 1), (1,) * 1000])
def test_a_body_may_be_as_large_as_the_limit_says(sizes):
    chunks = b"".join(b"%x\r\n%b\r\n" % (size, b"a" * size) for size in sizes)
    assert feed(chunks + b"0\r\n\r\n") == (b"a" * 1000, b"")
    assert refusal(chunks + b"1\r\n") == 413


def test_a_body_that_is_too_large_is_refused_before_it_comes():
    assert refusal(b"ffffffffffffffff\r\n") == 413
    assert refusal(b"3e9\r\n") == 413


def test_a_size_line_may_have_4096_bytes():
    extension = b"1;" + b"a" * (4096 - len(b"1;\r\n"))
    assert feed(extension + b"\r\na\r\n0\r\n\r\n", Limits()) == (b"a", b"")
    assert refusal(extension + b"a\r\n", Limits()) == 400
    assert refusal(extension + b"aaa", Limits()) == 400


def test_extensions_without_end_are_refused():
    limits = Limits(body_bytes=100, header_bytes=500)
    chunk = b"1;%b\r\na\r\n" % (b"a" * 400)
    assert refusal(chunk * 100, limits) == 400


def test_trailers_without_end_are_refused():
    assert refusal(b"0\r\n" + b"X: aaaaaaaa\r\n" * 100) == 400
    assert feed(b"0\r\n" + b"X: aaaaaaaa\r\n" * 30 + b"\r\n") == (b"", b"")


def test_it_has_begun_with_the_first_size():
    reading = ChunkedBody(LIMITS)
    reading.feed(bytearray(b"5"))
    assert not reading.begun
    reading.feed(bytearray(b"5\r\n"))
    assert reading.begun
