"""Request lines: method, blanks, version, line ends."""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import MUST, OURS, SHOULD, Case, Seen, refused, taken

ROOT: Final = Seen(b"GET", b"/")
REST: Final = b"\r\nHost: a\r\n\r\n"

_FORM: Final = "RFC 9112 section 3"
_EMPTY: Final = "RFC 9112 section 2.2"
_VERSION: Final = "RFC 9112 section 2.3"

_GOOD: Final = (
    taken("get", _FORM, "The plainest request.", b"GET /x HTTP/1.1" + REST, Seen(b"GET", b"/x")),
    *(
        taken(
            f"method-{method.decode().lower()}",
            "RFC 9110 section 9.1",
            "The application says what it does with a method that has a meaning.",
            method + b" /x HTTP/1.1" + REST,
            Seen(method, b"/x"),
        )
        for method in (b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"PATCH")
    ),
    taken(
        "method-of-webdav",
        "RFC 9110 section 16.1.1",
        "Registered methods outside the core are no errors of form.",
        b"PROPFIND /x HTTP/1.1" + REST,
        Seen(b"PROPFIND", b"/x"),
        level=OURS,
    ),
    taken(
        "empty-line-first",
        _EMPTY,
        "An empty line before the request line is skipped.",
        b"\r\nGET / HTTP/1.1" + REST,
        ROOT,
        level=SHOULD,
    ),
    taken(
        "empty-lines-first",
        _EMPTY,
        "So are several.",
        b"\r\n\r\n\r\nGET / HTTP/1.1" + REST,
        ROOT,
        level=SHOULD,
    ),
    taken(
        "empty-line-behind-a-body",
        _EMPTY,
        "Old clients put a line end behind the body of a POST, which belongs to nothing.",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\nGET / HTTP/1.1" + REST,
        Seen(b"POST", b"/", b"hi"),
        ROOT,
        level=SHOULD,
    ),
    taken(
        "version-1.0",
        _VERSION,
        "HTTP/1.0 is still spoken, and its connections end with the reply.",
        b"GET /x HTTP/1.0" + REST,
        Seen(b"GET", b"/x"),
        closes=True,
    ),
)

_BAD_FORM: Final = (
    refused(
        name,
        _FORM,
        "A request line is method, blank, target, blank, version: no more, no less.",
        line + REST,
        level=SHOULD,
    )
    for name, line in (
        ("no-version", b"GET /"),
        ("method-alone", b"GET"),
        ("no-target", b"GET HTTP/1.1"),
        ("empty-target", b"GET  HTTP/1.1"),
        ("two-blanks-before-target", b"GET  / HTTP/1.1"),
        ("two-blanks-before-version", b"GET /  HTTP/1.1"),
        ("tab-before-target", b"GET\t/ HTTP/1.1"),
        ("tab-before-version", b"GET /\tHTTP/1.1"),
        ("form-feed-before-version", b"GET /\x0cHTTP/1.1"),
        ("blank-before-method", b" GET / HTTP/1.1"),
        ("tab-before-method", b"\tGET / HTTP/1.1"),
        ("blank-behind-version", b"GET / HTTP/1.1 "),
        ("word-behind-version", b"GET / HTTP/1.1 x"),
        ("colon-in-front", b":"),
        ("a-reply", b"HTTP/1.1 200 OK"),
        ("a-field-instead", b"Host: a"),
        ("no-method", b"/ HTTP/1.1"),
    )
)

_BAD_LINE_ENDS: Final = (
    refused(
        name,
        "RFC 9112 section 2.2",
        "A line ends with CR and LF; either of them alone ends nothing and is no blank.",
        raw,
        level=MUST if b"\r" in raw.replace(b"\r\n", b"") else OURS,
    )
    for name, raw in (
        ("lf-behind-request-line", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
        ("lf-everywhere", b"GET / HTTP/1.1\nHost: a\n\n"),
        ("cr-behind-request-line", b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
        ("cr-before-target", b"GET\r/ HTTP/1.1" + REST),
        ("cr-before-version", b"GET /\rHTTP/1.1" + REST),
        ("cr-cr-lf", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
        ("lf-in-method", b"GE\nT / HTTP/1.1" + REST),
        ("lf-in-target", b"GET /a\nb HTTP/1.1" + REST),
        ("lf-first", b"\nGET / HTTP/1.1" + REST),
        ("cr-first", b"\rGET / HTTP/1.1" + REST),
        ("cr-cr-lf-first", b"\r\r\nGET / HTTP/1.1" + REST),
        ("lf-lf-first", b"\n\nGET / HTTP/1.1" + REST),
        ("blank-line-of-blanks-first", b"  \r\nGET / HTTP/1.1" + REST),
    )
)

_BAD_METHODS: Final = (
    refused(
        f"method-with-{name}",
        "RFC 9112 section 3.1",
        "A method is a token; what is none is no request at all.",
        method + b" / HTTP/1.1" + REST,
        level=SHOULD,
    )
    for name, method in (
        ("at", b"G@T"),
        ("bracket", b"GET("),
        ("quotes", b'"GET"'),
        ("comma", b"GET,"),
        ("colon", b"GET:"),
        ("nul", b"G\x00T"),
        ("del", b"GET\x7f"),
        ("umlaut", b"G\xc4T"),
        ("no-letters", b"{}"),
    )
)

_UNKNOWN_METHODS: Final = (
    refused(
        f"unknown-method-{name}",
        "RFC 9110 section 9.1",
        "Methods are case-sensitive, and one that the server does not know gets 501.",
        method + b" / HTTP/1.1" + REST,
        status=501,
        level=SHOULD,
    )
    for name, method in (
        ("foo", b"FOO"),
        ("lower-case-get", b"get"),
        ("mixed-case-get", b"Get"),
        ("get-and-more", b"GETT"),
        ("start-of-get", b"GE"),
        ("one-letter", b"X"),
        ("token-marks", b"!#$%&'*+-.^_`|~9"),
        ("of-two-hundred-letters", b"A" * 200),
        ("of-nine-thousand-letters", b"A" * 9000),
        ("of-http-2", b"PRI"),
        ("of-rtsp", b"DESCRIBE"),
    )
)

_OTHER_VERSIONS: Final = (
    refused(
        f"version-{version.decode()}",
        "RFC 9110 section 15.6.6",
        "A version that the server does not speak gets 505.",
        b"GET / HTTP/" + version + REST,
        status=505,
        level=OURS,
    )
    for version in (b"0.0", b"0.9", b"1.2", b"1.9", b"2.0", b"3.0", b"9.9")
)

_NO_VERSIONS: Final = (
    refused(
        f"no-version-{number}",
        _VERSION,
        "A version is HTTP in capitals, a slash, a digit, a dot and a digit.",
        b"GET / " + version + REST,
        level=SHOULD,
    )
    for number, version in enumerate(
        (
            b"http/1.1",
            b"Http/1.1",
            b"HTTP/1",
            b"HTTP/1.",
            b"HTTP/.1",
            b"HTTP/1.10",
            b"HTTP/01.1",
            b"HTTP/1.01",
            b"HTTP/11",
            b"HTTP/1,1",
            b"HTTP/1.1.1",
            b"HTTP/ 1.1",
            b"HTTP/+1.1",
            b"HTTP/1.-1",
            b"HTTP/a.b",
            b"HTTP 1.1",
            b"HTTP1.1",
            b"HTTPS/1.1",
            b"ICE/1.0",
            b"RTSP/1.0",
            b"HTTP/1.\xb2",
            b"HTTP/1.1\x00",
        ),
        1,
    )
)

CASES: Final[tuple[Case, ...]] = (
    *_GOOD,
    *_BAD_FORM,
    *_BAD_LINE_ENDS,
    *_BAD_METHODS,
    *_UNKNOWN_METHODS,
    *_OTHER_VERSIONS,
    *_NO_VERSIONS,
    refused(
        "preface-of-http-2",
        "RFC 9113 section 3.4",
        "It is made for servers of HTTP/1.1 to stop there: the frames behind it are no requests.",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        status=505,
        level=OURS,
    ),
    refused(
        "http-0.9",
        _FORM,
        "A request of one line without a version is none any more.",
        b"GET /\r\n\r\n",
        level=SHOULD,
    ),
    refused(
        "tls",
        _FORM,
        "Who speaks TLS to a plain port is told so at once, not after a timeout.",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        level=SHOULD,
    ),
    refused(
        "noise",
        _FORM,
        "Bytes without any line end are refused by the first one that no request has.",
        bytes(range(128, 256)),
        level=SHOULD,
    ),
)
