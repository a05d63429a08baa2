"""Pages of reStructuredText, as far as their examples go."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).parents[2]

_BLOCK: Final = re.compile(
    r"^(?P<indent> *)\.\. code-block:: (?P<language>console|python)\n\n"
    r"(?P<body>(?:(?P=indent) {3,}\S.*\n|\s*\n)+)",
    re.MULTILINE,
)
_PROMPT: Final = "$ "
_NOT_RUN: Final = frozenset({"make", "twistd", "podman", "sudo", "python3"})
"""Commands that start something for good, or install it: the tests have a daemon already."""

_ASSIGNMENT: Final = re.compile(r"\w+=")
_COMMENT: Final = re.compile(r"\s{2,}#.*$")
_VARYING: Final = re.compile(
    r"…|\d{4}-\d\d-\d\dT[\d:.]+Z?|(?<=ETag: )\S+|(?<=Date: ).*|(?<=\"average\":)\d+|\d+\.\d\d s"
)
"""What is another one each time: what the page leaves out, times, entity tags, durations."""


@dataclass(frozen=True)
class Command:
    """A command in a page, and what it prints according to that.

    :ivar line: where it stands in the page, from 1.
    :ivar output: empty when the page shows none.
    """

    line: int
    text: str
    output: str

    @property
    def is_run(self) -> bool:
        """Whether the test runs it."""
        program = next(word for word in self.text.split() if not _ASSIGNMENT.match(word))
        return program not in _NOT_RUN

    @property
    def may_be_repeated(self) -> bool:
        """Whether it only looks at what comes about in a moment."""
        return self.text.startswith(("cat ", "curl http://127.0.0.1:9090/objects"))

    def is_printed(self, text: str) -> bool:
        """Whether this is what the page shows."""
        shown = self.output.strip()
        pattern, start = "", 0
        for varying in _VARYING.finditer(shown):
            anything = r"[\s\S]*" if varying[0] == "…" else ".*"
            pattern += re.escape(shown[start : varying.start()]) + anything
            start = varying.end()
        pattern += re.escape(shown[start:])
        return not shown or bool(re.fullmatch(pattern, text.replace("\r", "").strip()))


def commands(page: Path) -> list[Command]:
    """Give the commands in the console blocks of a page."""
    found = []
    for line, body in _blocks(page, "console"):
        number = line
        for session in re.split(r"^(?=\$ )", body, flags=re.MULTILINE):
            first, _, output = session.partition("\n")
            if session.startswith(_PROMPT):
                text = _COMMENT.sub("", first.removeprefix(_PROMPT))
                found.append(Command(number, text, output.rstrip()))
            number += session.count("\n")
    return found


def scripts(page: Path) -> list[str]:
    """Give the Python blocks of a page."""
    return [body for _, body in _blocks(page, "python")]


def _blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    text = page.read_text("utf-8")
    for block in _BLOCK.finditer(text):
        if block["language"] == language:
            yield text.count("\n", 0, block.start("body")) + 1, textwrap.dedent(block["body"])
