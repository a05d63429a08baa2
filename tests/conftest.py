"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from twisted.trial.unittest import SynchronousTestCase

from tests.postgres import postgres, postgres_server

__all__ = ["postgres", "postgres_server"]

# No test depends on the speed of the machine.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Coverage is what tests reach in their own process. The daemons that they start would take a
    # third longer, and those that are killed would tell nothing all the same.
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


@pytest.fixture(scope="session", autouse=True)
def _trial_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the folders of trial's ``mktemp`` among pytest's; else they lie in the checkout."""

    def mktemp(_: SynchronousTestCase) -> str:
        return str(tmp_path_factory.mktemp("trial") / "temp")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SynchronousTestCase, "mktemp", mktemp)
        yield
