"""Puts the plots of benchmarks into the page itself, so that their ink is that of the theme."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from sphinx.application import Sphinx

FOLDER: Final = "images/bench/"

_OWN_COLOURS: Final = re.compile(r"<style>.*?</style>", re.DOTALL)
"""For readers who see the file by itself."""


def inline(drawing: str) -> str:
    """Return what a page holds of a file."""
    return f'<div class="plot">{_OWN_COLOURS.sub("", drawing)}</div>'


def put_in(app: Sphinx, document: nodes.document) -> None:
    """Replace the images of plots; builders that write no HTML show nothing of them."""
    for image in list(document.findall(nodes.image)):
        _, found, name = str(image["uri"]).rpartition(FOLDER)
        if found:
            path = Path(app.srcdir, FOLDER, name)
            app.env.note_dependency(str(path))
            drawn = nodes.raw("", inline(path.read_text("utf-8")), format="html")
            image.parent.replace(image, drawn)


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx."""
    # Before Sphinx collects the images of a page.
    app.connect("doctree-read", put_in, priority=100)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
