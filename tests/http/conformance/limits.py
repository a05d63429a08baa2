"""What is too large, to the byte, and refused as soon as it is known."""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import MUST, OURS, Case, Seen, refused, taken

TARGET: Final = 8192
FIELDS: Final = 100
HEADER: Final = 16384
BODY: Final = 65536

_URI: Final = "RFC 9110 section 15.5.15: 8 KiB"
_FIELD: Final = "RFC 6585 section 5: 100 fields, 16 KiB"
_CONTENT: Final = "RFC 9110 section 15.5.14: 64 KiB"

_START: Final = b"GET / HTTP/1.1\r\nHost: a\r\n"
_POST: Final = b"POST / HTTP/1.1\r\nHost: a\r\n"
_CHUNKED: Final = _POST + b"Transfer-Encoding: chunked\r\n\r\n"


def padded(size: int) -> bytes:
    """Give a request whose field lines have a size, line ends included."""
    host = b"Host: a\r\n"
    return b"GET / HTTP/1.1\r\n" + host + b"X: " + b"y" * (size - len(host) - 5) + b"\r\n\r\n"


def many(count: int) -> bytes:
    """Give a request with so many fields, Host included."""
    return _START + b"".join(b"X%d: y\r\n" % number for number in range(count - 1)) + b"\r\n"


def chunk(size: int) -> bytes:
    """Give a chunk."""
    return b"%x\r\n" % size + b"z" * size + b"\r\n"


_TOO_LARGE: Final = (
    refused(
        f"body-{name}",
        _CONTENT,
        "A body too large is refused by its length, before any of it has come.",
        _POST + b"Content-Length: " + length + b"\r\n\r\n",
        status=413,
        level=OURS,
    )
    for name, length in (
        ("one-byte-too-large", b"65537"),
        ("of-a-gigabyte", b"1073741824"),
        ("of-two-to-the-63", b"9223372036854775808"),
        ("of-two-to-the-64-less-one", b"18446744073709551615"),
        ("of-two-to-the-64-and-five", b"18446744073709551621"),
        ("of-thousands-of-digits", b"9" * 5000),
    )
)

CASES: Final[tuple[Case, ...]] = (
    *_TOO_LARGE,
    taken(
        "target-as-long-as-can-be",
        _URI,
        "At the limit there is still room.",
        b"GET /" + b"x" * (TARGET - 1) + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        Seen(b"GET", b"/" + b"x" * (TARGET - 1)),
    ),
    refused(
        "target-one-byte-too-long",
        _URI,
        "A target longer than the server reads gets 414.",
        b"GET /" + b"x" * TARGET + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        status=414,
        level=MUST,
    ),
    refused(
        "query-too-long",
        _URI,
        "The query is part of the target.",
        b"GET /?" + b"x" * TARGET + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        status=414,
        level=MUST,
    ),
    refused(
        "target-without-end",
        _URI,
        "Nobody waits for the end of a target that is too long already.",
        b"GET /" + b"x" * (TARGET + 1),
        status=414,
        level=MUST,
    ),
    taken(
        "as-many-fields-as-can-be",
        _FIELD,
        "At the limit there is still room.",
        many(FIELDS),
        Seen(b"GET", b"/"),
        level=OURS,
    ),
    refused(
        "one-field-too-many",
        _FIELD,
        "Too many fields get 431.",
        many(FIELDS + 1),
        status=431,
        level=OURS,
    ),
    taken(
        "header-as-large-as-can-be",
        _FIELD,
        "At the limit there is still room.",
        padded(HEADER),
        Seen(b"GET", b"/"),
        level=OURS,
    ),
    refused(
        "header-one-byte-too-large",
        _FIELD,
        "Too large a header gets 431.",
        padded(HEADER + 1),
        status=431,
        level=OURS,
    ),
    refused(
        "field-without-end",
        _FIELD,
        "Nobody waits for the end of a field that is too large already.",
        _START + b"X: " + b"y" * (HEADER + 1),
        status=431,
        level=OURS,
    ),
    refused(
        "fields-without-end",
        _FIELD,
        "Nor for the end of a header.",
        _START + b"X: y\r\n" * (HEADER // 6 + 1),
        status=431,
        level=OURS,
    ),
    taken(
        "body-as-large-as-can-be",
        _CONTENT,
        "At the limit there is still room.",
        _POST + b"Content-Length: 65536\r\n\r\n" + b"z" * BODY,
        Seen(b"POST", b"/", b"z" * BODY),
        level=OURS,
    ),
    taken(
        "chunks-as-large-as-can-be",
        _CONTENT,
        "The coding is not counted.",
        _CHUNKED + chunk(BODY - 10) + chunk(10) + b"0\r\n\r\n",
        Seen(b"POST", b"/", b"z" * BODY),
        level=OURS,
    ),
    refused(
        "chunks-one-byte-too-large",
        _CONTENT,
        "The size of a chunk that does not fit any more is enough.",
        _CHUNKED + chunk(BODY) + b"1\r\n",
        status=413,
        level=OURS,
    ),
    refused(
        "chunk-one-byte-too-large",
        _CONTENT,
        "Also when it is the first.",
        _CHUNKED + b"10001\r\n",
        status=413,
        level=OURS,
    ),
    refused(
        "chunk-of-fifteen-digits",
        "RFC 9112 section 7.1",
        "Sizes are read as the numbers they are, not as many bits as fit.",
        _CHUNKED + b"fffffffffffffff\r\n",
        status=413,
    ),
    refused(
        "chunk-of-twenty-digits",
        "RFC 9112 section 7.1",
        "A size that no machine word holds is refused.",
        _CHUNKED + b"f" * 20 + b"\r\n",
        level=OURS,
    ),
    refused(
        "chunk-that-wraps-around",
        "RFC 9112 section 7.1",
        "It is not taken for what would be left of it in 64 bits.",
        _CHUNKED + b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    ),
    refused(
        "trailers-too-large",
        "RFC 6585 section 5: 16 KiB",
        "Trailer fields are limited as header fields are.",
        _CHUNKED + b"0\r\n" + b"X: y\r\n" * (HEADER // 6 + 1),
        level=OURS,
    ),
)
