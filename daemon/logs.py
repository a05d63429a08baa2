"""The log: lines on stderr or in a file, readable text or one JSON object each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from string import Formatter
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
    formatTime,
)
from twisted.python.logfile import LogFile

from daemon.output import STDERR, LossyLines
from daemon.redaction import redact
from daemon.settings_types import Level

Format = Literal["text", "json"]


class Log:
    """Where the log goes, and how its lines look.

    Text keeps the traceback of a failure on lines of its own, which begin with a tab; JSON in the
    field ``traceback``. Where stderr is the journal of systemd, each line begins with its priority.

    :param format_: how a line looks.
    :param path: a file to append to; None stands for stderr.
    :param level: events below this level are left out.
    :param levels: likewise, for the namespaces that begin with a name.
    :ivar file: that file.
    """

    def __init__(
        self,
        format_: Format,
        path: str | None = None,
        *,
        level: Level = "info",
        levels: Mapping[str, Level] | None = None,
    ) -> None:
        self.file = LogFile.fromFullPath(path, rotateLength=None) if path else None
        out = cast("IO[str]", self.file or LossyLines(STDERR))
        write: Callable[[LogEvent], str] = as_json if format_ == "json" else as_text
        if path is None and is_journal(STDERR, os.environ):
            write = _with_priority(write)
        self.observer: ILogObserver = FilteringLogObserver(
            FileLogObserver(out, write), [_predicate(level, levels or {})]
        )

    def reopen(self) -> None:
        """Open the file anew, after someone has moved it away."""
        if self.file is not None:
            self.file.reopen()


def as_text(event: LogEvent) -> str:
    """Write an event as one readable line, and the lines of its traceback if it is a failure.

    Whatever an event carries, nothing but the start of a line looks like one.
    """
    message = _visible(_message(event))
    unsaid = _fields(event, _names_in(str(event.get("log_format") or "")))
    fields = [f"{key}={_word(value)}" for key, value in unsaid.items()]
    line = " ".join(
        [
            formatTime(event.get("log_time")),
            f"[{_namespace(event)}#{_level(event)}]",
            message,
            *fields,
        ]
    )
    traceback = "".join(f"\n\t{_visible(each)}" for each in _traceback(event).splitlines())
    return f"{line}{traceback}\n"


def as_json(event: LogEvent) -> str:
    """Write an event as one JSON object and a line end.

    Its keys: ``time`` (RFC 3339, UTC, microseconds), ``level``, ``namespace``, ``message``,
    ``fields`` (what the event carries beside them) and, for failures, ``traceback``.
    """
    time = datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="microseconds")
    line: dict[str, Any] = {
        "time": time,
        "level": _level(event),
        "namespace": _namespace(event),
        "message": _message(event),
        "fields": _fields(event, frozenset()),
    }
    if "log_failure" in event:
        line["traceback"] = _traceback(event)
    text = msgspec.json.encode(line).decode()
    return _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n"


def is_journal(descriptor: int, environment: Mapping[str, str]) -> bool:
    """Whether a descriptor leads to the journal of systemd, which says so in the environment."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _predicate(level: Level, levels: Mapping[str, Level]) -> LogLevelFilterPredicate:
    predicate = LogLevelFilterPredicate(LogLevel.levelWithName(level))
    for namespace, name in levels.items():
        predicate.setLogLevelForNamespace(namespace, LogLevel.levelWithName(name))
    return predicate


_INVISIBLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What ends a line for some reader, or moves the cursor of a terminal."""

_PRIORITIES: Final = {"debug": 7, "info": 6, "warn": 4, "error": 3, "critical": 2}
"""Those of syslog, which the journal takes from the start of a line (``sd-daemon(3)``)."""


def _with_priority(write: Callable[[LogEvent], str]) -> Callable[[LogEvent], str]:
    def written(event: LogEvent) -> str:
        prefix = f"<{_PRIORITIES[_level(event)]}>"
        return "".join(f"{prefix}{line}\n" for line in write(event).splitlines())

    return written


def _level(event: LogEvent) -> str:
    return str((event.get("log_level") or LogLevel.info).name)


def _namespace(event: LogEvent) -> str:
    return _plain(event.get("log_namespace") or event.get("log_system") or "-")


def _message(event: LogEvent) -> str:
    return _plain(formatEvent(event))


def _traceback(event: LogEvent) -> str:
    if "log_failure" not in event:
        return ""
    return _plain(eventAsText(event, includeTimestamp=False, includeSystem=False))


def _fields(event: LogEvent, but: frozenset[str]) -> dict[str, int | float | str]:
    return {
        key: value if isinstance(value, int | float) else _plain(value)
        for key, value in event.items()
        if key not in but
        and value is not None
        and not key.startswith("log_")
        and key not in _LEGACY_KEYS
    }


@lru_cache(maxsize=1024)
def _names_in(format_: str) -> frozenset[str]:
    """Give the fields that a message shows anyway."""
    try:
        names = [name for _, name, _, _ in Formatter().parse(format_) if name]
    except ValueError:
        return frozenset()
    return frozenset(re.split(r"[.\[(]", name, maxsplit=1)[0] for name in names)


def _visible(text: str) -> str:
    """Show what cannot be seen, as Python writes it."""
    return _INVISIBLE.sub(lambda match: repr(match[0])[1:-1], text)


def _word(value: object) -> str:
    """Write the value of a field so that its end can be seen."""
    text = str(value)
    if re.fullmatch(r"[^\s\"'=\x00-\x1f\x7f-\x9f]+", text):
        return text
    return _visible(msgspec.json.encode(text).decode())


def _plain(value: object) -> str:
    """Write any value as text that UTF-8 can hold; a line is worth more than its odd field."""
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001  # whatever a stranger's __str__ raises
        text = f"<{type(value).__name__}, whose text fails: {type(error).__name__}>"
    text = text.encode(errors="backslashreplace").decode()
    # Line by line: a password in a URL is taken to reach up to the last @.
    return "\n".join(map(redact, text.split("\n"))) if "\n" in text else redact(text)


_LEGACY_KEYS: Final = frozenset(
    {"format", "isError", "message", "system", "time", "failure", "logLevel", "log_legacy"}
)
"""What twisted.python.log adds to every event, which the line says already."""
