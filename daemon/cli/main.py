"""The console script: finds the command, runs it, turns its end into an exit status.

What a command needs is imported when it runs: ``tsdaemon status`` takes a tenth of a second,
which ``import twisted`` alone would triple.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress

from daemon import __version__
from daemon.cli.outcome import CommandError, Exit, plain
from daemon.cli.parser import make_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    :param arguments: the words after ``tsdaemon``; None: those of the process.
    :returns: the exit status, one of :class:`daemon.cli.outcome.Exit`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except CommandError as error:
        _complain(plain(str(error)))
        return error.status
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return Exit.BROKEN_PIPE


def _run(words: list[str]) -> int:
    if words[:1] == ["check"]:  # its flags are twistd's, --help too, and not for argparse
        return _flushed(_check(words[1:]))
    return _flushed(_command(make_parser(__version__).parse_args(words)))


def _command(given: Namespace) -> int:
    match given.command:
        case "status":
            from daemon.cli.status import tell_status

            return tell_status(given.url, as_json=given.json)
        case "timestamp":
            from daemon.timestamp.__main__ import main as round_trip

            return _status_of(round_trip, [given.timestamp] if given.timestamp else [])
        case "numbers send":
            from daemon.cli.numbers import send

            return send(
                given.file,
                given.to,
                connections=given.connections,
                rate=given.rate,
                timeout_s=given.timeout,
            )
        case "hash submit":
            from daemon.cli.hashes import submit

            return submit(given.url, given.token_file)
        case _:
            from daemon.cli.hashes import wait

            return wait(given.url, given.id, given.timeout)


def _check(flags: list[str]) -> int:
    from daemon.tap import Options

    return _status_of(Options().parseOptions, [*flags, "--check"])


def _status_of(run: object, words: list[str]) -> int:
    """Run something that ends by SystemExit, and give its status."""
    try:
        run(words)  # type: ignore[operator]  # a callable
    except SystemExit as end:
        if isinstance(end.code, str):
            _complain(end.code)
            return Exit.NO
        return end.code or 0
    return Exit.DONE


def _flushed(status: int) -> int:
    """See to it that what was printed has a reader, as long as it can be said."""
    sys.stdout.flush()
    return status


def _complain(line: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"tsdaemon: {line}\n")
        sys.stderr.flush()


def _forget_stdout() -> None:
    """Keep the interpreter from complaining, at its end, of what it cannot print."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
