"""A process that takes callbacks into an inbox, says so, and is killed: ``FILE``.

It writes a line ``accepted NUMBER`` once a callback is answered, and ``settling NUMBER`` before one
is settled. The ids of a callback follow from its time: see :func:`ids_of`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from daemon.callback.inbox import Inbox
from daemon.threads import OneThread

CLIENTS = 20


def ids_of(received_us: int) -> tuple[int, ...]:
    return tuple(range(received_us, received_us + received_us % 50))


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


async def client(inbox: Inbox, number: int) -> None:
    received_us = number
    while True:
        received_us += CLIENTS
        callback = await inbox.accept(received_us, ids_of(received_us))
        say(f"accepted {callback.number} {received_us}")
        if number % 2:
            say(f"settling {callback.number}")
            inbox.settle([callback.number])
        if callback.number % 7 == 0:
            await inbox.reject(received_us, "every seventh", b"?")


def main(path: Path) -> None:
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    thread = OneThread(reactor, "inbox")
    inbox = Inbox(path, reactor, thread, on_trouble=lambda why: say(f"trouble {why}"))
    for trouble in inbox.open():
        say(f"trouble {trouble}")
    reactor.callWhenRunning(thread.start)
    clients = [Deferred.fromCoroutine(client(inbox, number)) for number in range(CLIENTS)]
    gatherResults(clients).addErrback(lambda failure: say(f"trouble {failure.value}"))
    reactor.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
