"""Every command and every program in these pages does what the page says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.docs.daemons import Shop
from tests.docs.pages import CHECKOUT, Command, commands, scripts
from tests.system.running import Finished, eventually

PAGES = [
    # Some end their daemon: the next one then begins with a new one.
    "README.rst",
    "docs/start.rst",
    "docs/timestamp.rst",
    "docs/counter.rst",
    "docs/numbers.rst",
    "docs/callback.rst",
    "docs/hash.rst",
    "docs/command-line.rst",
    "docs/metrics.rst",
    "docs/admin.rst",
]

PROGRAMS = ["curl", "nc"]

pytestmark = pytest.mark.skipif(
    any(shutil.which(program) is None for program in PROGRAMS),
    reason=f"the book's examples need {' and '.join(PROGRAMS)} (netcat-openbsd)",
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A daemon to try the examples on."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    yield shop
    shop.close()


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_a_page_are_true(shop: Shop, name: str) -> None:
    page = CHECKOUT / name
    run = [command for command in commands(page) if command.is_run]
    assert run
    for command in run:
        finished = _run(shop, command)
        where = f"{name}:{command.line}: {command.text}"
        assert finished.status == 0, f"{where}\n{finished.stdout}{finished.stderr}"
        assert command.is_printed(finished.stdout), (
            f"{where}\nprints\n{finished.stdout}\nand not\n{command.output}"
        )
        if command.text.endswith(("/shutdown", "| nc -N 127.0.0.1 4000")):
            _let_it_end(shop, command)


@pytest.mark.parametrize("name", [name for name in PAGES if scripts(CHECKOUT / name)])
def test_the_programs_of_a_page_run(shop: Shop, name: str) -> None:
    for script in scripts(CHECKOUT / name):
        finished = shop.run_script(script)
        assert (finished.status, finished.stderr) == (0, "")


def test_what_a_page_shows_is_compared(tmp_path: Path) -> None:
    page = tmp_path / "page.rst"
    page.write_text(
        "Title\n=====\n\n"
        ".. code-block:: console\n\n"
        "   $ one 127.0.0.1     # a comment\n"
        "   a … c\n"
        "   2026-11-26T14:03:05.123Z\n"
        "\n"
        "   $ two | three # no comment\n\n"
        "Text.\n\n"
        ".. code-block:: python\n\n"
        "   if True:\n"
        "       pass\n\n"
        "More.\n"
    )
    one, two = commands(page)
    assert (one.line, one.text) == (6, "one 127.0.0.1")
    assert one.is_printed("a b b c\r\n2030-01-01T00:00:00Z\n")
    assert not one.is_printed("a b c\n")
    assert not one.is_printed("a b d\n2030-01-01T00:00:00Z\n")
    assert (two.line, two.text, two.output) == (10, "two | three # no comment", "")
    assert two.is_printed("anything")
    assert scripts(page) == ["if True:\n    pass\n\n"]


def _run(shop: Shop, command: Command) -> Finished:
    """Run a command; one that only looks, until what it looks for is there."""
    if not command.may_be_repeated:
        return shop.run(command.text)
    last: list[Finished] = []

    def is_true() -> bool:
        last[:] = [shop.run(command.text)]
        return command.is_printed(last[0].stdout)

    with suppress(AssertionError):  # the caller says what was wrong
        eventually(is_true)
    return last[0]


def _let_it_end(shop: Shop, command: Command) -> None:
    """Wait for the end of a daemon that was told to end."""
    if "shutdown" in command.text or "terminate" in command.text:
        assert shop.daemon().wait() == 0
