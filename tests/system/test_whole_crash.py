"""The whole daemon and ``kill -9``: whatever it was doing, each service keeps what it promised."""

from __future__ import annotations

import os
import random
import time

from tests.system.callbacks import object_source
from tests.system.conftest import Starter
from tests.system.whole import Whole
from tests.system.whole_load import MixedLoad

ROUNDS = 100 if os.environ.get("LONG_TESTS", "") not in {"", "0"} else 5
LIFE_S = 0.5
"""How long a daemon lives at most, from when all its services have answered, or from its start."""

DELAY_S = 0.5
"""From a job's arrival until its hash can be read."""


def test_every_service_keeps_its_promises_whenever_the_daemon_is_killed(start: Starter):
    """Every other time the daemon is killed again while it starts, or works on what was left."""
    source, chance = start.port(), random.Random()  # noqa: S311
    object_source(start, "--min-delay", "0", "--max-delay", "0.2", port=source)
    settings = ("counter.window=36000", "hash.keep=true", f"hash.delay={DELAY_S}")
    whole = Whole(start, source, *settings)
    load = MixedLoad(whole, DELAY_S)
    whole.live()
    for number in range(ROUNDS):
        with load.running():
            time.sleep(chance.uniform(0, LIFE_S))  # a crash comes at any moment
            whole.daemon.kill()
        load.require_log()
        if number % 2:
            daemon = whole.live(wait=False)
            time.sleep(chance.uniform(0, 2 * LIFE_S))  # likewise
            daemon.kill()
        whole.live()
        load.require_kept()
    load.require_jobs_to_be_ready()
    assert whole.daemon.stop() == 0
