"""Whether a connection goes on: the rules of HTTP/1.0 and 1.1, upgrades."""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import MUST, OURS, Case, Seen, taken

ROOT: Final = Seen(b"GET", b"/")
_RULE: Final = "RFC 9112 section 9.3"
_UPGRADE: Final = "RFC 9110 section 7.8"

_OPTIONS: Final = (
    taken(
        f"connection-{name}",
        _RULE,
        why,
        b"GET / HTTP/" + version + b"\r\nHost: a\r\n" + fields + b"\r\n",
        ROOT,
        closes=closes,
    )
    for name, version, fields, closes, why in (
        ("1.1", b"1.1", b"", False, "Connections of HTTP/1.1 go on."),
        ("1.1-close", b"1.1", b"Connection: close\r\n", True, "Close ends them."),
        ("1.1-close-in-capitals", b"1.1", b"Connection: CLOSE\r\n", True, "In any case."),
        ("1.1-close-in-list", b"1.1", b"Connection: x, close, y\r\n", True, "In a list."),
        ("1.1-close-in-tight-list", b"1.1", b"Connection: x,close\r\n", True, "Without blanks."),
        ("1.1-close-behind-comma", b"1.1", b"Connection: , close\r\n", True, "Behind nothing."),
        (
            "1.1-close-in-second-line",
            b"1.1",
            b"Connection: x\r\nConnection: close\r\n",
            True,
            "In any line of that name.",
        ),
        (
            "1.1-close-before-keep-alive",
            b"1.1",
            b"Connection: close, keep-alive\r\n",
            True,
            "Whatever else is said behind it.",
        ),
        (
            "1.1-close-behind-keep-alive",
            b"1.1",
            b"Connection: keep-alive\r\nConnection: close\r\n",
            True,
            "Or before it.",
        ),
        ("1.1-keep-alive", b"1.1", b"Connection: keep-alive\r\n", False, "Asking changes nothing."),
        ("1.1-closed", b"1.1", b"Connection: closed\r\n", False, "Closed is another word."),
        ("1.1-empty", b"1.1", b"Connection:\r\n", False, "No option is no option."),
        ("1.1-proxy", b"1.1", b"Proxy-Connection: close\r\n", False, "That field has no meaning."),
        ("1.0", b"1.0", b"", True, "Connections of HTTP/1.0 end."),
        ("1.0-keep-alive", b"1.0", b"Connection: keep-alive\r\n", False, "Unless it is asked."),
        ("1.0-keep-alive-capitals", b"1.0", b"Connection: Keep-Alive\r\n", False, "In any case."),
        ("1.0-keep-alive-in-list", b"1.0", b"Connection: x, keep-alive\r\n", False, "In a list."),
        ("1.0-close", b"1.0", b"Connection: close\r\n", True, "Close ends them as well."),
        (
            "1.0-close-before-keep-alive",
            b"1.0",
            b"Connection: close, keep-alive\r\n",
            True,
            "Close wins over keep-alive.",
        ),
        (
            "1.0-close-behind-keep-alive",
            b"1.0",
            b"Connection: keep-alive, close\r\n",
            True,
            "Close wins wherever it stands.",
        ),
        ("1.0-keep-alive-field", b"1.0", b"Keep-Alive: 300\r\n", True, "That field asks nothing."),
    )
)

_UPGRADES: Final = (
    taken(
        f"upgrade-{name}",
        _UPGRADE,
        "A server may ignore an upgrade, and reads on in HTTP/1.1.",
        method + b" / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + sent,
        Seen(method, b"/", body),
    )
    for name, method, fields, sent, body in (
        ("websocket", b"GET", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"", b""),
        (
            "h2c",
            b"GET",
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            b"",
            b"",
        ),
        ("list", b"OPTIONS", b"Connection: upgrade\r\nUpgrade: TLS/1.3, x/1\r\n", b"", b""),
        ("unnamed", b"GET", b"Connection: upgrade\r\n", b"", b""),
        ("without-option", b"GET", b"Upgrade: websocket\r\n", b"", b""),
        (
            "with-length",
            b"POST",
            b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 18\r\n",
            b"GET /x HTTP/1.1\r\n\r",
            b"GET /x HTTP/1.1\r\n\r",
        ),
        (
            "with-chunks",
            b"POST",
            b"Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n",
            b"5\r\nhello\r\n0\r\n\r\n",
            b"hello",
        ),
        (
            "with-length-zero",
            b"POST",
            b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n",
            b"",
            b"",
        ),
    )
)

CASES: Final[tuple[Case, ...]] = (
    *_OPTIONS,
    *_UPGRADES,
    taken(
        "upgrade-in-1.0",
        _UPGRADE,
        "An upgrade in HTTP/1.0 is none.",
        b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        ROOT,
        closes=True,
    ),
    taken(
        "upgrade-and-close",
        _RULE,
        "Close counts beside an upgrade, too.",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n",
        ROOT,
        closes=True,
    ),
    taken(
        "close-with-body",
        _RULE,
        "The body of the last request is read to its end.",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        Seen(b"POST", b"/", b"hello"),
        closes=True,
    ),
    Case(
        "nothing-but-an-end",
        "RFC 9112 section 9.5",
        "A client may leave without a word.",
        (b"",),
        (),
        closes=True,
        ends=True,
    ),
    Case(
        "end-behind-request",
        "RFC 9112 section 9.6",
        "Who has closed his own side still gets what he asked for.",
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",),
        (200,),
        (ROOT,),
        closes=True,
        ends=True,
        level=OURS,
    ),
    Case(
        "no-content",
        "RFC 9110 section 8.6",
        "A reply 204 has neither content nor a length, and the connection goes on.",
        (b"GET /none HTTP/1.1\r\nHost: a\r\n\r\n",),
        (204,),
        (Seen(b"GET", b"/none"),),
        level=MUST,
    ),
    Case(
        "not-modified",
        "RFC 9112 section 6.3",
        "A reply 304 ends with its header, and the connection goes on.",
        (b"GET /same HTTP/1.1\r\nHost: a\r\n\r\n",),
        (304,),
        (Seen(b"GET", b"/same"),),
        level=MUST,
    ),
)
