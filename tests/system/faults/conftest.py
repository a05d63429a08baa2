"""Daemons whose surroundings can be made to fail."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system.conftest import Starter
from tests.system.faults.control import Faults, build, compiler
from tests.system.faults.shaky import DELAY_S, SYNC_S, Shaky, Source, started_source


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is loaded into daemons, compiled."""
    cc = compiler()
    if not sys.platform.startswith("linux"):
        pytest.skip("what makes the disk and the clock fail is written for Linux")
    if cc is None:
        pytest.skip("no C compiler (cc): what makes the disk and the clock fail is written in C")
    return build(cc, tmp_path_factory.mktemp("preload"))


@pytest.fixture
def faults(library: Path, tmp_path: Path) -> Faults:
    """Faults of all files of this test's daemons."""
    made = Faults(library, tmp_path / "faults")
    made.concern(tmp_path / "folder-")
    return made


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """A source of objects that all tests share: none may end it."""
    with ExitStack() as stack:
        yield started_source(Starter(tmp_path_factory.mktemp("source"), stack))


@pytest.fixture
def shaky(start: Starter, faults: Faults, source: Source) -> Shaky:
    """A daemon with all services that keep what they can, and its load."""
    settings = [
        *("counter.window=36000", f"counter.sync={SYNC_S}"),
        *("hash.keep=true", f"hash.delay={DELAY_S}", f"hash.sync={SYNC_S}"),
    ]
    return Shaky(start, faults, source, *settings)
