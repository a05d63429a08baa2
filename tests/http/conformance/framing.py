"""How long a body is: Content-Length, Transfer-Encoding, and both in all broken forms."""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import OURS, SHOULD, Case, Seen, refused, taken

START: Final = b"POST / HTTP/1.1\r\nHost: a\r\n"
HELLO: Final = Seen(b"POST", b"/", b"hello")
CHUNKS: Final = b"\r\n5\r\nhello\r\n0\r\n\r\n"

_LENGTH: Final = "RFC 9110 section 8.6"
_BODY: Final = "RFC 9112 section 6.3"
_CODING: Final = "RFC 9112 section 6.1"

_LENGTHS: Final = (
    taken(
        f"length-{name}",
        _LENGTH,
        "Content-Length is a decimal number of any number of digits.",
        START + b"Content-Length:" + value + b"\r\n\r\n" + body,
        Seen(b"POST", b"/", body),
    )
    for name, value, body in (
        ("plain", b" 5", b"hello"),
        ("zero", b" 0", b""),
        ("zeros", b" 000", b""),
        ("leading-zeros", b" 0005", b"hello"),
        ("thousands-of-zeros", b" " + b"0" * 5000, b""),
        ("white-space-around", b" \t5\t ", b"hello"),
        ("no-blank", b"5", b"hello"),
        ("of-control-bytes", b" 4", b"\x00\r\n\xff"),
    )
)

_BAD_LENGTHS: Final = (
    refused(
        f"length-{name}",
        _BODY,
        "Content-Length is digits and nothing else; where the body ends is unknown otherwise.",
        START + b"Content-Length:" + value + b"\r\n\r\nhello",
    )
    for name, value in (
        ("empty", b""),
        ("plus", b" +5"),
        ("minus", b" -5"),
        ("minus-zero", b" -0"),
        ("two-numbers", b" 5 5"),
        ("hexadecimal", b" 0x5"),
        ("fraction", b" 5.0"),
        ("exponent", b" 5e0"),
        ("underscore", b" 0_5"),
        ("letters", b" five"),
        ("letter-behind", b" 5a"),
        ("semicolon-behind", b" 5;"),
        ("quotes", b' "5"'),
        ("arabic-digit", b" \xd9\xa5"),
        ("wide-digit", b" \xef\xbc\x95"),
        ("superscript", b" \xb2"),
        ("nul-behind", b" 5\x00"),
        ("nul-inside", b" 5\x005"),
        ("vertical-tab-before", b" \x0b5"),
        ("form-feed-behind", b" 5\x0c"),
        ("list-of-different", b" 5, 6"),
        ("list-with-no-number", b" 5, x"),
    )
)

_REPEATED: Final = (
    refused(
        name,
        _BODY,
        "A repeated length could be taken once, but is a sign of somebody's mischief.",
        START + fields + b"\r\n\r\nhello",
        level=OURS,
    )
    for name, fields in (
        ("length-list-of-equal", b"Content-Length: 5, 5"),
        ("length-list-with-empty-end", b"Content-Length: 5,"),
        ("length-list-with-empty-start", b"Content-Length: ,5"),
        ("length-twice", b"Content-Length: 5\r\nContent-Length: 5"),
        ("length-twice-apart", b"Content-Length: 5\r\nX: y\r\ncontent-length: 5"),
    )
)

_DIFFERENT: Final = (
    refused(
        name,
        _BODY,
        "Lengths that differ leave the end of the body unknown.",
        START + fields + b"\r\n\r\nhello",
    )
    for name, fields in (
        ("lengths-that-differ", b"Content-Length: 5\r\nContent-Length: 6"),
        ("lengths-zero-and-more", b"Content-Length: 0\r\nContent-Length: 5"),
        ("lengths-more-and-zero", b"Content-Length: 5\r\nContent-Length: 0"),
        ("lengths-equal-as-numbers", b"Content-Length: 5\r\nContent-Length: 05"),
        ("length-and-empty-length", b"Content-Length: 5\r\nContent-Length:"),
    )
)

_CODINGS: Final = (
    taken(
        f"coding-{name}",
        "RFC 9112 section 7",
        "The names of codings are case-insensitive, and white space around them is none of them.",
        START + b"Transfer-Encoding:" + value + b"\r\n" + CHUNKS,
        HELLO,
    )
    for name, value in (
        ("chunked", b" chunked"),
        ("capitals", b" CHUNKED"),
        ("mixed", b" Chunked"),
        ("no-blank", b"chunked"),
        ("tab", b"\tchunked"),
        ("blank-behind", b" chunked "),
        ("tab-behind", b" chunked\t"),
    )
)

_BAD_CODINGS: Final = (
    refused(
        f"coding-{name}",
        _BODY,
        "Where chunked is not the last coding of a request, nobody knows where it ends.",
        START + b"Transfer-Encoding:" + value + b"\r\n" + CHUNKS,
    )
    for name, value in (
        ("empty", b""),
        ("identity", b" identity"),
        ("gzip", b" gzip"),
        ("unknown", b" cow"),
        ("letter-before", b" xchunked"),
        ("letter-behind", b" chunkedx"),
        ("two-words", b" chunked x"),
        ("cut", b" chunke"),
        ("blank-inside", b" chu nked"),
        ("quotes", b' "chunked"'),
        ("parameter", b" chunked;q=1"),
        ("semicolon", b" chunked;"),
        ("chunked-then-gzip", b" chunked, gzip"),
        ("chunked-then-identity", b" chunked, identity"),
        ("chunked-twice", b" chunked, chunked"),
        ("nul-behind", b" chunked\x00"),
        ("vertical-tab-before", b" \x0bchunked"),
        ("vertical-tab-behind", b" chunked\x0b"),
        ("latin-1-blank", b" \xa0chunked"),
        ("kelvin-sign", b" chun\xe2\x84\xaaed"),
    )
)

_OTHER_CODINGS: Final = (
    refused(
        f"coding-{name}",
        _CODING,
        "A coding that the server does not undo gets 501.",
        START + fields + b"\r\n" + CHUNKS,
        status=501,
        level=SHOULD,
    )
    for name, fields in (
        ("gzip-then-chunked", b"Transfer-Encoding: gzip, chunked"),
        ("unknown-then-chunked", b"Transfer-Encoding: cow, chunked"),
        ("gzip-then-chunked-without-blank", b"Transfer-Encoding: gzip,chunked"),
        (
            "gzip-then-chunked-in-two-lines",
            b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        ),
    )
)

_EMPTY_MEMBERS: Final = (
    refused(
        f"coding-{name}",
        _CODING,
        "Readers of lists disagree on empty members, so the value is chunked and nothing else.",
        START + fields + b"\r\n" + CHUNKS,
        level=OURS,
    )
    for name, fields in (
        ("empty-then-chunked", b"Transfer-Encoding: , chunked"),
        ("chunked-then-empty", b"Transfer-Encoding: chunked,"),
        ("empty-line-then-chunked", b"Transfer-Encoding:\r\nTransfer-Encoding: chunked"),
        ("chunked-then-empty-line", b"Transfer-Encoding: chunked\r\nTransfer-Encoding:"),
    )
)

_TWO_CODINGS: Final = (
    refused(
        f"coding-lines-{name}",
        _CODING,
        "Nobody may apply chunked twice, and nothing comes behind it.",
        START + fields + b"\r\n" + CHUNKS,
    )
    for name, fields in (
        ("chunked-twice", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ("chunked-then-identity", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        ("chunked-then-unknown", b"Transfer-Encoding: chunked\r\ntransfer-encoding: x"),
    )
)

_BOTH: Final = (
    refused(
        name,
        _CODING,
        "A length beside a coding is an attempt to make two readers disagree.",
        start + fields + b"\r\n" + CHUNKS,
    )
    for name, start, fields in (
        ("length-then-coding", START, b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        ("coding-then-length", START, b"Transfer-Encoding: chunked\r\nContent-Length: 5"),
        ("coding-and-right-length", START, b"Transfer-Encoding: chunked\r\nContent-Length: 15"),
        ("coding-and-length-zero", START, b"Transfer-Encoding: chunked\r\nContent-Length: 0"),
        ("coding-and-bad-length", START, b"Transfer-Encoding: chunked\r\nContent-Length: x"),
        ("identity-and-length", START, b"Transfer-Encoding: identity\r\nContent-Length: 15"),
        (
            "coding-and-length-in-1.0",
            b"POST / HTTP/1.0\r\n",
            b"Transfer-Encoding: chunked\r\nContent-Length: 15",
        ),
    )
)

_BODIES: Final = (
    taken(
        f"body-of-{method.decode().lower()}",
        "RFC 9112 section 6",
        "Framing does not depend on the method: what has a length is read as a body.",
        method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        Seen(method, b"/", b"hello"),
    )
    for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PUT", b"PATCH")
)

CASES: Final[tuple[Case, ...]] = (
    *_LENGTHS,
    *_BAD_LENGTHS,
    *_REPEATED,
    *_DIFFERENT,
    *_CODINGS,
    *_BAD_CODINGS,
    *_OTHER_CODINGS,
    *_EMPTY_MEMBERS,
    *_TWO_CODINGS,
    *_BOTH,
    *_BODIES,
    taken(
        "no-length",
        _BODY,
        "A request that says nothing of a body has none.",
        START + b"\r\n",
        Seen(b"POST", b"/"),
    ),
    taken(
        "body-of-1.0",
        _BODY,
        "HTTP/1.0 has lengths as well.",
        b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
        Seen(b"POST", b"/", b"hello", b""),
        closes=True,
    ),
    taken(
        "chunked-body-of-get",
        "RFC 9112 section 6",
        "Chunks have nothing to do with the method either.",
        b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + CHUNKS,
        Seen(b"GET", b"/", b"hello"),
    ),
    taken(
        "body-in-pieces",
        _BODY,
        "A body is whole when its length has come, however slowly.",
        (START + b"Content-Length: 5\r\n\r\n", b"he", b"llo"),
        HELLO,
    ),
    refused(
        "coding-in-1.0",
        _CODING,
        "HTTP/1.0 has no Transfer-Encoding: whoever passed it on has not understood it.",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + CHUNKS,
    ),
    refused(
        "coding-in-1.0-with-keep-alive",
        _CODING,
        "Nor does keep-alive give it one.",
        b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n" + CHUNKS,
    ),
    Case(
        "unfinished-body",
        "RFC 9112 section 8",
        "A request whose client leaves before its end is no request.",
        (START + b"Content-Length: 5\r\n\r\nhell",),
        (),
        closes=True,
        ends=True,
    ),
    Case(
        "unfinished-header",
        "RFC 9112 section 8",
        "Nor is one without the empty line.",
        (b"GET / HTTP/1.1\r\nHost: a\r\n",),
        (),
        closes=True,
        ends=True,
    ),
)
