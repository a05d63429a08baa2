"""What the page shows: every word and every line on it, made here once for both its ways.

The page comes with these values in its HTML, and its script fetches the same values as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from daemon.admin.history import Track
from daemon.admin.plots import line, strip
from daemon.admin.units import NOTHING, moment, rfc3339, shown
from daemon.health import Health, Phase, State
from daemon.metrics import Kind
from daemon.overview import Overview

_GRAVITY: Final = {
    State.READY: 0,
    State.STARTING: 0,
    State.DEGRADED: 1,
    State.DRAINING: 1,
    State.FAILING: 2,
    State.STOPPED: 2,
}
_LEVELS: Final = 3


class Row(msgspec.Struct, frozen=True):
    """One number over time.

    :ivar now: its value.
    :ivar note: its peak, or its total.
    :ivar path: the line of the plot, as SVG's ``d`` has it.
    :ivar summary: what the plot shows, in words.
    """

    title: str
    now: str
    note: str
    path: str
    summary: str


class Card(msgspec.Struct, frozen=True):
    """One service.

    :ivar state: how it is, in one word.
    :ivar why: what is wrong with it; empty when nothing is.
    :ivar since: since when that has been so.
    :ivar since_text: the same for a person.
    :ivar strip: when it was well, when someone should have looked, when it did no work: lines.
    :ivar strip_summary: the same in words.
    """

    name: str
    description: str
    state: str
    why: str
    since: str
    since_text: str
    strip: list[str]
    strip_summary: str
    rows: list[Row]


class Page(msgspec.Struct, frozen=True):
    """The page.

    :ivar headline: how the daemon is, in a few words.
    :ivar state: the same in one word.
    :ivar updated: when this was so.
    :ivar updated_text: the same for a person.
    :ivar documents: the services that have an OpenAPI document.
    :ivar cards: the services, and last the process.
    """

    title: str
    headline: str
    state: str
    updated: str
    updated_text: str
    documents: list[str]
    cards: list[Card]


def gravity(health: Health) -> float:
    """Give a number for how bad a service is: 0 it is well, 1 look at it, 2 it does no work."""
    return _GRAVITY[health.state]


def page(
    overview: Overview,
    tracks: dict[str, Sequence[Track]],
    process: Card,
    *,
    itself: str,
    documents: list[str],
    now_us: int,
) -> Page:
    """Put the page together.

    :param tracks: of each service by its name; the first is how bad it was, see :func:`gravity`.
    :param process: the card of the process.
    :param itself: the service that makes the page, and comes after all others.
    :param now_us: the time, in microseconds since the epoch.
    """
    cards = [
        _service(name, member.description, member.health, tracks[name])
        for name, member in sorted(overview.members.items(), key=lambda item: item[0] == itself)
    ]
    state = overall(overview)
    return Page(
        f"{state} · tsdaemon",
        headline(overview),
        state,
        rfc3339(now_us),
        moment(now_us),
        documents,
        [*cards, process],
    )


def card(name: str, description: str, state: str, since_us: int, tracks: Iterable[Track]) -> Card:
    """Give a card of which nothing but numbers is known."""
    rows = [_row(track) for track in tracks]
    since = (rfc3339(since_us), moment(since_us))
    return Card(name, description, state, "", *since, [], "", rows)


def overall(overview: Overview) -> str:
    """Give the state of the daemon in one word."""
    if overview.phase is not Phase.RUNNING:
        return overview.phase.value
    worst = max((member.health for member in overview.members.values()), key=gravity, default=None)
    return State.READY if worst is None else worst.state


def headline(overview: Overview) -> str:
    """Say how the daemon is."""
    if overview.phase is Phase.STARTING:
        return "The daemon is starting"
    states = {name: member.health.state for name, member in overview.members.items()}
    if overview.phase is not Phase.RUNNING:
        busy = [name for name, state in states.items() if state is State.DRAINING]
        return f"The daemon is stopping; still at work: {', '.join(busy) or 'nobody'}"
    unwell = [f"{name} is {state.value}" for name, state in states.items() if state != State.READY]
    if unwell:
        return "; ".join(unwell)
    return f"All {len(states)} services are ready" if len(states) > 1 else "The service is ready"


def _service(name: str, description: str, health: Health, tracks: Sequence[Track]) -> Card:
    states, *others = tracks
    unwell = sum(bool(value) for value in states.values)
    share = f"unwell for {100 * unwell / len(states.values):.0f} %" if unwell else "always well"
    return Card(
        name,
        description,
        health.state.value,
        health.why or "",
        rfc3339(health.since_us),
        moment(health.since_us),
        [strip(states.values, level) for level in range(_LEVELS)],
        f"State over the last ten minutes: now {health.state.value}, {share}",
        [_row(track) for track in others],
    )


def _row(track: Track) -> Row:
    plot = track.plot
    if track.peak is None:
        summary = f"{plot.title}: nothing in the last ten minutes"
        return Row(plot.title, NOTHING, "", "", summary)
    now, peak = shown(track.now, plot.unit, plot.kind), shown(track.peak, plot.unit, plot.kind)
    note = f"peak {peak}"
    if plot.kind is Kind.RATE and plot.unit != "seconds":
        note = f"total {shown(track.reading, plot.unit)}"
    summary = f"{plot.title} over the last ten minutes: now {now}, peak {peak}"
    return Row(plot.title, now, note, line(track.values, track.peak), summary)
