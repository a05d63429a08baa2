"""What the tests of the HTTP server share."""

from __future__ import annotations

from tests.http.fronts import front

__all__ = ["front"]
