"""The callback service and a source that fails in every way it can."""

from __future__ import annotations

import itertools
import re

from daemon.objectsource.behaviour import Fault
from tests.system.callbacks import IMMEDIATE, even, object_source, online, post, receiver
from tests.system.conftest import Starter
from tests.system.http_clients import tcp
from tests.system.running import eventually

IDS = range(80)
RATE = 0.06


def test_whatever_the_source_does_all_that_is_online_is_stored_and_nothing_else(start: Starter):
    source_port = start.port()
    rates = [f"--{fault.value.replace('_', '-')}-rate={RATE}" for fault in Fault]
    source = object_source(start, *IMMEDIATE, *rates, "--seed", "1", port=source_port)
    daemon = receiver(start, tcp(start.port()), start.folder(), source_port, lookup_timeout=0.3)
    assert post(daemon, IDS) == 204
    eventually(lambda: online(daemon) == even(IDS), 40)
    # Those that are offline were asked for as well, until the source said so.
    assert daemon.stop() == 0
    assert source.stop() == 0
    (report,) = re.findall(r"in all, of objects: (.*); of callbacks", source.stderr)
    for fault in Fault:
        assert re.search(rf"\d+ {fault.value.replace('_', ' ')}\b", report), report


def test_what_was_named_while_the_source_was_down_is_stored_when_it_is_back(start: Starter):
    source_port, ids = start.port(), itertools.count()
    daemon = receiver(start, tcp(start.port()), start.folder(), source_port)
    before = [next(ids) for _ in range(20)]
    assert post(daemon, before) == 204
    source = object_source(start, *IMMEDIATE, port=source_port)
    eventually(lambda: online(daemon) == even(before))
    source.kill()
    meanwhile = [next(ids) for _ in range(20)]
    assert post(daemon, meanwhile) == 204
    object_source(start, *IMMEDIATE, port=source_port)
    eventually(lambda: online(daemon) == even(before + meanwhile))
