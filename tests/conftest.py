"""What holds for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.trial.unittest import SynchronousTestCase

from tests.postgres import postgres, postgres_server

__all__ = ["postgres", "postgres_server"]


@pytest.fixture(scope="session", autouse=True)
def _trial_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the folders of trial's ``mktemp`` among pytest's; else they lie in the checkout."""

    def mktemp(_: SynchronousTestCase) -> str:
        return str(tmp_path_factory.mktemp("trial") / "temp")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SynchronousTestCase, "mktemp", mktemp)
        yield
