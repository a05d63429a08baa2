"""``tsdaemon numbers send``: a file of nine-digit lines, over several connections."""

from __future__ import annotations

import sys
import time
from typing import Final

from daemon.cli.lines import LINE_BYTES
from daemon.cli.outcome import CannotAskError, CommandError, Exit
from daemon.cli.progress import Progress, rate
from daemon.cli.sending import Sending, Sent
from daemon.cli.source import Source
from daemon.cli.wires import connect

PIECE_BYTES: Final = 256 * 1024
_STEPS_A_SECOND: Final = 20
"""How often lines go out when a rate is set."""

_LAST_PORT: Final = 65_535


def send(file: str, to: str, *, connections: int, rate: float | None, timeout_s: float) -> int:
    """Send a file, and print how it went.

    :param file: its path, or ``-``.
    :param to: ``HOST:PORT``, an IPv6 address in brackets.
    :param rate: lines a second, at most.
    :param timeout_s: give up when nothing moves for so long.
    :returns: the exit status.
    :raises CommandError: it could not be sent to its end.
    """
    host, port = address(to)
    source = Source(file, _piece_bytes(rate))
    progress = Progress(sys.stderr, source.size)
    try:
        wires = connect(host, port, connections)
        began = time.monotonic()
        try:
            sending = Sending(
                source,
                wires,
                rate=rate,
                timeout_s=timeout_s,
                show=lambda sent: progress.show(sent.lines, sent.bytes),
            )
            sent = sending.run()
        finally:
            for wire in wires:
                wire.close()
            progress.clear()
    finally:
        source.close()
    sys.stdout.write(_summary(sent, time.monotonic() - began, len(wires), connections) + "\n")
    sys.stdout.flush()
    if sent.early:
        raise CommandError(_cut_off(source.name, sent, to))
    if sent.bad is not None:
        raise CommandError(
            f"{source.name}, {sent.bad} is not nine digits; {to} ends a connection there,"
            " and nothing after it was sent"
        )
    return Exit.DONE


def address(text: str) -> tuple[str, int]:
    """Read ``HOST:PORT``.

    :raises CannotAskError: it is something else.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) <= _LAST_PORT:
        raise CannotAskError(f"--to: got {text!r}, wanted HOST:PORT")
    return host, int(port)


def _piece_bytes(lines_a_second: float | None) -> int:
    if lines_a_second is None:
        return PIECE_BYTES
    return min(PIECE_BYTES, max(int(lines_a_second / _STEPS_A_SECOND), 1) * LINE_BYTES)


def _summary(sent: Sent, seconds: float, used: int, wanted: int) -> str:
    over = f"{used} connections" if used == wanted else f"{used} of {wanted} connections"
    words = f"sent {sent.lines} numbers over {over} in {seconds:.2f} s"
    words += f", {rate(sent.lines, seconds)}"
    return words + (", then terminate" if sent.is_terminated else "")


def _cut_off(name: str, sent: Sent, to: str) -> str:
    numbers = ", ".join(map(str, sorted(sent.early)))
    return (
        f"{to} has ended connection {numbers} early (it stops, its disk is full, or it has too many"
        f" clients): up to line {sent.lines} of {name} numbers may be missing;"
        " sending them again does no harm"
    )
