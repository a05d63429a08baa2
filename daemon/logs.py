"""The log: lines on stderr or in a file, readable text or one JSON object each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import IO, Any, Final, Literal, cast

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
from twisted.python.logfile import LogFile

from daemon.output import STDERR, LossyLines

Format = Literal["text", "json"]


class Log:
    """Where the log goes, and how its lines look.

    Text keeps the traceback of a failure on lines of its own, JSON in the field ``traceback``.
    Events below level info are left out.

    :param format_: how a line looks.
    :param path: a file to append to; None stands for stderr.
    :ivar file: that file.
    """

    def __init__(self, format_: Format, path: str | None = None) -> None:
        self.file = LogFile.fromFullPath(path, rotateLength=None) if path else None
        out = cast("IO[str]", self.file or LossyLines(STDERR))
        self.observer: ILogObserver = FilteringLogObserver(
            FileLogObserver(out, as_json) if format_ == "json" else textFileLogObserver(out),
            [LogLevelFilterPredicate(LogLevel.info)],
        )

    def reopen(self) -> None:
        """Open the file anew, after someone has moved it away."""
        if self.file is not None:
            self.file.reopen()


def as_json(event: LogEvent) -> str:
    """Write an event as one JSON object and a line end.

    Its keys: ``time`` (RFC 3339, UTC, microseconds), ``level``, ``namespace``, ``message``,
    ``fields`` (what the event carries beside them) and, for failures, ``traceback``.
    """
    time = datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="microseconds")
    line: dict[str, Any] = {
        "time": time,
        "level": (event.get("log_level") or LogLevel.info).name,
        "namespace": event.get("log_namespace", ""),
        "message": _plain(formatEvent(event)),
        "fields": {
            key: value if isinstance(value, int | float) else _plain(value)
            for key, value in event.items()
            if value is not None and not key.startswith("log_") and key not in _LEGACY_KEYS
        },
    }
    if "log_failure" in event:
        line["traceback"] = _plain(eventAsText(event, includeTimestamp=False, includeSystem=False))
    return msgspec.json.encode(line).decode() + "\n"


def _plain(value: object) -> str:
    """Write any value as text that UTF-8 can hold; a line is worth more than its odd field."""
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001  # whatever a stranger's __str__ raises
        text = f"<{type(value).__name__}, whose text fails: {type(error).__name__}>"
    return text.encode(errors="backslashreplace").decode()


_LEGACY_KEYS: Final = frozenset(
    {"format", "isError", "message", "system", "time", "failure", "logLevel", "log_legacy"}
)
"""What twisted.python.log adds to every event, which the line says already."""
