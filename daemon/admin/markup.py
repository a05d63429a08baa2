"""The page as HTML, with all values in it: whoever runs no scripts sees the same numbers."""

from __future__ import annotations

from html import escape
from string import Template
from typing import Final

from daemon.admin.history import LENGTH
from daemon.admin.plots import HEIGHT, STRIP_HEIGHT
from daemon.admin.view import Card, Page, Row

_CARD: Final = Template("""\
<section class="card" id="$name" aria-labelledby="$name-title" data-state="$state">
<header>
<h2 id="$name-title">$name</h2>
<p class="state"><span class="mark" aria-hidden="true"></span>\
<span data-field="state">$state</span></p>
<p class="what">$description</p>
</header>
<p class="why" data-field="why">$why</p>
$strip$table\
<p class="since">Since <time data-field="since" datetime="$since">$since_text</time></p>
</section>
""")

_TABLE: Final = Template("""\
<table>
<caption class="unseen">Numbers of $name</caption>
<thead class="unseen"><tr><th scope="col">What</th><th scope="col">Now</th>\
<th scope="col">Last ten minutes</th></tr></thead>
<tbody>
$rows
</tbody>
</table>
""")

_ROW: Final = Template("""\
<tr><th scope="row">$title <span class="note" data-field="note">$note</span></th>\
<td class="now" data-field="now">$now</td>\
<td class="plot"><svg viewBox="0 -2 $width $height" preserveAspectRatio="none" role="img" \
aria-label="$summary"><path d="$path"/></svg></td></tr>""")

_STRIP: Final = Template("""\
<svg class="strip" viewBox="0 0 $width $height" preserveAspectRatio="none" role="img" \
aria-label="$summary">$paths</svg>
""")

_LINK: Final = Template(
    '<li data-state="$state"><a href="#$name">'
    '<span class="mark" aria-hidden="true"></span>$name'
    ' <span class="word" data-field="state">$state</span></a></li>'
)


class Markup:
    """Fills the page.

    :param template: the page, with ``$`` names where values go.
    :param version: the daemon's.
    """

    def __init__(self, template: str, version: str) -> None:
        self._template = Template(template)
        self._version = version

    def fill(self, page: Page) -> bytes:
        """Give the page with these values."""
        text = self._template.substitute(
            title=escape(page.title),
            version=escape(self._version),
            updated=escape(page.updated),
            updated_text=escape(page.updated_text),
            documents="\n".join(map(_document, page.documents)),
            state=escape(page.state),
            headline=escape(page.headline),
            links="\n".join(_link(card) for card in page.cards),
            cards="".join(_card(card) for card in page.cards),
        )
        return text.encode()


def _link(card: Card) -> str:
    return _LINK.substitute(name=escape(card.name), state=escape(card.state))


def _card(card: Card) -> str:
    return _CARD.substitute(
        name=escape(card.name),
        description=escape(card.description),
        state=escape(card.state),
        why=escape(card.why),
        since=escape(card.since),
        since_text=escape(card.since_text),
        strip=_strip(card) if card.strip else "",
        table=_table(card) if card.rows else "",
    )


def _table(card: Card) -> str:
    return _TABLE.substitute(name=escape(card.name), rows="\n".join(map(_row, card.rows)))


def _document(name: str) -> str:
    return f'<li><a href="openapi/{escape(name)}.json">{escape(name)} API</a></li>'


def _strip(card: Card) -> str:
    return _STRIP.substitute(
        width=LENGTH,
        height=STRIP_HEIGHT,
        summary=escape(card.strip_summary),
        paths="".join(
            f'<path class="level-{level}" d="{path}"/>' for level, path in enumerate(card.strip)
        ),
    )


def _row(row: Row) -> str:
    return _ROW.substitute(
        title=escape(row.title),
        now=escape(row.now),
        note=escape(row.note),
        path=row.path,
        summary=escape(row.summary),
        width=LENGTH - 1,
        height=HEIGHT + 4,
    )
