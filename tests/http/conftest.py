"""What the tests of the HTTP server share."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.fronts import front

__all__ = ["front", "reactor"]


@pytest.fixture
def reactor() -> Any:
    """The real reactor."""
    from twisted.internet import reactor as installed

    return installed
