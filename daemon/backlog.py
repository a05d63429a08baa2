"""The connections that the system has made and nobody has accepted yet."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
from contextlib import suppress
from typing import Any, Final

ROUNDS: Final = 64
"""Each accepts 20 more than the one before: enough for any queue. Where no descriptor is left, none
accepts anything."""

_SO_ATTACH_FILTER: Final = 26
_DROP_ALL: Final = struct.pack("=HBBI", 0x06, 0, 0, 0)
"""A program for the system's packet filter: return 0, that is, keep nothing of the packet."""


def take(port: Any) -> None:
    """Accept all who wait at a port that is about to close.

    The system resets them otherwise, though from their side they are connected. Nobody can join
    the queue between the last accept and the close: whoever tries is heard when the port is
    closed, and refused.

    :param port: a listening port of Twisted's; others are left as they are.
    """
    try:
        descriptor = port.fileno()
        accept = port.doRead
    except AttributeError:
        return
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as listening:
        if listening.family in (socket.AF_INET, socket.AF_INET6):
            _drop_all(listening)
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    for _ in range(ROUNDS):
        if not waiting.poll(0):
            return
        accept()


def _drop_all(listening: socket.socket) -> None:
    program = ctypes.create_string_buffer(_DROP_ALL)
    listening.setsockopt(
        socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program))
    )
