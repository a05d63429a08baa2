"""To which part of the work a sampled stack belongs. Pure functions of py-spy's folded stacks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SEND, RECEIVE, POLL = "system: send", "system: recv", "system: epoll_wait"
SYSCALLS = {
    "SocketOutlet.write": SEND,
    "Connection.writeSomeData": SEND,
    "_SocketWire.write": SEND,
    "Connection.doRead": RECEIVE,
    "EPollReactor.doPoll": POLL,
}
"""Functions that do little else than a call of the system, by their names."""

LAYERS = (
    ("twisted/internet/defer.py", "Twisted: Deferreds"),
    ("twisted/", "Twisted: the reactor"),
    ("klein/", "Klein, werkzeug"),
    ("werkzeug/", "Klein, werkzeug"),
    ("daemon/http/client", "HTTP client"),
    ("daemon/http/answer", "HTTP client"),
    ("daemon/http/", "HTTP server"),
    ("daemon/storage/", "storage"),
    ("daemon/", "service"),
)
"""What files belong to, by how their paths begin."""

OTHER = "other"
OTHER_THREADS = "other threads"
WAITS = frozenset({"Condition.wait", "sigwait", "SimpleQueue.get"})
"""In these a thread sleeps, whatever the sampler takes it for."""

_THREAD = re.compile(r"thread \((\d+)\): (.*)")
_FRAME = re.compile(r"(.*) \(([^()]*?)(?::\d+)?\)")


@dataclass(frozen=True)
class Place:
    """Where a thread was.

    :ivar thread: the system's number of it.
    :ivar layer: what that belongs to.
    :ivar function: the innermost one of the project or of Twisted, and its file.
    """

    thread: int
    layer: str
    function: str


def places(folded: Iterable[str]) -> Counter[Place]:
    """Count the samples in each place.

    :param folded: lines ``thread (1): name;outer (file:line);inner (file:line) samples``.
    """
    found: Counter[Place] = Counter()
    for line in folded:
        stack, _, samples = line.rpartition(" ")
        thread, *frames = stack.split(";")
        named = _THREAD.match(thread)
        if named is None or not frames:
            continue
        place = _place(int(named[1]), frames)
        if place is not None:
            found[place] += int(samples)
    return found


def _place(thread: int, frames: list[str]) -> Place | None:
    """Find the innermost frame that belongs to a layer; None for a thread that sleeps."""
    matches = [match for frame in frames if (match := _FRAME.fullmatch(frame.strip()))]
    if not matches or matches[-1][1] in WAITS:
        return None
    for number, match in enumerate(reversed(matches)):
        function, path = match.groups()
        layer = layer_of(path)
        if layer != OTHER:
            if number == 0:
                layer = SYSCALLS.get(function, layer)
            return Place(thread, layer, f"{function} ({path})")
    return Place(thread, OTHER, matches[-1][0])


def layer_of(path: str) -> str:
    """Return what a file belongs to."""
    return next((layer for start, layer in LAYERS if path.startswith(start)), OTHER)


def weighed(found: Mapping[Place, int], cpu_us: Mapping[int, float]) -> dict[Place, float]:
    """Share out the CPU time of each thread among the places where it was seen.

    :param cpu_us: of each thread, by its number.
    """
    seen: Counter[int] = Counter()
    for place, samples in found.items():
        seen[place.thread] += samples
    return {
        place: cpu_us.get(place.thread, 0.0) * samples / seen[place.thread]
        for place, samples in found.items()
    }


def by_layer(weights: Mapping[Place, float], main: int) -> dict[str, float]:
    """Sum up the layers, those of the reactor's thread one by one, all other threads as one.

    :param main: the number of the reactor's thread.
    """
    return _sums(
        (place.layer if place.thread == main else OTHER_THREADS, weight)
        for place, weight in weights.items()
    )


def by_function(weights: Mapping[Place, float]) -> dict[str, float]:
    """Sum up the functions of all threads, the dearest first."""
    found = _sums((place.function, weight) for place, weight in weights.items())
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _sums(weights: Iterable[tuple[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, weight in weights:
        found[name] = found.get(name, 0.0) + weight
    return found
