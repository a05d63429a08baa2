"""Tables of the book that are made from the program: they cannot be wrong, or out of date."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from program_tables import metrics_text, settings_text
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class SettingsTables(SphinxDirective):
    """``settings-tables``: every setting, its default, what it takes and what it is for."""

    def run(self) -> list[nodes.Node]:
        """Make them."""
        return self.parse_text_to_nodes("\n".join(settings_text()), allow_section_headings=True)


class MetricsTables(SphinxDirective):
    """``metrics-tables``: every metric, as ``/metrics`` shows it."""

    def run(self) -> list[nodes.Node]:
        """Make them."""
        return self.parse_text_to_nodes("\n".join(metrics_text()), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    app.add_directive("settings-tables", SettingsTables)
    app.add_directive("metrics-tables", MetricsTables)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
