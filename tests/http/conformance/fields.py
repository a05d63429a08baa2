"""Field lines: names, colons, white space, control bytes, folding, line ends."""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import MUST, OURS, SHOULD, Case, Seen, refused, taken

START: Final = b"GET / HTTP/1.1\r\n"
END: Final = b"\r\nHost: a\r\n\r\n"

ROOT: Final = Seen(b"GET", b"/")
_NAME: Final = "RFC 9110 section 5.1"
_LINE: Final = "RFC 9112 section 5.1"
_VALUE: Final = "RFC 9110 section 5.5"
_FOLD: Final = "RFC 9112 section 5.2"

_GOOD: Final = (
    taken(f"field-{name}", rule, why, START + line + END, ROOT)
    for name, rule, why, line in (
        ("no-blank", _LINE, "White space behind the colon is optional.", b"X:y"),
        ("blanks", _LINE, "There may be a lot of it, and behind the value too.", b"X: \t  y \t "),
        ("empty", _VALUE, "A value may be empty.", b"X:"),
        ("blank-value", _VALUE, "A value of blanks is an empty one.", b"X: \t "),
        ("tab-inside", _VALUE, "Tabs separate words of a value like blanks.", b"X: a\tb"),
        ("colons", _VALUE, "The first colon ends the name, others are of the value.", b"X: a:b::"),
        ("quotes", _VALUE, "A quote that never closes is no matter here.", b'X: "a'),
        ("latin-1", _VALUE, "Bytes above ASCII are opaque data.", b"X: \xe4\xff\x80"),
        ("utf-8", _VALUE, "So is UTF-8.", b"X: \xe2\x82\xac"),
        ("all-token-marks", _NAME, "A name is a token.", b"!#$%&'*+-.^_`|~09AZaz: y"),
        ("one-letter-name", _NAME, "It may be short.", b"x: y"),
        ("digits-name", _NAME, "It may be a number.", b"123: y"),
        ("repeated", "RFC 9110 section 5.2", "Lines of one name make a list.", b"X: a\r\nx: b"),
        (
            "of-eight-thousand-bytes",
            "RFC 9110 section 5.4",
            "Long is not large.",
            b"X: " + b"y" * 8000,
        ),
        ("like-a-request", _VALUE, "A value is not looked into.", b"X: GET / HTTP/1.1"),
    )
)

_BAD_LINES: Final = (
    refused(f"field-{name}", rule, why, START + line + END, level=level)
    for name, rule, why, line, level in (
        ("blank-before-colon", _LINE, "A name ends at its colon.", b"X : y", MUST),
        ("tab-before-colon", _LINE, "A name ends at its colon.", b"X\t: y", MUST),
        ("blank-in-name", _NAME, "Names have no blanks.", b"X Y: z", MUST),
        ("no-colon", _LINE, "Without a colon it is no field.", b"X", SHOULD),
        ("no-colon-but-blank", _LINE, "Without a colon it is no field.", b"X y", SHOULD),
        ("no-name", _NAME, "A name has at least a character.", b": y", SHOULD),
        ("colon-alone", _NAME, "A name has at least a character.", b":", SHOULD),
        ("blank-line-of-blanks", _FOLD, "White space starts a folded line.", b"X: y\r\n ", MUST),
        ("fold", _FOLD, "Values are in one line.", b"X: y\r\n z", MUST),
        ("fold-with-tab", _FOLD, "Values are in one line.", b"X: y\r\n\tz", MUST),
        ("fold-of-empty-value", _FOLD, "Values are in one line.", b"X:\r\n z", MUST),
        ("fold-like-a-field", _FOLD, "Values are in one line.", b"X: y\r\n Y: z", MUST),
        ("request-line-again", _LINE, "It has no name before its colon.", b"GET http://a/", SHOULD),
    )
)

_FIRST_LINES: Final = (
    refused(
        f"first-field-behind-{name}",
        "RFC 9112 section 2.2",
        "White space behind the request line would hide a field from some readers.",
        START + blank + b"X: y" + END,
    )
    for name, blank in (("blank", b" "), ("tab", b"\t"), ("blanks", b"   "))
)

_BAD_NAMES: Final = (
    refused(
        f"name-with-{name}",
        _NAME,
        "A name is a token.",
        START + b"X" + byte + b"Y: z" + END,
        level=SHOULD,
    )
    for name, byte in (
        ("nul", b"\x00"),
        ("bell", b"\x07"),
        ("vertical-tab", b"\x0b"),
        ("del", b"\x7f"),
        ("latin-1", b"\xe4"),
        ("byte-128", b"\x80"),
        ("quote", b'"'),
        ("bracket", b"("),
        ("comma", b","),
        ("slash", b"/"),
        ("semicolon", b";"),
        ("less", b"<"),
        ("equals", b"="),
        ("question-mark", b"?"),
        ("at", b"@"),
        ("square-bracket", b"["),
        ("backslash", b"\\"),
        ("brace", b"{"),
    )
)

_BAD_VALUES: Final = (
    refused(
        f"value-with-{byte:02x}",
        _VALUE,
        "A value holds no control characters; other programs would end it, or a line, there.",
        START + b"X: y" + bytes([byte]) + b"z" + END,
        level=MUST if byte in b"\x00\r" else OURS,
    )
    for byte in (0, 1, 7, 8, 10, 11, 12, 13, 14, 27, 31, 127)
)

_BAD_EDGES: Final = (
    refused(
        name,
        "RFC 9110 section 5.5",
        "A control character is one at the edge of a value, too.",
        START + line + END,
        level=OURS,
    )
    for name, line in (
        ("value-that-starts-with-vertical-tab", b"X:\x0by"),
        ("value-that-ends-with-form-feed", b"X: y\x0c"),
        ("value-of-one-nul", b"X: \x00"),
        ("value-that-ends-with-del", b"X: y\x7f"),
    )
)

_LINE_ENDS: Final = (
    refused(
        name,
        "RFC 9112 section 2.2",
        "A line ends with CR and LF, and a header with an empty line that ends so.",
        START + rest,
        level=MUST if b"\r" in rest.replace(b"\r\n", b"") else OURS,
    )
    for name, rest in (
        ("field-that-ends-with-lf", b"X: y\nHost: a\r\n\r\n"),
        ("field-that-ends-with-cr", b"X: y\rHost: a\r\n\r\n"),
        ("field-that-ends-with-cr-cr-lf", b"X: y\r\r\nHost: a\r\n\r\n"),
        ("field-that-ends-with-lf-cr", b"X: y\n\rHost: a\r\n\r\n"),
        ("header-that-ends-with-lf", b"Host: a\r\n\n"),
        ("header-that-ends-with-lf-lf", b"Host: a\n\n"),
        ("header-that-ends-with-lf-cr-lf", b"Host: a\n\r\n"),
        ("header-that-ends-with-cr-cr-lf", b"Host: a\r\n\r\r\nX: y\r\n\r\n"),
        ("empty-value-that-ends-with-lf", b"X:\nHost: a\r\n\r\n"),
        ("name-that-ends-with-crlf", b"X\r\n: y\r\nHost: a\r\n\r\n"),
        ("cr-in-name", b"X\rY: z\r\nHost: a\r\n\r\n"),
    )
)

CASES: Final[tuple[Case, ...]] = (
    *_GOOD,
    *_BAD_LINES,
    *_FIRST_LINES,
    *_BAD_NAMES,
    *_BAD_VALUES,
    *_BAD_EDGES,
    *_LINE_ENDS,
    taken(
        "names-in-any-case",
        _NAME,
        "Names are case-insensitive, those that frame a message as well.",
        b"POST / HTTP/1.1\r\nhOsT: a\r\ncONTENT-lENGTH: 2\r\n\r\nhi",
        Seen(b"POST", b"/", b"hi"),
    ),
)
