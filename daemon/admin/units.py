"""Numbers as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from daemon.metrics import Kind

NOTHING: Final = "none"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_THOUSAND: Final = 1000
_MILLION: Final = 1_000_000
_HUNDRED: Final = 100
_TEN: Final = 10
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


def shown(value: float | None, unit: str, kind: Kind = Kind.LEVEL) -> str:
    """Write a number with its unit.

    :param value: None: there is none.
    :param unit: of the metric: ``seconds``, ``bytes``, or nothing.
    :param kind: a rate of seconds in a second is a share, and written in percent.
    """
    if value is None:
        return NOTHING
    if kind is Kind.RATE:
        return f"{_short(value * 100)} %" if unit == "seconds" else f"{_quantity(value, unit)}/s"
    return _quantity(value, unit)


def _quantity(value: float, unit: str) -> str:
    if unit == "seconds":
        return _duration(value)
    if unit == "bytes":
        return _scaled(value, ("B", "kB", "MB", "GB", "TB"), _THOUSAND)
    return _scaled(value, ("", "k", "M", "G", "T"), _MILLION)


def _scaled(value: float, names: tuple[str, ...], whole_below: float) -> str:
    """Write a number with thousands taken out of it, for each of which there is a name.

    :param whole_below: smaller numbers are written with the first name, as they are.
    """
    place = 0
    while value >= (_THOUSAND if place else whole_below) and place < len(names) - 1:
        value /= _THOUSAND
        place += 1
    return f"{_short(value)} {names[place]}".rstrip()


def _short(value: float) -> str:
    """Write a number with three digits, or all before the point if these are more."""
    if value == 0:
        return "0"
    if value >= _HUNDRED or value == int(value):
        return f"{round(value):,}"
    if value >= _TEN:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.005 else "0.00"  # noqa: PLR2004  # half of the last digit


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{_short(seconds * 1000)} ms"
    if seconds < _MINUTE_S:
        return f"{_short(seconds)} s"
    return lasting(seconds)


def lasting(seconds: float) -> str:
    """Write how long something has been going on, with its two largest units."""
    whole = int(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def moment(time_us: int) -> str:
    """Write a time for a person, in UTC, to the second.

    :param time_us: microseconds since the epoch.
    """
    return f"{_EPOCH + timedelta(microseconds=time_us):%Y-%m-%d %H:%M:%S} UTC"


def rfc3339(time_us: int) -> str:
    """Write a time as RFC 3339 wants it, in UTC, to the millisecond.

    :param time_us: microseconds since the epoch.
    """
    time = _EPOCH + timedelta(microseconds=time_us)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
