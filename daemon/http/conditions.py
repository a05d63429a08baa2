"""Conditional requests (RFC 9110 section 13) over entity tags.

Knows ``If-Match`` and ``If-None-Match``. The conditions on dates do not apply to resources without
``Last-Modified`` (section 13.1.4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

# RFC 9110 section 8.8.3: etagc is any visible character but the double quote, and obs-text.
_ELEMENT: Final = re.compile(
    r'[ \t]*(?:(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|\Z)'
)


class MalformedConditionError(ValueError):
    """The value of ``If-Match`` or ``If-None-Match`` does not follow its grammar."""


@dataclass(frozen=True, slots=True)
class Tags:
    """What one of the two fields names. Opaque tags stand here without their quotes.

    :ivar any: the field is ``*``.
    :ivar strong: the opaque tags of its strong entity tags.
    :ivar weak: those of its weak ones.
    """

    any: bool = False
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()

    def match_strongly(self, current: str | None) -> bool:
        """Tell whether the current representation is among them, byte for byte.

        :param current: the opaque tag of its strong entity tag; None when there is none.
        """
        return current is not None and (self.any or current in self.strong)

    def match_weakly(self, current: str | None) -> bool:
        """Tell whether the current representation, or an equivalent one, is among them.

        :param current: as for :meth:`match_strongly`.
        """
        return self.match_strongly(current) or current in self.weak


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of one request; None stands for a field that it does not have.

    :ivar if_match: see RFC 9110 section 13.1.1.
    :ivar if_none_match: see RFC 9110 section 13.1.2.
    """

    if_match: Tags | None = None
    if_none_match: Tags | None = None

    def refusal(self, current: str | None, *, reading: bool) -> HTTPStatus | None:
        """Evaluate the conditions, in the order of RFC 9110 section 13.2.2.

        ``If-Match`` compares strongly, ``If-None-Match`` weakly.

        :param current: the opaque tag of the current representation's strong entity tag; None
            when there is no current representation.
        :param reading: the method is GET or HEAD.
        :returns: None when the method is to be performed, else the status to answer: 412, or 304
            for a reader who has the representation already.
        """
        if self.if_match is not None and not self.if_match.match_strongly(current):
            return HTTPStatus.PRECONDITION_FAILED
        if self.if_none_match is not None and self.if_none_match.match_weakly(current):
            return HTTPStatus.NOT_MODIFIED if reading else HTTPStatus.PRECONDITION_FAILED
        return None


UNCONDITIONAL: Final = Conditions()
"""The conditions of a request that has none."""


def parse_conditions(if_match: str | None, if_none_match: str | None) -> Conditions:
    """Read both fields.

    :param if_match: the value of ``If-Match``, its lines joined by commas, decoded as Latin-1;
        None when the request has no such field.
    :param if_none_match: likewise ``If-None-Match``.
    :raises MalformedConditionError: one of them is malformed.
    """
    if if_match is None and if_none_match is None:
        return UNCONDITIONAL
    return Conditions(
        None if if_match is None else parse_tags(if_match, "If-Match"),
        None if if_none_match is None else parse_tags(if_none_match, "If-None-Match"),
    )


def parse_tags(value: str, field: str) -> Tags:
    """Read ``*`` or a list of entity tags.

    Empty elements of a list are ignored, and the list may be empty (RFC 9110 section 5.6.1): it
    names no representation.

    :param value: the value of the field, decoded as Latin-1.
    :param field: its name, for the error.
    :raises MalformedConditionError: the value is neither.
    """
    if value.strip(" \t") == "*":
        return Tags(any=True)
    tags: dict[bool, set[str]] = {True: set(), False: set()}
    end = 0
    while end < len(value):
        element = _ELEMENT.match(value, end)
        if element is None:
            raise MalformedConditionError(
                f'{field} is malformed; wanted is * or a list of entity tags, such as "1", "2"'
            )
        if element["opaque"] is not None:
            tags[element["weak"] is not None].add(element["opaque"])
        end = element.end()
    return Tags(strong=frozenset(tags[False]), weak=frozenset(tags[True]))
