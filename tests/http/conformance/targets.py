"""Request targets: the four forms, and what is none of them."""

from __future__ import annotations

from typing import Final

from tests.http.conformance.case import MUST, OURS, SHOULD, Case, Seen, refused, taken

REST: Final = b" HTTP/1.1\r\nHost: a\r\n\r\n"

_ORIGIN: Final = "RFC 9112 section 3.2.1"
_ABSOLUTE: Final = "RFC 9112 section 3.2.2"
_ASTERISK: Final = "RFC 9112 section 3.2.4"

_PATHS: Final = (
    taken(
        f"origin-form-{name}",
        _ORIGIN,
        "A path and a query reach the application as they were sent.",
        b"GET " + target + REST,
        Seen(b"GET", target),
    )
    for name, target in (
        ("query", b"/x?a=1&b=2"),
        ("empty-query", b"/x?"),
        ("second-question-mark", b"/x?a?b"),
        ("slashes-in-query", b"/x?/../y"),
        ("escapes", b"/%7Ex/%20/%2f"),
        ("sub-delimiters", b"/!$&'()*+,;=:@-._~"),
        ("dot-segments", b"/x/./y/z"),
        ("uri-in-query", b"/x?u=http://b/"),
        ("two-slashes", b"//b/x"),
    )
)

_ABSOLUTE_FORMS: Final = (
    taken(
        f"absolute-form-{name}",
        _ABSOLUTE,
        "The whole URI is taken apart, and its host counts, whatever Host says.",
        b"GET " + target + REST,
        Seen(b"GET", path, host=host),
    )
    for name, target, path, host in (
        ("same-host", b"http://a/x?y", b"/x?y", b"a"),
        ("other-host", b"http://b/x", b"/x", b"b"),
        ("port", b"http://b:8080/x", b"/x", b"b"),
        ("empty-port", b"http://b:/x", b"/x", b"b"),
        ("capitals", b"HTTP://b/x", b"/x", b"b"),
        ("https", b"https://b/x", b"/x", b"b"),
        ("address", b"http://[::1]:80/x", b"/x", b"[::1]"),
        ("no-path", b"http://b", b"/", b"b"),
        ("query-without-path", b"http://b?q", b"/?q", b"b"),
        ("two-slashes-in-path", b"http://b//x", b"//x", b"b"),
    )
)

_BAD: Final = (
    refused(
        f"target-{name}",
        "RFC 9112 section 3.2",
        "A target is a path, an http URI, an authority for CONNECT or an asterisk for OPTIONS.",
        b"GET " + target + REST,
        level=level,
    )
    for name, target, level in (
        ("without-slash", b"index.html", SHOULD),
        ("query-alone", b"?q", SHOULD),
        ("relative", b"../x", SHOULD),
        ("asterisk-and-more", b"*x", SHOULD),
        ("authority", b"a:80", SHOULD),
        ("other-scheme", b"ftp://a/x", OURS),
        ("script", b"javascript:x", SHOULD),
        ("scheme-without-authority", b"http:/a/x", MUST),
        ("scheme-alone", b"http:", SHOULD),
        ("no-host-in-uri", b"http:///x", MUST),
        ("port-without-host-in-uri", b"http://:80/x", MUST),
        ("user-in-uri", b"http://u:p@a/x", SHOULD),
        ("bad-port-in-uri", b"http://a:b/x", SHOULD),
        ("bad-host-in-uri", b"http://a^b/x", SHOULD),
        ("fragment", b"/x#y", SHOULD),
        ("fragment-in-uri", b"http://a/x#y", SHOULD),
        ("backslash", b"/a\\b", SHOULD),
        ("blank", b"/a b", SHOULD),
        ("umlaut", b"/\xc3\xa4", SHOULD),
        ("latin-1", b"/\xe4", SHOULD),
        ("nul", b"/\x00", SHOULD),
        ("escape-character", b"/\x1b[0m", SHOULD),
        ("del", b"/\x7f", SHOULD),
        ("vertical-tab", b"/\x0b", SHOULD),
        ("control-in-query", b"/?\x01", SHOULD),
    )
)

_ASTERISKS: Final = (
    refused(
        f"asterisk-with-{method.decode().lower()}",
        _ASTERISK,
        "Only OPTIONS can ask for the server as a whole.",
        method + b" *" + REST,
        level=SHOULD,
        methods=(method,),
    )
    for method in (b"GET", b"HEAD", b"POST", b"DELETE")
)

_TUNNELS: Final = (
    refused(
        f"connect-{name}",
        "RFC 9110 section 9.3.6",
        "CONNECT names a host and a port, and nothing else is one.",
        b"CONNECT " + target + REST,
        level=level,
    )
    for name, target, level in (
        ("path", b"/", SHOULD),
        ("no-port", b"a", MUST),
        ("empty-port", b"a:", SHOULD),
        ("port-too-high", b"a:65536", MUST),
        ("no-host", b":80", SHOULD),
        ("asterisk", b"*", SHOULD),
        ("uri", b"http://a:80/", SHOULD),
        ("user", b"u@a:80", SHOULD),
    )
)

CASES: Final[tuple[Case, ...]] = (
    *_PATHS,
    *_ABSOLUTE_FORMS,
    *_BAD,
    *_ASTERISKS,
    *_TUNNELS,
    taken(
        "asterisk-with-options",
        _ASTERISK,
        "OPTIONS can ask for the server as a whole.",
        b"OPTIONS *" + REST,
        Seen(b"OPTIONS", b"*"),
    ),
    taken(
        "options-of-uri-without-path",
        _ASTERISK,
        "A URI with neither path nor query means the same.",
        b"OPTIONS http://a" + REST,
        Seen(b"OPTIONS", b"*"),
    ),
    taken(
        "options-of-uri-with-path",
        _ABSOLUTE,
        "With a slash behind the host it is about the resource there.",
        b"OPTIONS http://a/" + REST,
        Seen(b"OPTIONS", b"/"),
    ),
    refused(
        "connect",
        "RFC 9110 section 9.3.6",
        "A server that is no proxy says that it knows CONNECT and allows other methods.",
        b"CONNECT a:443" + REST,
        status=405,
        level=SHOULD,
    ),
    refused(
        "absolute-form-without-host",
        "RFC 9112 section 3.2",
        "A URI does not spare the client the Host field.",
        b"GET http://a/ HTTP/1.1\r\n\r\n",
    ),
    refused(
        "absolute-form-with-bad-host",
        "RFC 9112 section 3.2",
        "Nor does it excuse a bad one.",
        b"GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n",
    ),
    refused(
        "absolute-form-with-two-hosts",
        "RFC 9112 section 3.2",
        "Nor two of them.",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    ),
    taken(
        "absolute-form-of-1.0",
        _ABSOLUTE,
        "HTTP/1.0 can say the host in no other way.",
        b"GET http://b/x HTTP/1.0\r\n\r\n",
        Seen(b"GET", b"/x", host=b"b"),
        closes=True,
        level=OURS,
    ),
    Case(
        "method-not-allowed",
        "RFC 9110 section 15.5.6",
        "A method that the resource does not have gets 405 with Allow, and the connection goes on.",
        (b"DELETE /posted" + REST,),
        (405,),
    ),
)
