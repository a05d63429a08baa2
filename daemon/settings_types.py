"""What a setting's type says to people: what is wanted, in which unit, and what it is for.

A type comes with its ``Meta``: ``Annotated[float, seconds("How long to wait.", gt=0)]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Meta, inspect

Level = Literal["debug", "info", "warn", "error", "critical"]
"""How bad it is that something happened, as the log has it."""


def seconds(description: str, **bounds: Any) -> Meta:
    """Describe a time in seconds.

    :param bounds: as :class:`msgspec.Meta` takes them, such as ``gt=0``.
    """
    return Meta(description=description, extra={"unit": "seconds"}, **bounds)


def size(description: str, **bounds: Any) -> Meta:
    """Describe a number of bytes.

    :param bounds: as :class:`msgspec.Meta` takes them, such as ``ge=0``.
    """
    return Meta(description=description, extra={"unit": "bytes"}, **bounds)


@dataclass(frozen=True)
class About:
    """What a field's ``Meta`` says about it.

    :ivar type: the bare type, with its bounds.
    :ivar description: one sentence; empty when there is none.
    :ivar unit: ``seconds``, ``bytes``, …; empty when there is none.
    :ivar is_endpoint: the value is a Twisted endpoint string.
    """

    type: inspect.Type
    description: str
    unit: str
    is_endpoint: bool


def about(annotation: Any) -> About:
    """Read a field's annotation."""
    kind = inspect.type_info(annotation)
    schema: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    while isinstance(kind, inspect.Metadata):
        schema |= kind.extra_json_schema or {}
        extra |= kind.extra or {}
        kind = kind.type
    return About(
        type=kind,
        description=str(schema.get("description", "")),
        unit=str(extra.get("unit", "")),
        is_endpoint=bool(extra.get("endpoint", False)),
    )


def accepts_text(annotation: Any) -> bool:
    """Whether text from a flag or the environment is a value as it stands."""
    return any(
        isinstance(kind, inspect.StrType)
        or (isinstance(kind, inspect.LiteralType) and isinstance(kind.values[0], str))
        for kind in _choices(about(annotation).type)
    )


def is_table(annotation: Any) -> bool:
    """Whether a field takes names with values."""
    return isinstance(about(annotation).type, inspect.DictType)


def wanted(annotation: Any) -> str:
    """Say in a few words which values a field takes, as in ``a number > 0, <= 60 (seconds)``."""
    described = about(annotation)
    words = " or ".join(_words(kind) for kind in _choices(described.type))
    if described.is_endpoint:
        words = "a Twisted endpoint such as tcp:4000:interface=127.0.0.1"
    return f"{words} ({described.unit})" if described.unit else words


def _choices(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)


def _words(kind: inspect.Type) -> str:
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number" + _bounds(kind)
        case inspect.FloatType():
            return "a number" + _bounds(kind)
        case inspect.StrType(min_length=None | 0):
            return "text"
        case inspect.StrType():
            return "text, not empty"
        case inspect.LiteralType():
            return " or ".join(str(value) for value in kind.values)
        case inspect.ListType():
            return f"a list of: {_words(kind.item_type)}"
        case inspect.DictType():
            return f"a table of names, each with: {_words(kind.value_type)}"
        case inspect.NoneType():
            return "nothing"
        case _:
            return type(kind).__name__.removesuffix("Type").lower()


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    signs = ((">", kind.gt), (">=", kind.ge), ("<", kind.lt), ("<=", kind.le))
    said = [
        f"{sign} {bound if isinstance(bound, int) else format(bound, 'g')}"
        for sign, bound in signs
        if bound is not None
    ]
    return " " + ", ".join(said) if said else ""
