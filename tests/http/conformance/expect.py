"""``Expect: 100-continue`` (RFC 9110 section 10.1.1)."""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import OURS, Case, Seen, refused, taken

RULE: Final = "RFC 9110 section 10.1.1"
START: Final = b"POST / HTTP/1.1\r\nHost: a\r\n"
HELLO: Final = Seen(b"POST", b"/", b"hello")
LENGTH: Final = b"Content-Length: 5\r\n"

_ASKED: Final = (
    taken(
        f"expect-{name}",
        RULE,
        "Who waits before sending a body is told to go on.",
        (START + fields + b"\r\n", body),
        HELLO,
        continues=1,
    )
    for name, fields, body in (
        ("with-length", LENGTH + b"Expect: 100-continue\r\n", b"hello"),
        ("before-length", b"Expect: 100-continue\r\n" + LENGTH, b"hello"),
        ("in-capitals", LENGTH + b"Expect: 100-CONTINUE\r\n", b"hello"),
        ("mixed", LENGTH + b"expect:100-Continue\r\n", b"hello"),
        ("twice", LENGTH + b"Expect: 100-continue\r\nExpect: 100-continue\r\n", b"hello"),
        (
            "with-chunks",
            b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n",
            b"5\r\nhello\r\n0\r\n\r\n",
        ),
        ("and-close-not", LENGTH + b"Connection: x\r\nExpect: 100-continue\r\n", b"hello"),
    )
)

_OTHER: Final = (
    refused(
        f"expect-{name}",
        RULE,
        "What else is expected cannot be met.",
        START + LENGTH + fields + b"\r\nhello",
        status=417,
        level=OURS,
    )
    for name, fields in (
        ("unknown", b"Expect: 200-ok\r\n"),
        ("more-than-continue", b"Expect: 100-continue, x\r\n"),
        ("something-in-another-line", b"Expect: x\r\nExpect: 100-continue\r\n"),
        ("number-alone", b"Expect: 100\r\n"),
        ("continue-and-more", b"Expect: 100-continued\r\n"),
        ("parameter", b"Expect: 100-continue;a=b\r\n"),
        ("value", b"Expect: a=b\r\n"),
    )
)

_NO_BODY: Final = (
    taken(
        f"expect-{name}",
        RULE,
        "Who has no body to send waits for nothing.",
        start + b"Host: a\r\nExpect: 100-continue\r\n" + fields + b"\r\n",
        Seen(method, b"/"),
    )
    for name, start, fields, method in (
        ("of-get", b"GET / HTTP/1.1\r\n", b"", b"GET"),
        ("without-length", b"POST / HTTP/1.1\r\n", b"", b"POST"),
        ("of-length-zero", b"POST / HTTP/1.1\r\n", b"Content-Length: 0\r\n", b"POST"),
    )
)

CASES: Final[tuple[Case, ...]] = (
    *_ASKED,
    *_OTHER,
    *_NO_BODY,
    taken(
        "expect-in-1.0",
        RULE,
        "HTTP/1.0 knows no interim replies: the expectation is passed over.",
        (b"POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n" + LENGTH + b"\r\n", b"hello"),
        HELLO,
        closes=True,
    ),
    taken(
        "expect-in-1.0-with-keep-alive",
        RULE,
        "Nor does keep-alive teach it them.",
        (
            b"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n"
            + LENGTH
            + b"\r\n",
            b"hello",
        ),
        HELLO,
    ),
    taken(
        "expect-and-close",
        RULE,
        "The last request of a connection may wait as well.",
        (START + LENGTH + b"Connection: close\r\nExpect: 100-continue\r\n\r\n", b"hello"),
        HELLO,
        closes=True,
        continues=1,
    ),
    taken(
        "expect-empty",
        RULE,
        "A list may be empty.",
        START + LENGTH + b"Expect:\r\n\r\nhello",
        HELLO,
        level=OURS,
    ),
    taken(
        "expect-twice-on-a-connection",
        RULE,
        "Every request waits for itself.",
        (
            START + LENGTH + b"Expect: 100-continue\r\n\r\n",
            b"hello" + START + LENGTH + b"Expect: 100-continue\r\n\r\n",
            b"hello",
        ),
        HELLO,
        HELLO,
        continues=2,
    ),
    taken(
        "expect-behind-slow-request",
        "RFC 9112 section 9.3.2",
        "The interim reply comes behind the final one to the request before.",
        (
            b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
            + START
            + LENGTH
            + b"Expect: 100-continue\r\n\r\n",
            b"hello",
        ),
        Seen(b"GET", b"/slow"),
        HELLO,
        continues=1,
    ),
    refused(
        "expect-with-body-too-large",
        RULE,
        "Who asks first need not send what would be refused.",
        START + b"Content-Length: 65537\r\nExpect: 100-continue\r\n\r\n",
        status=413,
        level=OURS,
    ),
    refused(
        "expect-with-broken-framing",
        RULE,
        "Nor what could not be read.",
        START + LENGTH + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    ),
    refused(
        "expect-without-host",
        RULE,
        "Nor what is no request.",
        b"POST / HTTP/1.1\r\n" + LENGTH + b"Expect: 100-continue\r\n\r\n",
    ),
    refused(
        "expect-then-malformed-chunk",
        RULE,
        "The final reply may be an error all the same.",
        (
            START + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
            b"x\r\n",
        ),
        continues=1,
    ),
)
