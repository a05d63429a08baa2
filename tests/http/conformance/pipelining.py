"""Several requests in one go: order, and errors in the middle."""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import OURS, Case, Level, Seen, refused, taken

RULE: Final = "RFC 9112 section 9.3.2"
AFTER_ERROR: Final = "RFC 9112 section 9.6"


def get(path: bytes, fields: bytes = b"") -> bytes:
    """Give a request without a body."""
    return b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"


def post(path: bytes, body: bytes, fields: bytes = b"") -> bytes:
    """Give a request with a body."""
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\nHost: a\r\n" + length + fields + b"\r\n" + body


def chunked(path: bytes) -> bytes:
    """Give a request with a body in chunks."""
    start = b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return start + b"2\r\nhi\r\n0\r\nX: y\r\n\r\n"


def seen(*paths: bytes) -> tuple[Seen, ...]:
    """Give GET requests as the application gets them."""
    return tuple(Seen(b"GET", path) for path in paths)


_BAD: Final = (
    refused(
        f"pipeline-with-{name}",
        AFTER_ERROR,
        "What came before an error is answered, what follows it has no meaning.",
        get(b"/1") + get(b"/2") + bad + get(b"/4"),
        *seen(b"/1", b"/2"),
        status=status,
        level=level,
    )
    for name, bad, status, level in (
        ("bad-request-line", b"GET\r\n\r\n", 400, Level.SHOULD),
        ("no-host", b"GET /3 HTTP/1.1\r\n\r\n", 400, Level.MUST),
        ("bad-field", get(b"/3", b"X : y\r\n"), 400, Level.MUST),
        ("fold", get(b"/3", b" x\r\n"), 400, Level.MUST),
        ("two-lengths", get(b"/3", b"Content-Length: 0\r\nContent-Length: 1\r\n"), 400, Level.MUST),
        ("unknown-method", b"FOO /3 HTTP/1.1\r\nHost: a\r\n\r\n", 501, Level.SHOULD),
        ("unknown-version", b"GET /3 HTTP/3.0\r\nHost: a\r\n\r\n", 505, OURS),
        ("body-too-large", get(b"/3", b"Content-Length: 65537\r\n"), 413, OURS),
        ("unknown-coding", get(b"/3", b"Transfer-Encoding: x, chunked\r\n"), 501, Level.SHOULD),
        ("unknown-expectation", get(b"/3", b"Expect: x\r\n"), 417, OURS),
        ("bad-chunk", get(b"/3", b"Transfer-Encoding: chunked\r\n") + b"x\r\n", 400, Level.SHOULD),
        ("noise", b"\x00\xff\x00\xff", 400, Level.SHOULD),
    )
)

CASES: Final[tuple[Case, ...]] = (
    *_BAD,
    taken(
        "pipeline",
        RULE,
        "Replies come in the order of the requests.",
        get(b"/1") + get(b"/2") + get(b"/3"),
        *seen(b"/1", b"/2", b"/3"),
    ),
    taken(
        "pipeline-of-fifty",
        RULE,
        "However many there are.",
        b"".join(get(b"/%d" % number) for number in range(50)),
        *seen(*(b"/%d" % number for number in range(50))),
    ),
    taken(
        "pipeline-with-bodies",
        RULE,
        "A request starts where the body before it ends.",
        post(b"/1", b"hello") + get(b"/2") + chunked(b"/3") + post(b"/4", b"") + get(b"/5"),
        Seen(b"POST", b"/1", b"hello"),
        Seen(b"GET", b"/2"),
        Seen(b"POST", b"/3", b"hi"),
        Seen(b"POST", b"/4"),
        Seen(b"GET", b"/5"),
    ),
    taken(
        "pipeline-with-head",
        "RFC 9110 section 9.3.2",
        "A reply to HEAD has no content, so the next one follows its header.",
        get(b"/1") + b"HEAD /2 HTTP/1.1\r\nHost: a\r\n\r\n" + get(b"/3"),
        Seen(b"GET", b"/1"),
        Seen(b"HEAD", b"/2"),
        Seen(b"GET", b"/3"),
    ),
    taken(
        "pipeline-with-slow-ones",
        RULE,
        "A quick reply waits for the slow one before it, and no request overtakes another.",
        get(b"/slow?1") + get(b"/2") + get(b"/slow?3") + get(b"/slow?4") + get(b"/5"),
        *seen(b"/slow?1", b"/2", b"/slow?3", b"/slow?4", b"/5"),
    ),
    taken(
        "pipeline-with-empty-lines",
        "RFC 9112 section 2.2",
        "Empty lines between requests are skipped.",
        get(b"/1") + b"\r\n" + post(b"/2", b"hi") + b"\r\n\r\n" + get(b"/3"),
        Seen(b"GET", b"/1"),
        Seen(b"POST", b"/2", b"hi"),
        Seen(b"GET", b"/3"),
        level=Level.SHOULD,
    ),
    taken(
        "pipeline-with-upgrade",
        "RFC 9110 section 7.8",
        "Behind an upgrade that is ignored the client goes on in HTTP/1.1.",
        get(b"/1", b"Connection: upgrade\r\nUpgrade: h2c\r\n") + get(b"/2"),
        *seen(b"/1", b"/2"),
    ),
    taken(
        "pipeline-with-close",
        "RFC 9112 section 9.6",
        "Behind a request that closes nothing is answered.",
        get(b"/1") + get(b"/2", b"Connection: close\r\n") + get(b"/3"),
        *seen(b"/1", b"/2"),
        closes=True,
    ),
    taken(
        "pipeline-with-slow-close",
        "RFC 9112 section 9.6",
        "Also when its reply takes time.",
        get(b"/slow", b"Connection: close\r\n") + get(b"/2"),
        *seen(b"/slow"),
        closes=True,
    ),
    taken(
        "pipeline-with-1.0",
        "RFC 9112 section 9.3",
        "HTTP/1.0 without keep-alive ends it as well.",
        get(b"/1") + b"GET /2 HTTP/1.0\r\nHost: a\r\n\r\n" + get(b"/3"),
        *seen(b"/1", b"/2"),
        closes=True,
    ),
    taken(
        "pipeline-of-1.0",
        "RFC 9112 section 9.3",
        "With keep-alive it goes on, whatever version comes next.",
        b"GET /1 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n" + get(b"/2"),
        *seen(b"/1", b"/2"),
    ),
    Case(
        "pipeline-with-refusals-of-the-application",
        RULE,
        "An error that is no error of form does not end the connection.",
        (get(b"/posted") + get(b"/none") + get(b"/same") + get(b"/4"),),
        (405, 204, 304, 200),
        seen(b"/none", b"/same", b"/4"),
        methods=(b"GET",) * 4,
    ),
    taken(
        "pipeline-with-options-of-server",
        "RFC 9112 section 3.2.4",
        "Nor does the question what the server can do.",
        get(b"/1") + b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" + get(b"/3"),
        Seen(b"GET", b"/1"),
        Seen(b"OPTIONS", b"*"),
        Seen(b"GET", b"/3"),
    ),
    refused(
        "pipeline-that-starts-with-error",
        AFTER_ERROR,
        "Nothing behind the error is answered, be it as good as can be.",
        b"GET /1 HTTP/1.1\r\n\r\n" + get(b"/2") + get(b"/3"),
    ),
    refused(
        "pipeline-with-error-behind-slow-one",
        RULE,
        "The refusal waits for the slow reply before it.",
        get(b"/slow") + b"GET /2 HTTP/1.1\r\n\r\n" + get(b"/3"),
        *seen(b"/slow"),
    ),
    refused(
        "pipeline-with-short-length",
        RULE,
        "What is left of a body that is longer than it says is no request.",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n@@@@" + get(b"/2"),
        Seen(b"POST", b"/", b"@@"),
        level=Level.SHOULD,
    ),
    taken(
        "pipeline-with-long-length",
        RULE,
        "A body that is shorter than it says takes what follows.",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 38\r\n\r\n" + b"x" * 10 + get(b"/2"),
        Seen(b"POST", b"/", b"x" * 10 + get(b"/2")),
    ),
)
