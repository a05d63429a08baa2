"""The whole daemon, and a source of objects that means harm."""

from __future__ import annotations

from tests.system.callbacks import body_of
from tests.system.conftest import Starter
from tests.system.hostile_source import EARLY, TRICKS, HostileSource
from tests.system.regulars import (
    ABOVE_INFO,
    Regulars,
    descriptors,
    memory_bytes,
    require_service_to_newcomers,
)
from tests.system.running import eventually
from tests.system.whole import Whole

LIFESPAN_S = 3
SLACK_BYTES = 8 * 1024 * 1024


def depth(whole: Whole) -> int:
    """Give how many callbacks are not worked on to the end."""
    metrics = whole.ask("admin", "GET", "/metrics").body.decode()
    (line,) = [
        each for each in metrics.split("\n") if each.startswith("tsdaemon_callback_inbox_depth ")
    ]
    return int(float(line.split()[1]))


def test_whatever_a_source_does_callbacks_are_settled_and_others_are_served(start: Starter):
    """What cannot be believed is asked for again, until the object's time is over; nothing of it
    is stored, and what else the callbacks name is."""
    port = start.port()
    whole = Whole(
        start,
        port,
        f"callback.lifespan={LIFESPAN_S}",
        "callback.lookup_timeout=0.5",
        "hash.delay=0.1",
        "counter.window=36000",
    )
    whole.live()
    with HostileSource(port) as source:
        require_service_to_newcomers(whole)
        held, memory = descriptors(whole), memory_bytes(whole)
        objects = source.objects()
        good = range(2, 2 + 2 * len(objects), 2)
        with Regulars(whole) as regulars:
            for one, number in zip(good, objects.values(), strict=True):
                assert (
                    regulars.ask("callback", "POST", "/callback", body_of([one, number])).status
                    == 204
                )
            seen: set[int] = set()

            def all_stored() -> bool:
                regulars.require_service()
                seen.update(whole.database.ids())
                return seen >= {*good, objects[EARLY]}

            eventually(all_stored)

            def settled() -> bool:
                regulars.require_service()
                seen.update(whole.database.ids())
                return all(
                    whole.ask("callback", "GET", f"/objects/{one}").status == 404 for one in good
                )

            eventually(settled)
        eventually(lambda: depth(whole) == 0)
        assert not seen & {objects[name] for name in TRICKS}
        # Each was given another chance, and none of them without a pause.
        counts = {name: source.asked[objects[name]] for name in TRICKS}
        assert all(1 < count < 200 for count in counts.values()), counts
        assert source.asked[objects[EARLY]] == 1
        assert objects[EARLY] + 2 not in seen
        assert memory_bytes(whole) <= memory + SLACK_BYTES
        require_service_to_newcomers(whole)
        eventually(lambda: descriptors(whole) <= held + len(objects))
    logged = whole.daemon.stderr
    assert not ABOVE_INFO.search(logged), logged
    assert logged.count("\n") < 50, logged
    assert whole.daemon.stop() == 0
