"""Which requests a web page has a browser send."""

from __future__ import annotations

import pytest

from daemon.hash.pages import is_from_foreign_page


@pytest.mark.parametrize(
    ("host", "origins", "sites"),
    [
        (b"localhost:8080", [], []),
        (b"", [], []),
        (b"localhost:8080", [b"http://localhost:8080"], [b"same-origin"]),
        (b"LocalHost:8080", [b"HTTP://localhost:8080"], []),
        (b"127.0.0.1:8080", [b"https://127.0.0.1:8080"], [b"none"]),
        (b"[::1]:8080", [b"http://[::1]:8080"], []),
        (b"localhost", [b"http://localhost"], []),
    ],
)
def test_who_is_no_browser_or_shows_a_page_of_ours(host, origins, sites):
    assert not is_from_foreign_page(host, origins, sites)


@pytest.mark.parametrize(
    ("host", "origins", "sites"),
    [
        (b"localhost:8080", [b"http://evil.example"], []),
        (b"localhost:8080", [b"null"], []),
        (b"localhost:8080", [b""], []),
        (b"localhost:8080", [b"http://localhost:3000"], []),
        (b"localhost:8080", [b"http://localhost:8080", b"http://evil.example"], []),
        (b"localhost:8080", [], [b"cross-site"]),
        (b"localhost:8080", [], [b"Same-Site"]),
        (b"evil.example:8080", [b"http://evil.example:8080"], [b"same-origin"]),
        (b"[evil]", [b"http://[evil]"], []),
        (b"", [b"http://"], []),
    ],
)
def test_a_page_of_another_site(host, origins, sites):
    assert is_from_foreign_page(host, origins, sites)
