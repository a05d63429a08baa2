"""Putting files aside that cannot be used, and that someone may want to look at."""

from __future__ import annotations

import os
from pathlib import Path


def set_aside(path: Path) -> Path:
    """Give something a name that says so, and that nothing bears yet.

    :returns: that name.
    :raises OSError: it stays where it is.
    """
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.aside-{number}")):
        number += 1
    return path.rename(aside)
