"""The log: lines on stderr, readable text or one JSON object each."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import IO, Any, Literal

import msgspec
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEvent,
    textFileLogObserver,
)

Format = Literal["text", "json"]


def observer(format_: Format, out: IO[str] | None = None) -> ILogObserver:
    """Give an observer that writes each event of level info or above as one line.

    Text keeps the traceback of a failure on lines of its own, JSON in the field ``traceback``.

    :param format_: how a line looks.
    :param out: where the lines go; stderr as it is now, before twistd captures it.
    """
    out = sys.stderr if out is None else out
    to_file = FileLogObserver(out, as_json) if format_ == "json" else textFileLogObserver(out)
    return FilteringLogObserver(to_file, [LogLevelFilterPredicate(LogLevel.info)])


def as_json(event: LogEvent) -> str:
    """Write an event as one JSON object and a line end.

    Its keys: ``time`` (RFC 3339, UTC, microseconds), ``level``, ``namespace``, ``message``,
    ``fields`` (what the event carries beside them) and, for failures, ``traceback``.
    """
    level = event.get("log_level", LogLevel.info)
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="microseconds"),
        "level": level.name,
        "namespace": event.get("log_namespace", ""),
        "message": formatEvent(event),
        "fields": {
            key: value if isinstance(value, str | int | float) else str(value)
            for key, value in event.items()
            if not key.startswith("log_") and key not in _LEGACY_KEYS
        },
    }
    if "log_failure" in event:
        line["traceback"] = eventAsText(event, includeTimestamp=False, includeSystem=False)
    return msgspec.json.encode(line).decode() + "\n"


_LEGACY_KEYS = frozenset(
    {"format", "isError", "message", "system", "time", "failure", "why", "logLevel", "log_legacy"}
)
"""What twisted.python.log adds to every event, which the line says already."""
