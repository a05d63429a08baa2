"""Requests as a client may send them, with what they say; written without the server's code."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from hypothesis import strategies as st

TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
IN_VALUES: Final = bytes([9, *range(0x20, 0x7F), *range(0x80, 0x100)])
IN_TARGETS: Final = bytes(byte for byte in range(0x21, 0x7F) if byte not in b"#\\?")


@dataclass(frozen=True)
class Sent:
    """One request.

    :ivar raw: as it goes over the wire.
    :ivar fields: names and values as they are meant.
    :ivar body: the content.
    """

    raw: bytes
    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


def bytes_of(alphabet: bytes, min_size: int = 0, max_size: int = 12) -> st.SearchStrategy[bytes]:
    """Give strings of some bytes."""
    table = bytes(alphabet[byte % len(alphabet)] for byte in range(256))
    return st.binary(min_size=min_size, max_size=max_size).map(lambda raw: raw.translate(table))


tokens = bytes_of(TOKEN, 1)
values = bytes_of(IN_VALUES).map(lambda value: value.strip(b" \t"))
_blanks = st.sampled_from([b"", b" ", b"\t", b" \t "])


@st.composite
def _quoted(draw: st.DrawFn) -> bytes:
    pieces = st.sampled_from([b"a", b";", b"=", b" ", b'\\"', b"\\\\", b"\\a", b"\xff", b"\t"])
    return b'"' + b"".join(draw(st.lists(pieces, max_size=4))) + b'"'


@st.composite
def _extensions(draw: st.DrawFn) -> bytes:
    """Section 7.1.1 of RFC 9112."""
    values = st.none() | (tokens | _quoted()).map(b"=".__add__)
    pairs = draw(st.lists(st.tuples(tokens, values), max_size=2))
    return b"".join(b";" + name + (value or b"") for name, value in pairs)


@st.composite
def _size(draw: st.DrawFn, size: int) -> bytes:
    digits = b"%x" % size if draw(st.booleans()) else b"%X" % size
    return digits.rjust(draw(st.integers(0, 16)), b"0") + draw(_extensions()) + b"\r\n"


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """Give a body in chunks of any sizes, with extensions and a trailer section."""
    raw = b""
    while body:
        size = draw(st.integers(1, len(body)))
        raw += draw(_size(size)) + body[:size] + b"\r\n"
        body = body[size:]
    trailers = draw(st.lists(st.tuples(tokens, values), max_size=2))
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in trailers)
    return raw + draw(_size(0)) + lines + b"\r\n"


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    """Give a request that the server takes, and after which the connection goes on."""
    method = draw(st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"M-SEARCH"]))
    target = b"/" + draw(bytes_of(IN_TARGETS)) + draw(st.sampled_from([b"", b"?", b"?a=1?b"]))
    names = tokens.map(b"X-".__add__)
    fields = [(b"Host", b"localhost"), *draw(st.lists(st.tuples(names, values), max_size=3))]
    body = draw(st.binary(max_size=40))
    raw_body = body
    if draw(st.booleans()):
        fields.append((b"Transfer-Encoding", b"chunked"))
        raw_body = draw(chunked(body))
    elif body or draw(st.booleans()):
        fields.append((b"Content-Length", b"%d" % len(body)))
    fields = draw(st.permutations(fields))
    lines = b"".join(
        name + b":" + draw(_blanks) + value + draw(_blanks) + b"\r\n" for name, value in fields
    )
    head = draw(st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]))
    head += method + b" " + target + b" HTTP/1.1\r\n" + lines + b"\r\n"
    return Sent(head + raw_body, method, target, tuple(fields), body)


@st.composite
def cut(draw: st.DrawFn, raw: bytes) -> list[bytes]:
    """Give bytes in pieces, as a network may."""
    places = draw(st.lists(st.integers(0, len(raw)), max_size=6))
    edges = sorted({0, len(raw), *places})
    return [raw[start:end] for start, end in pairwise(edges)]


@st.composite
def spoiled(draw: st.DrawFn, raw: bytes) -> bytes:
    """Give bytes of which some were replaced, put in or taken out."""
    spoiling = bytearray(raw)
    odd = [
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b":",
        b",",
        b";",
        b"\0",
        b"\x7f",
        b"\xff",
        b"0",
        b"-",
    ]
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(spoiling)))
        piece = draw(st.binary(max_size=3) | st.sampled_from(odd))
        spoiling[place : place + draw(st.integers(0, 2))] = piece
    return bytes(spoiling)
