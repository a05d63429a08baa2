"""``tsdaemon status``: how a running daemon is, as a table or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from daemon.cli.asking import Answer, ask
from daemon.cli.outcome import CannotAskError, Exit, plain

_HEADINGS: Final = ("SERVICE", "STATE", "SINCE (UTC)", "WHY")
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_MIB: Final = 1024 * 1024


def tell_status(url: str, *, as_json: bool) -> int:
    """Ask the admin service, and print what it tells.

    :param url: where it listens.
    :returns: the exit status: 0 when the daemon is ready.
    :raises CannotAskError: nobody answers, or something else does.
    """
    ready = _ready(url, ask(url, "/readyz"))
    status = _document(url, ask(url, "/status"))
    ready = ready and bool(status.get("ready"))
    if as_json:
        sys.stdout.write(json.dumps(status | {"ready": ready}, indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in _lines(url, status, ready))
    return Exit.DONE if ready else Exit.NO


def _ready(url: str, answer: Answer) -> bool:
    if answer.status not in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}:
        raise CannotAskError(_no_admin(url, f"/readyz is answered {answer.status}"))
    return answer.status == HTTPStatus.OK


def _document(url: str, answer: Answer) -> dict[str, Any]:
    try:
        status = json.loads(answer.body)
        if answer.status == HTTPStatus.OK and all(
            isinstance(service, dict) for service in status["services"].values()
        ):
            return dict(status)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass
    raise CannotAskError(_no_admin(url, "/status is none of its"))


def _no_admin(url: str, why: str) -> str:
    return f"{url}: tsdaemon's admin service does not listen there ({why})"


def _lines(url: str, status: dict[str, Any], ready: bool) -> Iterable[str]:
    yield _summary(url, status, ready)
    rows = [
        (
            plain(name),
            _text(service.get("state")),
            _text(service.get("since"))[:19].replace("T", " "),
            _text(service.get("why")),
        )
        for name, service in status["services"].items()
    ]
    table = [_HEADINGS, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEADINGS))]
    for row in table:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _summary(url: str, status: dict[str, Any], ready: bool) -> str:
    parts = [f"tsdaemon {_text(status.get('version'))} at {url} is"]
    parts.append("ready" if ready else f"not ready ({_text(status.get('state'))})")
    uptime = status.get("uptime_seconds")
    if isinstance(uptime, int | float):
        parts.append(f"up {duration(uptime)}")
    process = status.get("process")
    if isinstance(process, dict) and isinstance(process.get("resident_bytes"), int | float):
        parts.append(f"{process['resident_bytes'] / _MIB:.0f} MiB")
    return " ".join(parts[:2]) + "".join(f", {part}" for part in parts[2:])


def duration(seconds: float) -> str:
    """Say how long that is, in its two greatest units."""
    left = max(int(seconds), 0)
    parts: list[str] = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _text(value: object) -> str:
    return "" if value is None else plain(str(value))
