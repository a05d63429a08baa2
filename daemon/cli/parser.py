"""What can be typed: commands, flags, help. Imports next to nothing: it runs at every start."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

ADMIN_URL: Final = "http://127.0.0.1:9180"
HASH_URL: Final = "http://127.0.0.1:8080"
NUMBERS: Final = "127.0.0.1:4000"
MOST_CONNECTIONS: Final = 1000

DESCRIPTION: Final = "Asks, feeds and checks a tsdaemon. `twistd -n tsdaemon` starts one."

EXAMPLES: Final = """\
examples:
  tsdaemon check --config /etc/tsdaemon.toml
  tsdaemon status
  tsdaemon status --url http://127.0.0.1:9180 --json
  tsdaemon timestamp 1700000000
  tsdaemon numbers send numbers.txt --connections 5
  seq -f %09.0f 0 999999 | tsdaemon numbers send -
  tsdaemon hash wait $(tsdaemon hash submit)

exit status: 0 done; 1 asked, and the answer is no; 2 could not be asked; 130 Ctrl-C
"""


def number_between(low: float, high: float, *, whole: bool = False) -> Callable[[str], float]:
    """Give a reader of a flag's number.

    :param low: the number must be greater, or equal if whole.
    :param high: the greatest.
    """

    def read(text: str) -> float:
        kind = int if whole else float
        try:
            number = kind(text)
        except ValueError:
            number = kind(low) - 1
        if not (low <= number if whole else low < number) or not number <= high:
            words = f"a whole number from {low:g} to" if whole else f"a number > {low:g}, <="
            raise argparse.ArgumentTypeError(f"got {text!r}, wanted {words} {high:g}")
        return number

    return read


class Parser(argparse.ArgumentParser):
    """Keeps help as it was written; a mistake is one line."""

    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return
        """Say what is wrong, and exit with status 2."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")


def make_parser(version: str) -> Parser:
    """Give the parser of the command line.

    :returns: ``parse_args`` gives a namespace whose ``command`` names what is to be done.
    """
    parser = Parser(
        prog="tsdaemon",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"tsdaemon {version}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _check(commands)
    _status(commands)
    _timestamp(commands)
    numbers = _add(commands, "numbers", "feed the number server")
    _numbers_send(numbers.add_subparsers(metavar="COMMAND", required=True))
    hashes = _add(commands, "hash", "have passwords hashed").add_subparsers(
        metavar="COMMAND", required=True
    )
    _hash_submit(hashes)
    _hash_wait(hashes)
    return parser


def _add(commands: argparse._SubParsersAction[Parser], name: str, what: str) -> Parser:
    parser: Parser = commands.add_parser(
        name, help=what, description=what[0].upper() + what[1:] + ".", allow_abbrev=False
    )
    return parser


def _check(commands: argparse._SubParsersAction[Parser]) -> None:
    check = _add(commands, "check", "check settings, and print them as TOML")
    check.add_argument("flags", nargs=argparse.REMAINDER, help="those of twistd tsdaemon")
    check.set_defaults(command="check")


def _status(commands: argparse._SubParsersAction[Parser]) -> None:
    status = _add(commands, "status", "tell how a running daemon is")
    _url(status, ADMIN_URL, "where its admin service listens")
    status.add_argument("--json", action="store_true", help="print all it tells, as JSON")
    status.set_defaults(command="status")


def _timestamp(commands: argparse._SubParsersAction[Parser]) -> None:
    timestamp = _add(
        commands, "timestamp", "store a timestamp and read it back, in a service of its own"
    )
    timestamp.add_argument("timestamp", nargs="?", metavar="TIMESTAMP", help="default: now")
    timestamp.set_defaults(command="timestamp")


def _numbers_send(commands: argparse._SubParsersAction[Parser]) -> None:
    send = _add(commands, "send", "send lines of nine digits to the number server")
    send.add_argument("file", metavar="FILE", help="a file, or - for standard input")
    send.add_argument(
        "--connections",
        type=number_between(1, MOST_CONNECTIONS, whole=True),
        default=5,
        metavar="N",
        help="over how many connections [%(default)s]",
    )
    send.add_argument(
        "--to", default=NUMBERS, metavar="HOST:PORT", help="where it listens [%(default)s]"
    )
    send.add_argument(
        "--rate",
        type=number_between(0, 1e9),
        metavar="N",
        help="lines a second at most [as fast as it takes them]",
    )
    _timeout(send, 60, "give up when nothing moves for so long")
    send.set_defaults(command="numbers send")


def _hash_submit(commands: argparse._SubParsersAction[Parser]) -> None:
    submit = _add(commands, "submit", "submit a password, and print the job's id")
    submit.description = (
        "Reads a password from standard input (one line end at its end is not part of it), or"
        " asks for it without showing it. Prints the id of the job."
    )
    _url(submit, HASH_URL, "where the hash service listens")
    submit.add_argument(
        "--token-file", metavar="FILE", help="holds the bearer token, if one is needed"
    )
    submit.set_defaults(command="hash submit")


def _hash_wait(commands: argparse._SubParsersAction[Parser]) -> None:
    wait = _add(commands, "wait", "wait for a job, and print its hash")
    wait.add_argument("id", type=number_between(1, 2**63 - 1, whole=True), metavar="ID")
    _url(wait, HASH_URL, "where the hash service listens")
    _timeout(wait, 60, "wait no longer than this")
    wait.set_defaults(command="hash wait")


def _url(parser: Parser, url: str, what: str) -> None:
    parser.add_argument("--url", default=url, help=f"{what} [%(default)s]")


def _timeout(parser: Parser, seconds: float, what: str) -> None:
    parser.add_argument(
        "--timeout",
        type=number_between(0, 86_400),
        default=float(seconds),
        metavar="SECONDS",
        help=f"{what} [{seconds}]",
    )
