"""The Host field: exactly one, and a host with perhaps a port."""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import MUST, OURS, Case, Seen, refused, taken

_RULE: Final = "RFC 9112 section 3.2"
_FORM: Final = "RFC 9110 section 7.2"
_START: Final = b"GET / HTTP/1.1\r\n"

_GOOD: Final = (
    taken(
        f"host-{name}",
        _FORM,
        "A name or an address, and perhaps a port.",
        _START + b"Host: " + value + b"\r\n\r\n",
        Seen(b"GET", b"/", host=host),
    )
    for name, value, host in (
        ("name", b"example.test", b"example.test"),
        ("port", b"a:80", b"a"),
        ("highest-port", b"a:65535", b"a"),
        ("empty-port", b"a:", b"a"),
        ("port-with-zeros", b"a:00080", b"a"),
        ("port-with-thousands-of-zeros", b"a:" + b"0" * 5000, b"a"),
        ("final-dot", b"example.test.", b"example.test."),
        ("underscore", b"a_b", b"a_b"),
        ("escape", b"a%41", b"a%41"),
        ("sub-delimiters", b"!$&'()*+,;=", b"!$&'()*+,;="),
        ("ipv4", b"127.0.0.1:8080", b"127.0.0.1"),
        ("ipv6", b"[::1]", b"[::1]"),
        ("ipv6-and-port", b"[2001:db8::1]:8080", b"[2001:db8::1]"),
        ("ipv6-of-all-groups", b"[1:2:3:4:5:6:7:8]", b"[1:2:3:4:5:6:7:8]"),
        ("ipv6-with-ipv4", b"[::ffff:127.0.0.1]", b"[::ffff:127.0.0.1]"),
        ("address-of-the-future", b"[v1.x:y]", b"[v1.x:y]"),
        ("white-space-around", b" \ta\t ", b"a"),
        ("long", b"a" * 255, b"a" * 255),
    )
)

_BAD: Final = (
    refused(
        f"host-{name}",
        _RULE,
        "A value that is not uri-host with an optional port is refused.",
        _START + b"Host: " + value + b"\r\n\r\n",
        level=level,
    )
    for name, value, level in (
        ("empty", b"", OURS),
        ("blank", b"a b", MUST),
        ("tab", b"a\tb", MUST),
        ("list", b"a, b", MUST),
        ("path", b"a/b", MUST),
        ("query", b"a?b", MUST),
        ("fragment", b"a#b", MUST),
        ("backslash", b"a\\b", MUST),
        ("user", b"u@a", MUST),
        ("uri", b"http://a", MUST),
        ("quotes", b'"a"', MUST),
        ("angle-brackets", b"<a>", MUST),
        ("caret", b"a^b", MUST),
        ("bar", b"a|b", MUST),
        ("brace", b"{a}", MUST),
        ("umlaut", b"\xc3\xa4", MUST),
        ("broken-escape", b"a%4", MUST),
        ("escape-of-no-digits", b"a%zz", MUST),
        ("port-alone", b":80", OURS),
        ("port-of-letters", b"a:b", MUST),
        ("port-with-sign", b"a:+80", MUST),
        ("negative-port", b"a:-80", MUST),
        ("port-with-blank", b"a: 80", MUST),
        ("port-with-underscore", b"a:8_0", MUST),
        ("port-too-high", b"a:65536", OURS),
        ("port-of-thousands-of-digits", b"a:" + b"9" * 5000, OURS),
        ("two-ports", b"a:80:80", MUST),
        ("ipv6-without-brackets", b"::1", MUST),
        ("open-bracket", b"[::1", MUST),
        ("closing-bracket", b"::1]", MUST),
        ("empty-brackets", b"[]", MUST),
        ("name-in-brackets", b"[a.test]", MUST),
        ("ipv4-in-brackets", b"[127.0.0.1]", MUST),
        ("behind-brackets", b"[::1]a", MUST),
        ("ipv6-zone", b"[fe80::1%25eth0]", MUST),
        ("ipv6-of-nine-groups", b"[1:2:3:4:5:6:7:8:9]", MUST),
        ("ipv6-of-seven-groups", b"[1:2:3:4:5:6:7]", MUST),
        ("ipv6-with-two-gaps", b"[1::2::3]", MUST),
        ("ipv6-of-three-colons", b"[:::1]", MUST),
        ("ipv6-of-five-digits", b"[12345::]", MUST),
        ("ipv6-with-bad-ipv4", b"[::256.0.0.1]", MUST),
        ("address-of-no-future", b"[vx.y]", MUST),
    )
)

CASES: Final[tuple[Case, ...]] = (
    *_GOOD,
    *_BAD,
    taken(
        "host-behind-other-fields",
        "RFC 9110 section 5.3",
        "Host need not come first.",
        _START + b"X: y\r\nY: z\r\nHost: a\r\n\r\n",
        Seen(b"GET", b"/"),
    ),
    refused("no-host", _RULE, "HTTP/1.1 needs a Host.", _START + b"\r\n"),
    refused(
        "no-host-among-fields", _RULE, "Other fields make up for none.", _START + b"X: a\r\n\r\n"
    ),
    refused(
        "two-hosts",
        _RULE,
        "Two Hosts let two readers choose differently.",
        _START + b"Host: a\r\nHost: b\r\n\r\n",
    ),
    refused(
        "two-equal-hosts",
        _RULE,
        "Also when they are equal.",
        _START + b"Host: a\r\nX: y\r\nhost: a\r\n\r\n",
    ),
    refused(
        "second-host-empty",
        _RULE,
        "Also when one is empty.",
        _START + b"Host: a\r\nHost:\r\n\r\n",
    ),
    refused(
        "host-in-trailer",
        "RFC 9110 section 6.5.1",
        "A trailer is no place for a field that says where a request goes.",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: a\r\n\r\n",
    ),
    taken(
        "no-host-in-1.0",
        _RULE,
        "HTTP/1.0 knows no Host.",
        b"GET / HTTP/1.0\r\n\r\n",
        Seen(b"GET", b"/", host=b""),
        closes=True,
    ),
    refused(
        "two-hosts-in-1.0",
        _RULE,
        "Two Hosts are refused in any version.",
        b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
    ),
    refused(
        "bad-host-in-1.0",
        _RULE,
        "So is a bad one.",
        b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n",
    ),
)
