"""Bytes in, answers out: split anywhere, the answers are the same."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.http.answer import (
    Answer,
    AnswerTooLargeError,
    ConnectionFailedError,
    FetchError,
    MalformedAnswerError,
)
from daemon.http.answer_head import HEADER_BYTES, RememberedHeads
from daemon.http.answer_reader import AnswerReader
from daemon.http.limits import Limits

LIMIT = 2000


def reader() -> AnswerReader:
    """Give a reader with nothing remembered."""
    return AnswerReader(RememberedHeads(LIMIT), Limits(body_bytes=LIMIT))


def read(pieces: list[bytes]) -> tuple[Answer, bool] | type[FetchError]:
    """Give the answer in pieces and whether the connection goes on; or the error."""
    one = reader()
    try:
        for piece in pieces:
            got = one.feed(piece)
            if got is not None:
                return got, one.keep_alive
        return one.end(), one.keep_alive
    except FetchError as error:
        return type(error)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cut bytes into pieces that are not empty."""
    ends = sorted({place % len(data) for place in places if data} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


class Written(NamedTuple):
    """An answer, and its bytes."""

    answer: Answer
    keep_alive: bool
    data: bytes


FRAMING = {"connection", "content-length", "transfer-encoding", "upgrade"}
TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABC-_.!", min_size=1, max_size=12).filter(
    lambda name: name.lower() not in FRAMING
)
VALUE = st.text('abc ,;="/:\t\xe9', max_size=20).map(lambda text: text.strip(" \t"))


INTERIM = [b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 103 \r\nA: b\r\n\r\n"]


@st.composite
def written(draw: st.DrawFn) -> Written:
    """Write an answer in one of the forms there are."""
    status = draw(st.sampled_from([200, 200, 200, 204, 304, 302, 404, 500, 999]))
    is_1_0 = draw(st.booleans())
    framing = draw(st.sampled_from(["length", "end"] if is_1_0 else ["length", "chunked", "end"]))
    body = draw(st.binary(max_size=LIMIT // 4))
    connection = draw(st.sampled_from([None, "close", "keep-alive", "Keep-Alive, X", "x, CLOSE"]))
    fields = [(name, value) for name, value in draw(st.lists(st.tuples(TOKEN, VALUE), max_size=5))]
    if connection is not None:
        fields.append(("Connection", connection))
    if status in {204, 304}:
        body = b""
        framing = "none"
    content = body
    if framing == "length":
        fields.append(("Content-Length", str(len(body))))
    elif framing == "chunked":
        fields.append(("transfer-encoding", draw(st.sampled_from(["chunked", "Chunked"]))))
        sizes = draw(st.lists(st.integers(1, 200), max_size=5))
        content, rest = b"", body
        for size in [*sizes, len(body) or 1]:
            piece, rest = rest[:size], rest[size:]
            if piece:
                content += b"%x\r\n%b\r\n" % (len(piece), piece)
        content += b"0\r\n" + draw(st.sampled_from([b"", b"Trailer: x\r\n"])) + b"\r\n"
    fields = draw(st.permutations(fields))
    interim = b"".join(draw(st.lists(st.sampled_from(INTERIM))))
    lines = [f"HTTP/1.{0 if is_1_0 else 1} {status} Reason", *(f"{n}: {v}" for n, v in fields)]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    by_name = {name.lower().encode(): value.encode("latin-1") for name, value in fields}
    options = [each.strip() for each in (connection or "").lower().split(",")]
    keep_alive = (
        framing != "end" and "close" not in options and (not is_1_0 or "keep-alive" in options)
    )
    return Written(Answer(status, by_name, body), keep_alive, interim + head + content)


@given(written(), st.lists(st.integers(0, 5000), max_size=8))
def test_an_answer_is_what_was_written_wherever_it_is_cut(one, places):
    assert read(cut(one.data, places)) == (one.answer, one.keep_alive)


@given(written())
def test_an_answer_byte_by_byte(one):
    assert read([one.data[i : i + 1] for i in range(len(one.data))]) == (one.answer, one.keep_alive)


@given(st.lists(written().filter(lambda one: one.keep_alive), max_size=5), st.data())
def test_one_reader_takes_one_answer_after_another(several, data):
    one = reader()
    for each in several:
        assert not one.begun
        pieces = cut(each.data, data.draw(st.lists(st.integers(0, 5000), max_size=4)))
        got = [one.feed(piece) for piece in pieces]
        assert got == [None] * (len(pieces) - 1) + [each.answer]
        assert one.keep_alive


@given(written().filter(lambda one: one.keep_alive), st.binary(min_size=1, max_size=50))
def test_what_comes_with_an_answer_and_behind_it_ends_the_connection(one, behind):
    assert read([one.data + behind]) == (one.answer, False)


@given(written(), st.integers(0, 5000))
def test_an_answer_that_ends_too_early_is_none(one, place):
    if one.keep_alive:
        assert read([one.data[: place % len(one.data)]]) is ConnectionFailedError


TROUBLE = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [
                *(b"HTTP/1.1 200 OK", b"\r\n", b"\r", b"\n", b"Content-Length: 3", b"A: b", b" "),
                *(b"Transfer-Encoding: chunked", b"\r\n\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n"),
                *(b"HTTP/1.1 100 Go on\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"abc", b"\0"),
                *(b"x" * 3000, b"A: " * 6000),
            ]
        ),
        max_size=8,
    ).map(b"".join),
)


@given(TROUBLE, st.lists(st.integers(0, 30000), max_size=6))
@example(b"HTTP/1.1 200 OK\r\nA: b\r\r\nContent-Length: 1\r\n\r\nx", [22, 23])
def test_whatever_comes_cutting_it_makes_no_difference(data, places):
    whole, pieces = read([data]), read(cut(data, places))
    if isinstance(whole, tuple) and isinstance(pieces, tuple):
        # In pieces it cannot be seen yet that more follows.
        assert pieces[0] == whole[0]
        assert pieces[1] >= whole[1]
    else:
        assert pieces == whole


OK = b"HTTP/1.1 200 OK\r\n"
MALFORMED = {
    "CL and TE": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "TE and CL": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
    "CL twice": OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
    "CL list": OK + b"Content-Length: 1, 1\r\n\r\n",
    "CL signed": OK + b"Content-Length: +1\r\n\r\n",
    "CL negative": OK + b"Content-Length: -1\r\n\r\n",
    "CL hexadecimal": OK + b"Content-Length: 0x1\r\n\r\n",
    "CL empty": OK + b"Content-Length:\r\n\r\n",
    "TE twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "TE gzip": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "TE gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "TE in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "TE in 204 with CL": (
        b"HTTP/1.1 204 \r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "no chunk size": OK + b"Transfer-Encoding: chunked\r\n\r\n\r\n",
    "chunk without end": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    "chunk size signed": OK + b"Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 1\n\na",
    "bare CR": OK + b"A: b\rc\r\n\r\n",
    "folding": OK + b"A: b\r\n c\r\n\r\n",
    "NUL": OK + b"A: b\0\r\n\r\n",
    "NUL in the reason": b"HTTP/1.1 200 O\0K\r\n\r\n",
    "blank before the colon": OK + b"A : b\r\n\r\n",
    "no colon": OK + b"A\r\n\r\n",
    "no name": OK + b": b\r\n\r\n",
    "empty line first": b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    "version 2": b"HTTP/2.0 200 OK\r\n\r\n",
    "version 0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "version 1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\n\r\n",
    "two blanks": b"HTTP/1.1  200 OK\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "101 without a name": b"HTTP/1.1 101 Switching\r\n\r\n",
    "TLS": b"\x15\x03\x01\x00\x02\x02\x0a",
    "another protocol": b"220 mail ready\r\n",
    "half a line of it": b"HTTQ",
    "chunk extension without end": OK + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 5000,
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_malformed_is_refused_without_waiting_for_the_end(case):
    data = MALFORMED[case]
    with pytest.raises(MalformedAnswerError):
        reader().feed(data)
    one = reader()
    with pytest.raises(MalformedAnswerError):
        for i in range(len(data)):
            one.feed(data[i : i + 1])


FITTING = OK + b"A: " + b"x" * (HEADER_BYTES - len(OK) - 5) + b"\r\n"


@pytest.mark.parametrize(
    "data",
    [
        OK + b"Content-Length: 2001\r\n\r\n",
        OK + b"Content-Length: 99999999999999999999999\r\n\r\n",
        OK + b"\r\n" + b"x" * 2001,
        OK + b"Transfer-Encoding: chunked\r\n\r\n7d1\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + b"x" * 2000 + b"\r\n1\r\n",
        FITTING + b"B",
        b"HTTP/1.1 100 Go on\r\n\r\n" * 744 + b"HTTP/1.1 100 Go o",
    ],
)
def test_what_is_too_large_is_refused_as_soon_as_it_can_be_seen(data):
    one = reader()
    with pytest.raises(AnswerTooLargeError):
        one.feed(data)
    one = reader()
    assert one.feed(data[:-1]) is None


def test_a_header_as_large_as_can_be():
    data = OK + b"Content-Length: 0\r\nA: "
    data += b"x" * (HEADER_BYTES - len(data) - 4) + b"\r\n\r\n"
    got = reader().feed(data)
    assert got is not None
    assert len(data) == HEADER_BYTES
    assert got.status == 200


def test_a_length_in_an_answer_that_has_no_body_is_of_no_matter():
    got = read([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 999999\r\n\r\n"])
    assert isinstance(got, tuple)
    assert got[0].body == b""
    assert got[1]


def test_white_space_behind_a_coding_is_no_part_of_it():
    got = read(
        [OK + b"Transfer-Encoding: chunked \r\nContent-Type: a\t\r\n\r\n1\r\na\r\n0\r\n\r\n"]
    )
    assert isinstance(got, tuple)
    assert got[0].body == b"a"
    assert got[0].fields[b"content-type"] == b"a"


def test_an_upgrade_that_was_only_offered_is_an_answer():
    got = read([OK + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 1\r\n\r\na"])
    assert isinstance(got, tuple)
    assert got[0].body == b"a"


def test_close_counts_on_whichever_line_it_stands():
    got = read([OK + b"Connection: close\r\nConnection: x\r\nContent-Length: 0\r\n\r\n"])
    assert isinstance(got, tuple)
    assert not got[1]


def test_heads_are_remembered_and_no_memory_is_without_bound():
    heads = RememberedHeads(LIMIT)
    same = OK + b"Content-Length: 1\r\n\r\n"
    assert heads.get(same) is None
    first = heads.read(same)
    assert heads.get(same) is first
    assert heads.read(same) is first
    for number in range(5000):
        heads.read(OK + b"X: %d\r\nContent-Length: 1\r\n\r\n" % number)
    kept = sum(
        heads.get(OK + b"X: %d\r\nContent-Length: 1\r\n\r\n" % number) is not None
        for number in range(5000)
    )
    assert 0 < kept <= 1024


@pytest.mark.parametrize(
    "data",
    [
        OK + b"\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        OK + b"Connection: close\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 100 Go on\r\n\r\n",
        OK + b"X: " + b"x" * 2000 + b"\r\nContent-Length: 1\r\n\r\n",
    ],
)
def test_heads_of_other_kinds_are_not_remembered(data):
    heads = RememberedHeads(LIMIT)
    heads.read(data)
    assert heads.get(data) is None


def test_fields_cannot_be_changed_since_answers_share_them():
    got = reader().feed(OK + b"A: b\r\nContent-Length: 0\r\n\r\n")
    assert got is not None
    with pytest.raises(TypeError):
        got.fields[b"a"] = b"c"  # type: ignore[index]
