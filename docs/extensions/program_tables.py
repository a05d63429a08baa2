"""What the program says of its settings and metrics, as tables of reStructuredText."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.testing import MemoryReactorClock

from daemon.health import Health
from daemon.metrics import Histogram, Metrics
from daemon.plugin import Host, discover
from daemon.settings import AuthSettings, DaemonSettings
from daemon.settings_types import about, wanted
from daemon.state import StateFolder
from daemon.webservice import HTTPSettings

Row = tuple[str, ...]


def settings_text() -> Iterator[str]:
    """Write a section for each settings table."""
    yield from _section("The daemon as a whole")
    yield "Keys at the top of the file, outside every table."
    yield from _settings(DaemonSettings, {})
    yield from _section("[auth]")
    yield from _settings(AuthSettings, {})
    yield from _section("Every HTTP service")
    yield "Each of the HTTP services has these in its own table."
    yield from _settings(HTTPSettings, {"listen": None})
    common = {field.name: field.default for field in msgspec.structs.fields(HTTPSettings)}
    for name, plugin in discover().items():
        yield from _section(f"[{name}]")
        yield plugin.description
        if issubclass(plugin.settings, HTTPSettings):
            yield "Beside these, it has those of every HTTP service."
            yield from _settings(plugin.settings, common)
        else:
            yield from _settings(plugin.settings, {})


def metrics_text() -> Iterator[str]:
    """Write a section for the metrics of each service."""
    by_service: dict[str, list[Told]] = {}
    for told in metrics():
        service = told.name.removeprefix("tsdaemon_").partition("_")[0]
        by_service.setdefault(service, []).append(told)
    for service, rows in by_service.items():
        yield from _section(service)
        cells = [(told.name_and_label, told.kind, told.what) for told in rows]
        yield from _table(("Name", "Kind", "What it says"), cells, (50, 15, 35))


@dataclass(frozen=True)
class Told:
    """A metric, as it was added.

    :ivar name: as ``/metrics`` shows it.
    """

    name: str
    kind: str
    what: str
    label: str | None = None

    @property
    def name_and_label(self) -> str:
        """Both, for a table."""
        return f"``{self.name}``" + (f" by ``{self.label}``" if self.label else "")


class Recorder(Metrics):
    """Remembers what metrics a service has; asks for no number."""

    def __init__(self, service: str) -> None:
        super().__init__(service)
        self.told: list[Told] = []

    def gauge(self, name: str, what: str, read: Any, **more: Any) -> None:  # noqa: ARG002  # what it overrides
        """Remember it."""
        self.told.append(Told(self.prefix + name, "gauge", what, more.get("label")))

    def counter(self, name: str, what: str, read: Any, **more: Any) -> None:  # noqa: ARG002  # what it overrides
        """Remember it, by the name that it is written with."""
        self.told.append(Told(f"{self.prefix}{name}_total", "counter", what, more.get("label")))

    def histogram(self, name: str, what: str, *bounds: Any, **more: Any) -> Histogram:
        """Remember it."""
        self.told.append(Told(self.prefix + name, "histogram", what))
        return super().histogram(name, what, *bounds, **more)


def metrics() -> Iterator[Told]:
    """Build all services, start none for real, and tell the metrics they add."""
    with tempfile.TemporaryDirectory() as folder:
        for name, plugin in discover().items():
            recorder = Recorder(name)
            host = Host(
                reactor=MemoryReactorClock(),
                state=StateFolder(Path(folder)),
                health=Health(name),
                shut_down=str,
                metrics=recorder,
            )
            service = plugin.build(plugin.settings(), host)
            service.privilegedStartService()  # ports of memory, like the reactor
            yield from recorder.told
            for family in host.overview.registry.collect():
                if family.name.startswith("tsdaemon_"):
                    info = "_info" if family.type == "info" else ""
                    yield Told(family.name + info, family.type, family.documentation)


def _settings(table: type[msgspec.Struct], left_out: dict[str, Any]) -> Iterator[str]:
    defaults = table()
    rows = []
    for field in msgspec.structs.fields(table):
        default = getattr(defaults, field.name)
        if field.name in left_out and left_out[field.name] in {None, default}:
            continue
        written = f"``{msgspec.json.encode(default).decode()}``" if default is not None else "none"
        words = about(field.type).description
        rows.append((f"``{field.name}``", written, f"{words} Takes {wanted(field.type)}."))
    yield from _table(("Key", "Default", "What it is for"), rows, (20, 25, 55))


def _section(title: str) -> Iterator[str]:
    yield from ("", title, "-" * len(title), "")


def _table(heads: Row, rows: Iterable[Row], widths: tuple[int, ...]) -> Iterator[str]:
    yield from ("", ".. list-table::", "   :header-rows: 1", "   :class: tsdaemon-table")
    yield from (f"   :widths: {' '.join(map(str, widths))}", "")
    for row in (heads, *rows):
        yield f"   * - {row[0]}"
        yield from (f"     - {cell}" for cell in row[1:])
    yield ""
