"""The daemon as a whole, for a service that tells of it. Holds no service's knowledge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from daemon.health import Health, Phase
from daemon.metrics import Metrics


@dataclass(frozen=True)
class Member:
    """One service, as the others may see it.

    :ivar description: says in one line what it does.
    :ivar read_openapi: gives the OpenAPI document of what it answers over HTTP, as JSON; None:
        there is none.
    """

    health: Health
    metrics: Metrics
    description: str = ""
    read_openapi: Callable[[], bytes | None] = lambda: None


@dataclass
class Overview:
    """What there is to know of the daemon.

    :ivar phase: where it is between its start and its end.
    :ivar members: its services by name, in the order of their start.
    :ivar registry: collects the metrics of all services.
    """

    phase: Phase = Phase.STARTING
    members: dict[str, Member] = field(default_factory=dict)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    @property
    def ready(self) -> bool:
        """Whether the daemon runs, and every service can do its job."""
        return self.phase is Phase.RUNNING and all(
            member.health.ok for member in self.members.values()
        )
