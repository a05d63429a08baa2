"""What programs are told of the daemon, as values that become JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client.core import Metric

from daemon.admin.units import rfc3339
from daemon.health import Health
from daemon.overview import Member, Overview

_US = 1_000_000


def readiness(overview: Overview) -> dict[str, Any]:
    """Say whether the daemon is ready, and how each service is."""
    return {
        "ready": overview.ready,
        "services": {name: _health(member.health) for name, member in overview.members.items()},
    }


def status(
    overview: Overview, *, version: str, started_us: int, now_us: int, process: dict[str, float]
) -> dict[str, Any]:
    """Say all that is known in numbers.

    :param started_us: when the process began, in microseconds since the epoch.
    :param process: what the process takes of the machine.
    """
    return {
        "version": version,
        "state": overview.phase.value,
        "ready": overview.ready,
        "started": rfc3339(started_us),
        "uptime_seconds": (now_us - started_us) / _US,
        "process": process,
        "services": {name: _service(member) for name, member in overview.members.items()},
    }


def _health(health: Health) -> dict[str, Any]:
    return {
        "ok": health.ok,
        "degraded": health.degraded,
        "why": health.why,
        "since": rfc3339(health.since_us),
    }


def _service(member: Member) -> dict[str, Any]:
    return {
        "state": member.health.state.value,
        **_health(member.health),
        "numbers": numbers(member.metrics.collect(), member.metrics.prefix),
    }


def numbers(families: Iterable[Metric], prefix: str) -> dict[str, Any]:
    """Give the numbers of metrics by their names, without the prefix they share.

    One with a label becomes a table of numbers by the label's value; a histogram, how many
    values it was told and their sum.
    """
    found: dict[str, Any] = {}
    for family in families:
        name = family.name.removeprefix(prefix)
        if family.type == "histogram":
            found[name] = {
                sample.name.rpartition("_")[2]: sample.value
                for sample in family.samples
                if not sample.labels
            }
        elif any(sample.labels for sample in family.samples):
            found[name] = {
                "/".join(sample.labels.values()): sample.value for sample in family.samples
            }
        else:
            found[name] = family.samples[0].value if family.samples else {}
    return found
