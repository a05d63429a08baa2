"""HEAD: the header of a reply without its content, whatever becomes of the request."""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import MUST, OURS, SHOULD, Case, Seen, refused, taken

RULE: Final = "RFC 9110 section 9.3.2"
_WHY: Final = "A reply to HEAD has no content, be it an error: the client would read on in it."

_REFUSED: Final = (
    refused(
        f"head-{name}",
        RULE,
        _WHY,
        b"HEAD " + target + b" HTTP/" + version + b"\r\n" + fields + b"\r\n",
        status=status,
        level=level,
        methods=(b"HEAD",),
    )
    for name, target, version, fields, status, level in (
        ("without-host", b"/", b"1.1", b"", 400, MUST),
        ("with-two-hosts", b"/", b"1.1", b"Host: a\r\nHost: b\r\n", 400, MUST),
        ("with-bad-field", b"/", b"1.1", b"Host: a\r\nX : y\r\n", 400, MUST),
        ("with-bad-target", b"/#", b"1.1", b"Host: a\r\n", 400, SHOULD),
        ("with-bad-length", b"/", b"1.1", b"Host: a\r\nContent-Length: x\r\n", 400, MUST),
        ("with-large-body", b"/", b"1.1", b"Host: a\r\nContent-Length: 65537\r\n", 413, OURS),
        ("with-long-target", b"/" + b"x" * 8192, b"1.1", b"Host: a\r\n", 414, MUST),
        ("with-expectation", b"/", b"1.1", b"Host: a\r\nExpect: x\r\n", 417, OURS),
        ("with-large-header", b"/", b"1.1", b"Host: a\r\nX: " + b"y" * 16384 + b"\r\n", 431, OURS),
        ("of-2.0", b"/", b"2.0", b"Host: a\r\n", 505, OURS),
    )
)

CASES: Final[tuple[Case, ...]] = (
    *_REFUSED,
    taken(
        "head",
        RULE,
        "A client that knows this reads the next reply where the header ends.",
        b"HEAD /x?y HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Seen(b"HEAD", b"/x?y"),
        Seen(b"GET", b"/"),
    ),
    Case(
        "head-of-what-is-not-allowed",
        RULE,
        "Nor does the application's own error have content.",
        (b"HEAD /posted HTTP/1.1\r\nHost: a\r\n\r\n",),
        (405,),
        methods=(b"HEAD",),
    ),
    Case(
        "head-of-no-content",
        "RFC 9110 section 15.3.5",
        "Two reasons for no content are as good as one.",
        (b"HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n",),
        (204,),
        (Seen(b"HEAD", b"/none"),),
    ),
    taken(
        "head-of-1.0",
        RULE,
        "HTTP/1.0 has HEAD too.",
        b"HEAD / HTTP/1.0\r\n\r\n",
        Seen(b"HEAD", b"/", host=b""),
        closes=True,
    ),
)
