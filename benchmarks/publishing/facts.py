"""The machine and the versions of what is measured on it."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import shutil
import sqlite3
import subprocess
from importlib.metadata import version
from typing import Final

from benchmarks.report import cpu_model
from daemon import __version__

PACKAGES: Final = ("Twisted", "klein", "treq", "httptools", "numpy", "msgspec", "psycopg2-binary")
PROGRAMS: Final = {
    "Go": ("go", "version"),
    "Java": ("java", "-version"),
    "wrk": ("wrk", "-v"),
}
_NUMBER: Final = re.compile(r"\d[\w.]*")


def now() -> str:
    """Return the time, UTC."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def facts() -> dict[str, str]:
    """Return what a figure depends on, by what it is of."""
    found = {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": cpu_model(),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1024**3:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "tsdaemon": " ".join(filter(None, [__version__, commit()])),
        platform.python_implementation(): platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }
    found |= {name: version(name) for name in PACKAGES}
    for name, words in PROGRAMS.items():
        if number := _NUMBER.search(said(words).replace("go1", "1")):
            found[name] = number[0]
    return found


def commit() -> str:
    """Return which version of the source is measured; nothing where that is not known."""
    found = said(("git", "rev-parse", "--short", "HEAD"))
    if not re.fullmatch("[0-9a-f]+", found):
        return ""
    changed = said(("git", "status", "--porcelain", "--", "daemon"))
    return f"{found} with changes" if changed else found


def said(words: tuple[str, ...]) -> str:
    """Return what a program prints, its errors where it prints nothing else."""
    if shutil.which(words[0]) is None:
        return ""
    ended = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    return (ended.stdout or ended.stderr).strip()
