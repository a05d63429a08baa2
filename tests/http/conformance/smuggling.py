"""Requests made to hide another one: pairs that two readers would cut differently.

Each row ends with a request that a lenient reader takes for the next one, or for a body. It must
reach the application exactly where the RFC says that it starts, or not at all.
"""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import OURS, SHOULD, Case, Seen, refused, taken

RULE: Final = "RFC 9112 section 11.2"
START: Final = b"POST / HTTP/1.1\r\nHost: a\r\n"
HIDDEN: Final = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
LENGTH: Final = b"Content-Length: %d\r\n" % (len(HIDDEN) + 5)
CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
BODY: Final = b"0\r\n\r\n" + HIDDEN
HIDDEN_SEEN: Final = Seen(b"GET", b"/hidden")

_PAIRS: Final = (
    refused(
        f"smuggle-{name}",
        RULE,
        why,
        START + fields + b"\r\n" + BODY,
    )
    for name, why, fields in (
        ("length-and-chunked", "One reads the length, the other the chunks.", LENGTH + CHUNKED),
        ("chunked-and-length", "In the other order as well.", CHUNKED + LENGTH),
        (
            "short-length-and-chunked",
            "A length that fits the last chunk shows no error to one who reads chunks.",
            b"Content-Length: 5\r\n" + CHUNKED,
        ),
        (
            "two-lengths",
            "One takes the first length, the other the last.",
            b"Content-Length: 5\r\n" + LENGTH,
        ),
        (
            "length-with-blank-before-colon",
            "One sees a length, the other an unknown field.",
            b"Content-Length : 5\r\n" + LENGTH,
        ),
        (
            "length-behind-blank",
            "One sees a length, the other a folded line.",
            b"X: y\r\n Content-Length: 5\r\n",
        ),
        (
            "chunked-behind-blank",
            "The same with a coding.",
            b"X: y\r\n Transfer-Encoding: chunked\r\n" + LENGTH,
        ),
        (
            "chunked-with-blank-before-colon",
            "One sees a coding, the other none.",
            b"Transfer-Encoding : chunked\r\n" + LENGTH,
        ),
        (
            "chunked-with-tab-before-colon",
            "With a tab it is the same.",
            b"Transfer-Encoding\t: chunked\r\n" + LENGTH,
        ),
        (
            "chunked-behind-vertical-tab",
            "For one that is white space, for the other a coding of its own.",
            b"Transfer-Encoding: \x0bchunked\r\n" + LENGTH,
        ),
        (
            "chunked-with-letter",
            "One looks for the word anywhere in the value.",
            b"Transfer-Encoding: xchunked\r\n" + LENGTH,
        ),
        (
            "chunked-in-quotes",
            "One takes quotes away.",
            b'Transfer-Encoding: "chunked"\r\n' + LENGTH,
        ),
        (
            "chunked-on-folded-line",
            "One unfolds.",
            b"Transfer-Encoding:\r\n chunked\r\n" + LENGTH,
        ),
        (
            "chunked-twice-with-junk",
            "One takes the first coding, the other the last.",
            CHUNKED + b"Transfer-encoding: x\r\n",
        ),
        (
            "chunked-behind-cr",
            "For one a CR ends a line.",
            b"X: y\rTransfer-Encoding: chunked\r\n" + LENGTH,
        ),
        (
            "chunked-behind-lf",
            "For one an LF ends a line.",
            b"X: y\nTransfer-Encoding: chunked\r\n" + LENGTH,
        ),
        (
            "chunked-behind-nul",
            "For one a NUL ends a value.",
            b"X: y\x00Transfer-Encoding: chunked\r\n" + LENGTH,
        ),
        (
            "chunked-with-nul",
            "For one a NUL ends a value.",
            b"Transfer-Encoding: chunked\x00x\r\n" + LENGTH,
        ),
        (
            "length-with-plus",
            "One parses numbers as its language does.",
            b"Content-Length: +5\r\n",
        ),
        (
            "length-with-comma",
            "One takes the first of a list.",
            b"Content-Length: 5, %d\r\n" % (len(HIDDEN) + 5),
        ),
        (
            "length-in-hex",
            "One reads 0x5 as zero, the other as five.",
            b"Content-Length: 0x5\r\n",
        ),
        (
            "length-name-with-nul",
            "One takes the name up to the NUL.",
            b"Content-Length\x00: 5\r\n",
        ),
    )
)

_CHUNK_TRICKS: Final = (
    refused(
        f"smuggle-in-{name}",
        RULE,
        "Where a chunk's line ends must not depend on the reader.",
        START + CHUNKED + b"\r\n" + body,
        level=level,
    )
    for name, body, level in (
        ("extension-behind-lf", b"5;\nhello\r\n0\r\n\r\n" + HIDDEN, OURS),
        ("extension-with-lf", b"5;a=\n0\r\n\r\n" + HIDDEN, OURS),
        ("empty-extension", b"2;\r\nxx\r\n0\r\n\r\n" + HIDDEN, OURS),
        ("data-end", b"2\r\nxxyy\r\n0\r\n\r\n" + HIDDEN, SHOULD),
        ("data-end-of-lf", b"2\r\nxx\n0\r\n\r\n" + HIDDEN, SHOULD),
        ("size-that-wraps", b"10000000000000000\r\n\r\n" + HIDDEN, SHOULD),
        ("size-with-prefix", b"0x0\r\n\r\n" + HIDDEN, SHOULD),
        ("size-with-minus", b"-0\r\n\r\n" + HIDDEN, SHOULD),
        ("trailer", b"0\r\n" + HIDDEN, SHOULD),
    )
)

CASES: Final[tuple[Case, ...]] = (
    *_PAIRS,
    *_CHUNK_TRICKS,
    taken(
        "smuggle-in-body-of-get",
        RULE,
        "A GET may have a body, and it is not the next request.",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        Seen(b"GET", b"/", HIDDEN),
    ),
    taken(
        "smuggle-in-body-of-upgrade",
        RULE,
        "Nor is that of a request that asks for another protocol.",
        START
        + b"Connection: upgrade\r\nUpgrade: x\r\nContent-Length: %d\r\n\r\n" % len(HIDDEN)
        + HIDDEN,
        Seen(b"POST", b"/", HIDDEN),
    ),
    taken(
        "smuggle-in-chunk-of-upgrade",
        RULE,
        "Nor its chunks.",
        START
        + b"Connection: upgrade\r\nUpgrade: x\r\n"
        + CHUNKED
        + b"\r\n%x\r\n" % len(HIDDEN)
        + HIDDEN
        + b"\r\n0\r\n\r\n",
        Seen(b"POST", b"/", HIDDEN),
    ),
    taken(
        "smuggle-in-chunk",
        RULE,
        "Nor is data, however it looks.",
        START + CHUNKED + b"\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
        Seen(b"POST", b"/", BODY),
    ),
    taken(
        "smuggle-behind-length-zero",
        RULE,
        "Behind an empty body there is the next request, which everybody can see.",
        START + b"Content-Length: 0\r\n\r\n" + HIDDEN,
        Seen(b"POST", b"/"),
        HIDDEN_SEEN,
    ),
    taken(
        "smuggle-with-length-named-by-connection",
        "RFC 9110 section 7.6.1",
        "Naming a field in Connection does not take its meaning away here.",
        START + b"Connection: Content-Length\r\nContent-Length: 5\r\n\r\nhello",
        Seen(b"POST", b"/", b"hello"),
    ),
    taken(
        "smuggle-with-underscore",
        RULE,
        "A name with an underscore is another name.",
        START + b"Content_Length: %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
        Seen(b"POST", b"/"),
        HIDDEN_SEEN,
    ),
    taken(
        "smuggle-with-te",
        "RFC 9110 section 10.1.4",
        "TE is about the reply, and frames nothing.",
        START + b"TE: chunked\r\nContent-Length: 5\r\n\r\nhello",
        Seen(b"POST", b"/", b"hello"),
    ),
    taken(
        "smuggle-with-content-encoding",
        "RFC 9110 section 8.4",
        "Nor does a content coding, whatever its name.",
        START + b"Content-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        Seen(b"POST", b"/", b"hello"),
    ),
    taken(
        "smuggle-with-other-method",
        RULE,
        "A method is what the request line says.",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-HTTP-Method-Override: DELETE\r\n\r\n" + HIDDEN,
        Seen(b"GET", b"/"),
        HIDDEN_SEEN,
    ),
    refused(
        "smuggle-without-length-in-1.0",
        RULE,
        "A coding beside a length in HTTP/1.0 is refused, keep-alive or not.",
        b"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n"
        + LENGTH
        + CHUNKED
        + b"\r\n"
        + BODY,
    ),
    refused(
        "smuggle-with-first-line-behind-blank",
        "RFC 9112 section 2.2",
        "A coding behind the request line's white space is seen by some and not by others.",
        b"POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n" + LENGTH + b"\r\n" + BODY,
    ),
    refused(
        "smuggle-with-second-host",
        RULE,
        "Two Hosts send two readers to different places.",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + HIDDEN,
    ),
    refused(
        "smuggle-with-folded-host",
        RULE,
        "So does one that goes on in the next line.",
        b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n" + HIDDEN,
    ),
    refused(
        "smuggle-in-target",
        RULE,
        "A version inside a target would end it for one who looks for the first.",
        b"GET /x HTTP/1.1 /y HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
        level=SHOULD,
    ),
)
