"""How Sphinx makes the book: ``make docs``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "extensions"), str(HERE.parent)]

from daemon import __version__  # noqa: E402  # found by the line before

project = "tsdaemon"
author = "the tsdaemon authors"
copyright = author  # noqa: A001  # Sphinx's name
version = release = __version__

extensions = ["benchmark_bars", "benchmark_plots", "tsdaemon_tables"]
exclude_patterns = ["_build", "examples"]
nitpicky = True
highlight_language = "none"
language = "en"
smartquotes = False  # what is typed at a shell stays what it is

html_theme = "furo"
html_title = f"tsdaemon {__version__}"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False

man_pages = [
    ("command-line", "tsdaemon", "ask, feed and check a tsdaemon", author, 1),
    ("settings", "tsdaemon.toml", "settings of tsdaemon", author, 5),
]
man_show_urls = True
