"""What is left of a text when its passwords are taken out."""

from __future__ import annotations

import re
from typing import Final

_PASSWORD_IN_AUTHORITY: Final = re.compile(r"(?<=://)([^/?#\s@:]*):.*@", re.DOTALL)
_PASSWORD_BY_NAME: Final = re.compile(
    r"""(?ix) \b (\w* (?:pass\w* | pwd | secret | token | api_?key | auth)) (\s*=\s*)
    (?: '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*" | (?:\\.|[^&\s\\])* )"""
)
"""In the query of a URL, and in the ``keyword=value`` form, where values may be quoted."""


def redact(text: str) -> str:
    """Put ``***`` in place of the passwords of a DSN, in its query too; rather too much of it."""
    if "://" in text and "@" in text:
        text = _PASSWORD_IN_AUTHORITY.sub(r"\1:***@", text)
    if "=" in text:
        text = _PASSWORD_BY_NAME.sub(r"\1\2***", text)
    return text
