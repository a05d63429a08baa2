"""Names become addresses."""

from __future__ import annotations

import pytest

from daemon.resolving import resolve


def test_a_host_of_loopback_is_resolved_without_duplicates():
    assert "127.0.0.1" in resolve("127.0.0.1")
    assert len(set(resolve("localhost"))) == len(resolve("localhost"))


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "b..example"])
def test_what_can_be_no_name_is_an_error_of_the_system(name):
    with pytest.raises(OSError, match=r"."):
        resolve(name)
