"""Which URLs a client takes, and what it makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from daemon.http.client import client_for
from daemon.http.client_pool import PooledClient
from daemon.http.client_treq import TreqClient
from daemon.http.source_url import check_path, parse_source_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:9010", ("http", "localhost", 9010, b"localhost:9010", b"")),
        ("http://a.example/", ("http", "a.example", 80, b"a.example", b"")),
        ("HTTP://A.example:80/x/", ("http", "a.example", 80, b"a.example", b"/x")),
        ("https://a.example", ("https", "a.example", 443, b"a.example", b"")),
        ("https://a.example:80/x/y", ("https", "a.example", 80, b"a.example:80", b"/x/y")),
        ("http://[::1]:9010/x%20y", ("http", "::1", 9010, b"[::1]:9010", b"/x%20y")),
        ("http://[FE80::0001]", ("http", "fe80::1", 80, b"[fe80::1]", b"")),
        ("http://10.0.0.1:1", ("http", "10.0.0.1", 1, b"10.0.0.1:1", b"")),
        ("http://a_b-c.d.:", ("http", "a_b-c.d.", 80, b"a_b-c.d.", b"")),
    ],
)
def test_a_url_is_taken_apart(url, expected):
    assert parse_source_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:9010",
        "/objects",
        "ftp://a",
        "unix:///run/a",
        "http://",
        "http:///a",
        "http://:80",
        "http://a:b",
        "http://a:0",
        "http://a:65536",
        "http://a:-1",
        "http://user@a",
        "http://user:secret@a",
        "http://@a",
        "http://a?b",
        "http://a/b?",
        "http://a#b",
        "http://a b",
        " http://a",
        "http://a\n",
        "http://a\tb",
        "http://é.example",
        "http://[::1",
        "http://[::g]",
        "http://[fe80::1%25eth0]",
        "http://[fe80::1%eth0]",
        "http://a..b",
        "http://a%20b",
        "http://" + "a" * 64,
    ],
)
def test_one_that_cannot_be_used_is_refused_in_one_line_without_secrets(url):
    with pytest.raises(ValueError, match=r"\w") as caught:
        client_for(url, Clock(), connections=1, timeout_s=1, body_bytes=1)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_http_is_for_the_pool_and_https_for_treq(reactor):
    limits: Any = {"connections": 1, "timeout_s": 1, "body_bytes": 1}
    assert isinstance(client_for("http://a", reactor, **limits), PooledClient)
    assert isinstance(client_for("https://a", reactor, **limits), TreqClient)


def test_every_byte_that_no_path_holds_is_refused():
    refused = set()
    for byte in range(256):
        try:
            check_path(b"/a" + bytes([byte]))
        except ValueError:
            refused.add(byte)
    assert refused == {*range(0x21), ord("#"), *range(0x7F, 256)}
