"""The chunked coding: sizes, extensions, data, trailers."""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import MUST, OURS, SHOULD, Case, Level, Seen, refused, taken

START: Final = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
HELLO: Final = Seen(b"POST", b"/", b"hello")

_CHUNKS: Final = "RFC 9112 section 7.1"
_EXTENSIONS: Final = "RFC 9112 section 7.1.1"
_TRAILERS: Final = "RFC 9112 section 7.1.2"
_LINE_END: Final = "RFC 9112 section 2.2"

_GOOD: Final = (
    taken(f"chunks-{name}", rule, why, START + chunks, Seen(b"POST", b"/", body))
    for name, rule, why, chunks, body in (
        ("none", _CHUNKS, "The last chunk may be the only one.", b"0\r\n\r\n", b""),
        ("one", _CHUNKS, "A chunk is a size and so many bytes.", b"2\r\nhi\r\n0\r\n\r\n", b"hi"),
        ("two", _CHUNKS, "Chunks follow one another.", b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", b"hi"),
        ("lower-case", _CHUNKS, "Sizes are hex.", b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        ("upper-case", _CHUNKS, "In any case.", b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        ("leading-zeros", _CHUNKS, "Zeros are digits.", b"0002\r\nhi\r\n0\r\n\r\n", b"hi"),
        ("last-of-zeros", _CHUNKS, "The last one has size zero.", b"2\r\nhi\r\n000\r\n\r\n", b"hi"),
        ("of-line-ends", _CHUNKS, "Data is any bytes.", b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        ("like-chunks", _CHUNKS, "Of any kind.", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
        ("extension", _EXTENSIONS, "Unknown ones are ignored.", b"2;a\r\nhi\r\n0\r\n\r\n", b"hi"),
        ("extension-value", _EXTENSIONS, "They have values.", b"2;a=b\r\nhi\r\n0\r\n\r\n", b"hi"),
        ("extensions", _EXTENSIONS, "They are many.", b"2;a=b;c;d=e\r\nhi\r\n0\r\n\r\n", b"hi"),
        ("quoted", _EXTENSIONS, "Values have quotes.", b'2;a="b c"\r\nhi\r\n0\r\n\r\n', b"hi"),
        ("empty-quoted", _EXTENSIONS, "Even empty ones.", b'2;a=""\r\nhi\r\n0\r\n\r\n', b"hi"),
        (
            "quoted-marks",
            _EXTENSIONS,
            "What is quoted separates nothing.",
            b'2;a=";b=\\"\\\\";c\r\nhi\r\n0\r\n\r\n',
            b"hi",
        ),
        (
            "quoted-latin-1",
            _EXTENSIONS,
            "Quoted text may have any visible byte.",
            b'2;a="\xe4\tb"\r\nhi\r\n0\r\n\r\n',
            b"hi",
        ),
        (
            "extension-of-last",
            _EXTENSIONS,
            "The last chunk may have extensions as well.",
            b"2\r\nhi\r\n0;a=b\r\n\r\n",
            b"hi",
        ),
        ("trailer", _TRAILERS, "Fields follow.", b"2\r\nhi\r\n0\r\nX: y\r\n\r\n", b"hi"),
        (
            "trailers",
            _TRAILERS,
            "There may be several.",
            b"2\r\nhi\r\n0\r\nX: y\r\nY:\r\nX:z\r\n\r\n",
            b"hi",
        ),
        (
            "trailer-with-length",
            "RFC 9110 section 6.5.1",
            "A trailer cannot frame the message that it ends.",
            b"2\r\nhi\r\n0\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\n",
            b"hi",
        ),
        (
            "trailer-with-close",
            "RFC 9110 section 6.5.1",
            "Nor can it end the connection, nor name a host.",
            b"2\r\nhi\r\n0\r\nConnection: close\r\nHost: b\r\n\r\n",
            b"hi",
        ),
    )
)

_BAD_SIZES: Final = (
    refused(
        f"chunk-size-{name}",
        _CHUNKS,
        "A size is hexadecimal digits, and behind it comes an extension or the line end.",
        START + size + b"\r\nhello\r\n0\r\n\r\n",
        level=SHOULD,
    )
    for name, size in (
        ("empty", b""),
        ("letter", b"g"),
        ("plus", b"+5"),
        ("minus", b"-5"),
        ("prefix", b"0x5"),
        ("underscore", b"0_5"),
        ("suffix", b"5h"),
        ("fraction", b"5.0"),
        ("comma", b"5,"),
        ("blank-before", b" 5"),
        ("tab-before", b"\t5"),
        ("blank-behind", b"5 "),
        ("tab-behind", b"5\t"),
        ("blank-inside", b"0 5"),
        ("nul-behind", b"5\x00"),
        ("vertical-tab-behind", b"5\x0b"),
        ("wide-digit", b"\xef\xbc\x95"),
        ("line-end-first", b"\r\n5"),
    )
)

_BAD_EXTENSIONS: Final = (
    refused(
        f"chunk-extension-{name}",
        _EXTENSIONS,
        "An extension is a semicolon, a token, and perhaps a value; it is read though not used.",
        START + b"5" + extension + b"\r\nhello\r\n0\r\n\r\n",
        level=OURS,
    )
    for name, extension in (
        ("empty", b";"),
        ("empty-between", b";;a"),
        ("empty-at-end", b";a;"),
        ("no-value", b";a="),
        ("no-name", b";=b"),
        ("bracket", b";("),
        ("value-of-two-words", b";a=b c"),
        ("two-words", b";a b"),
        ("open-quote", b';a="b'),
        ("behind-quote", b';a="b"c'),
        ("single-backslash", b';a="b\\"'),
        ("nul", b";a\x00"),
        ("nul-in-quotes", b';a="\x00"'),
        ("latin-1", b";\xe4"),
        ("comma", b";a,b"),
        ("blank-before", b" ;a"),
        ("blank-behind-semicolon", b"; a"),
        ("blanks-around-equals", b";a = b"),
        ("blank-at-end", b";a "),
        ("of-ten-thousand-bytes", b";" + b"a" * 10_000),
    )
)

_BAD_CHUNKS: Final = (
    refused(f"chunk-{name}", rule, why, START + chunks, level=level)
    for name, rule, why, chunks, level in (
        ("longer", _CHUNKS, "Data ends where its size says.", b"2\r\nhello\r\n0\r\n\r\n", SHOULD),
        ("shorter", _CHUNKS, "And not before.", b"6\r\nhello\r\n0\r\n\r\n", SHOULD),
        ("without-end", _CHUNKS, "A line end follows the data.", b"5\r\nhello0\r\n\r\n", SHOULD),
        ("end-lf", _LINE_END, "It is CR and LF.", b"5\r\nhello\n0\r\n\r\n", MUST),
        ("end-cr", _LINE_END, "It is CR and LF.", b"5\r\nhello\r0\r\n\r\n", MUST),
        ("end-cr-cr-lf", _LINE_END, "It is CR and LF.", b"5\r\nhello\r\r\n0\r\n\r\n", MUST),
        ("size-end-lf", _LINE_END, "Of a size too.", b"5\nhello\r\n0\r\n\r\n", MUST),
        ("size-end-cr", _LINE_END, "Of a size too.", b"5\rhello\r\n0\r\n\r\n", MUST),
        ("size-end-cr-cr-lf", _LINE_END, "Of a size too.", b"5\r\r\nhello\r\n0\r\n\r\n", MUST),
        ("lf-in-extension", _LINE_END, "It hides in none.", b"5;a\nb\r\nhello\r\n0\r\n\r\n", MUST),
        ("cr-in-extension", _LINE_END, "It hides in none.", b"5;a\rb\r\nhello\r\n0\r\n\r\n", MUST),
        ("lf-in-quotes", _LINE_END, "Nor is it text.", b'5;a="\n"\r\nhello\r\n0\r\n\r\n', MUST),
        ("crlf-in-quotes", _LINE_END, "Nor are both.", b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n', MUST),
        ("last-end-lf", _LINE_END, "Of the last one too.", b"5\r\nhello\r\n0\n\r\n", MUST),
        ("body-end-lf", _LINE_END, "Of the body too.", b"5\r\nhello\r\n0\r\n\n", MUST),
        ("body-end-cr", _LINE_END, "Of the body too.", b"5\r\nhello\r\n0\r\n\rX\r\n\r\n", MUST),
        ("none-at-all", _CHUNKS, "The body is in chunks.", b"hello\r\n\r\n", SHOULD),
    )
)

_BAD_TRAILERS: Final = (
    refused(
        f"trailer-{name}",
        rule,
        "Trailer fields have the form of header fields.",
        START + b"5\r\nhello\r\n0\r\n" + line + b"\r\n\r\n",
        level=level,
    )
    for name, rule, line, level in (
        ("without-colon", _TRAILERS, b"X", SHOULD),
        ("without-name", _TRAILERS, b": y", SHOULD),
        ("blank-before-colon", "RFC 9112 section 5.1", b"X : y", MUST),
        ("blank-in-name", _TRAILERS, b"X Y: z", SHOULD),
        ("blank-first", "RFC 9112 section 5.2", b" X: y", MUST),
        ("folded", "RFC 9112 section 5.2", b"X: y\r\n z", MUST),
        ("nul", "RFC 9110 section 5.5", b"X: \x00", MUST),
        ("control", "RFC 9110 section 5.5", b"X: \x1b", OURS),
        ("lf", _LINE_END, b"X: y\nY: z", MUST),
        ("cr", _LINE_END, b"X: y\rY: z", MUST),
        ("lf-at-end", _LINE_END, b"X: y\n", MUST),
        ("request-instead", _TRAILERS, b"GET / HTTP/1.1\r\nHost: a", SHOULD),
    )
)


def _split(name: str, why: str, send: tuple[bytes, ...], level: Level = MUST) -> Case:
    return taken(name, _CHUNKS, why, send, HELLO, level=level)


CASES: Final[tuple[Case, ...]] = (
    *_GOOD,
    *_BAD_SIZES,
    *_BAD_EXTENSIONS,
    *_BAD_CHUNKS,
    *_BAD_TRAILERS,
    _split(
        "chunks-split-in-size",
        "A size may come in two packets.",
        (START + b"0", b"5\r\nhello\r\n0\r\n\r\n"),
    ),
    _split(
        "chunks-split-in-line-end",
        "So may a line end.",
        (START + b"5\r", b"\nhello\r", b"\n0\r", b"\n\r", b"\n"),
    ),
    _split(
        "chunks-split-in-data",
        "So may data.",
        (START + b"5\r\nhe", b"llo", b"\r\n0\r\n\r\n"),
    ),
    Case(
        "chunks-without-last",
        "RFC 9112 section 8",
        "A body whose last chunk never came is not whole, and its request is none.",
        (START + b"5\r\nhello\r\n",),
        (),
        closes=True,
        ends=True,
    ),
    Case(
        "chunks-without-final-line",
        "RFC 9112 section 8",
        "Nor is one without the empty line at its end.",
        (START + b"5\r\nhello\r\n0\r\n",),
        (),
        closes=True,
        ends=True,
    ),
)
