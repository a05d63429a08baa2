"""What may happen to files while nobody looks: a fuzzer decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tests.fuzz.choices import Choices

MOST_CHANGES: Final = 4
MOST_BYTES: Final = 16
"""So many bytes are overwritten at once, at most."""

_HEAD_BYTES: Final = 128
"""What is found here decides most, so half of all changes are made here."""


class Damaged:
    """Files, changed.

    :param files: what there was, by name.
    :param choices: decides.
    :ivar files: what there is.
    :ivar only_cut: no byte was changed: files were made shorter, or removed.
    :ivar is_removed: a file is gone, or has got another name.
    :ivar overwritten: how often bytes were overwritten.
    :ivar is_foreign: bytes came in from elsewhere, as whole sectors or files.
    """

    def __init__(self, files: Mapping[str, bytes], choices: Choices) -> None:
        self.files = dict(files)
        self.only_cut = True
        self.is_removed = False
        self.is_foreign = False
        self.overwritten = 0
        self._choices = choices
        changes: tuple[Callable[[str], None], ...] = (
            self._cut,
            self._overwrite,
            self._extend,
            self._clear,
            self._remove,
            self._copy,
            self._rename,
            self._replace,
        )
        for _ in range(choices.byte() % (MOST_CHANGES + 1)):
            if self.files:
                names = sorted(self.files)
                change = changes[choices.byte() % len(changes)]
                change(names[choices.byte() % len(names)])

    def write_to(self, folder: Path) -> None:
        """Lay the files in a folder."""
        for name, content in self.files.items():
            (folder / name).write_bytes(content)

    def _place(self, size: int) -> int:
        choices = self._choices
        in_head = choices.byte() & 1
        return choices.number(min(size, _HEAD_BYTES) if in_head else size) if size else 0

    def _cut(self, name: str) -> None:
        content = self.files[name]
        self.files[name] = content[: self._place(len(content))]

    def _overwrite(self, name: str) -> None:
        content = bytearray(self.files[name])
        at = self._place(len(content))
        new = self._choices.take(self._choices.byte() % (MOST_BYTES + 1))
        content[at : at + len(new)] = new[: len(content) - at]
        self._set(name, bytes(content))

    def _extend(self, name: str) -> None:
        self.is_foreign = True
        more = self._choices.take(self._choices.byte())
        self._set(name, self.files[name] + more * (1 + self._choices.byte()))

    def _clear(self, name: str) -> None:
        """Leave zeros where something was, as a lost write does."""
        content = bytearray(self.files[name])
        at = self._place(len(content))
        end = min(len(content), at + 1 + self._choices.number(MOST_BYTES))
        content[at:end] = bytes(end - at)
        self._set(name, bytes(content))

    def _remove(self, name: str) -> None:
        self.is_removed = True
        del self.files[name]

    def _copy(self, name: str) -> None:
        """Put a sector of one file into another, or elsewhere in the same."""
        self.is_foreign = True
        names = sorted(self.files)
        source = self.files[names[self._choices.byte() % len(names)]]
        start = self._place(len(source)) // 512 * 512
        content = bytearray(self.files[name])
        at = self._place(len(content)) // 512 * 512
        content[at : at + 512] = source[start : start + 512]
        self._set(name, bytes(content))

    def _rename(self, name: str) -> None:
        """Give a file another name of the same form: other digits."""
        self.is_removed = self.is_foreign = True
        digits = iter(self._choices.take(sum(map(str.isdigit, name))))
        new = "".join(str(next(digits, 0) % 10) if each.isdigit() else each for each in name)
        self._set(new, self.files.pop(name))

    def _replace(self, name: str) -> None:
        """Have a file hold anything."""
        self.is_foreign = True
        self._set(name, self._choices.take(self._choices.byte() * 2))

    def _set(self, name: str, content: bytes) -> None:
        self.only_cut = self.only_cut and self.files.get(name) == content
        self.overwritten += 1
        self.files[name] = content


def read_files(folder: Path) -> dict[str, bytes]:
    """Give what lies in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def in_one_place(name: int, at: int, new: bytes) -> bytes:
    """Write down, as a target reads it, that bytes of one file are overwritten.

    :param name: the place of the file's name among all.
    """
    return bytes([1, 1, name, 0]) + at.to_bytes(4, "little") + bytes([len(new)]) + new
