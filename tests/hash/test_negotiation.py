"""What a client would like."""

from __future__ import annotations

import pytest

from daemon.hash.negotiation import preferred_wait_s, wants_json


@pytest.mark.parametrize(
    ("accept", "in_json", "json"),
    [
        (None, False, False),
        (None, True, True),
        (b" ", True, True),
        (b"*/*", False, False),
        (b"*/*", True, True),
        (b"application/json", False, True),
        (b"Application/JSON", False, True),
        (b"application/*", False, True),
        (b"application/json;q=0.5, */*;q=0.1", False, True),
        (b"application/json, text/plain, */*", False, True),
        (b"application/json;q=0.5, text/plain", True, False),
        (b"application/json;q=0, */*", True, False),
        (b"text/plain", True, False),
        (b"text/plain, */*", True, False),
        (b"text/plain;q=0.1, application/json;q=0.2", False, True),
        (b"text/html", False, False),
        (b"text/html", True, False),
        (b"application/json;q=x,,;", False, False),
        (b"\xff", False, False),
    ],
)
def test_json_is_for_those_who_like_it_better_or_name_it(accept, in_json, json):
    assert wants_json(accept, asked_in_json=in_json) is json


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (b"wait=10", 10),
        (b"Wait = 10", 10),
        (b'wait="10"', 10),
        (b"respond-async, wait=5", 5),
        (b'x="a, wait=7", wait=3; y=z', 3),
        (b"wait=1, wait=2", 1),
        (b"wait=0", 0),
        (b"", None),
        (b"respond-async", None),
        (b"waiter=5", None),
        (b"wait", None),
        (b"wait=", None),
        (b"wait=-1", None),
        (b"wait=1.5", None),
        (b"wait=1e3", None),
        (b"wait=1234567890", 10**9),
        (b"wait=" + b"9" * 5000, 10**9),
        (b"wait=0000000000007", 7),
        (b"wait=0000", 0),
        (b'wait="1', None),
        (b"wait=x, wait=5", None),
        ("wait=٣".encode(), None),
    ],
)
def test_the_first_wait_counts_and_a_malformed_one_is_none(prefer, seconds):
    assert preferred_wait_s(prefer) == seconds
