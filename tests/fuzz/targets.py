"""The targets, and what they have in common.

A target is a module beside this one with

* ``run(data)``: takes any bytes; an exception from it is a finding;
* ``SEEDS``: bytes to begin with;
* ``WORDS``: what is worth putting in.

Inputs that reach a place that the seeds do not are in ``corpus``, in a folder of the target's name.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

CORPUS: Final = Path(__file__).with_name("corpus")


class Target(NamedTuple):
    """One of the targets.

    :ivar name: its module's.
    :ivar largest: bytes of an input, at most.
    """

    name: str
    largest: int

    @property
    def corpus(self) -> Path:
        """The folder of its inputs that are kept."""
        return CORPUS / self.name

    def run(self, data: bytes) -> None:
        """Have it take an input."""
        cast("Callable[[bytes], None]", self._module.run)(data)

    @property
    def seeds(self) -> tuple[bytes, ...]:
        """Inputs to begin with."""
        return cast("tuple[bytes, ...]", self._module.SEEDS)

    @property
    def words(self) -> tuple[bytes, ...]:
        """What is worth putting in."""
        return cast("tuple[bytes, ...]", self._module.WORDS)

    @property
    def kept(self) -> list[bytes]:
        """The inputs that are kept, in the order of their names."""
        return [path.read_bytes() for path in sorted(self.corpus.glob("*"))]

    @property
    def _module(self) -> Any:
        return import_module(f"tests.fuzz.{self.name}")


TARGETS: Final = {
    name: Target(name, largest)
    for name, largest in (
        ("http_server", 1000),
        ("http_requests", 1000),
        ("http_answers", 800),
        ("number_lines", 500),
        ("setting_sources", 400),
        ("ring_files", 120),
        ("column_files", 120),
        ("slot_files", 120),
        ("inbox_files", 120),
        ("callback_bodies", 300),
        ("hash_forms", 500),
        ("header_fields", 200),
    )
}
"""All of them, by name."""
