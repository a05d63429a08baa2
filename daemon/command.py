"""What the commands of twistd share: how their flags are read, and where their logs go."""

from __future__ import annotations

import getopt
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from twisted.internet.endpoints import serverFromString
from twisted.python import usage
from twisted.scripts._twistd_unix import ServerOptions

from daemon import __version__, signals
from daemon.logs import Log
from daemon.output import fill_missing_descriptors
from daemon.plugin import OF_SYSTEMD
from daemon.redaction import redact
from daemon.settings import DaemonSettings, Settings, SettingsError
from daemon.settings_types import about
from daemon.tls import Certificate, is_tls, why


class Flags(usage.Options):
    """The flags of a command. Anything wrong is one line on stderr and exit status 2.

    :cvar command: the command's name.
    :cvar refusals: the exceptions that say what is wrong.
    """

    command: str
    refusals: tuple[type[Exception], ...] = (usage.UsageError, SettingsError)

    def opt_version(self) -> None:
        """Print the version, and exit."""
        print(f"{self.command} {__version__}")
        raise SystemExit(0)

    def getSynopsis(self) -> str:
        """Give the first line of the help text."""
        return f"Usage: twistd [twistd options] {self.command} [options]"

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line; twistd itself would print an error on stdout, in a page.

        What is done first has to come before the first thread and the first file: services that
        are looked at bring libraries in, which start threads.
        """
        signals.hold()
        fill_missing_descriptors()
        try:
            super().parseOptions(options)
        except self.refusals as error:
            sys.stderr.write(f"{self.command}: {redact(str(error))}\n")
            raise SystemExit(2) from error

    def parseArgs(self, *words: str) -> None:
        """Refuse words that belong to no flag."""
        if words:
            raise usage.UsageError(f"got {words[0]!r}, wanted flags only (see --help)")


def monotonic_reactor() -> Any:
    """Give the reactor that twistd has installed, with timers that nobody sets.

    By default Twisted goes by the wall clock: a step back would stop all timers for as long.
    """
    from twisted.internet import reactor

    installed: Any = reactor
    installed.seconds = time.monotonic
    return installed


_LONG_NAMES: Final = {"-l": "--logfile", "-n": "--nodaemon"}


def twistd_flags(words: Sequence[str]) -> dict[str, str] | None:
    """Give the flags that twistd itself was started with, by their long names.

    A ``.tac`` file has no other way to know them.

    :param words: the command line, the program's name first.
    :returns: None when it is not twistd that was started.
    """
    if not Path(words[0]).name.startswith("twistd"):
        return None
    known = ServerOptions()
    given, _ = getopt.getopt(list(words[1:]), known.shortOpt, known.longOpt)
    return {_LONG_NAMES.get(flag, flag): value for flag, value in given}


def log_for(settings: DaemonSettings, twistd: Mapping[str, str] | None) -> Log | None:
    """Give the log of the daemon, unless twistd was told to use another observer.

    :param settings: how its lines look, and which it has.
    :param twistd: what :func:`twistd_flags` gives.
    """
    path = None
    if twistd is not None:
        if "--logger" in twistd or "--syslog" in twistd:
            return None
        path = twistd.get("--logfile", "-" if "--nodaemon" in twistd else "twistd.log")
    return Log(
        settings.log_format,
        None if path == "-" else path,
        level=settings.log_level,
        levels=settings.log_levels,
    )


def check_endpoints(effective: Settings) -> None:
    """Check the endpoint strings: only their own parser knows which are right.

    :raises SettingsError: for the first that is wrong.
    """
    from twisted.internet import reactor

    for table, values in effective.services.items():
        for field in msgspec.structs.fields(values):
            text = getattr(values, field.name)
            if about(field.type).is_endpoint:
                try:
                    if is_tls(text):
                        Certificate(text)  # whose key and certificate have to go together
                    else:
                        serverFromString(reactor, text)
                except Exception as error:  # each kind of endpoint has its own
                    if isinstance(error, LookupError) and OF_SYSTEMD.search(text):
                        raise SettingsError(
                            f"{table}.{field.name}: got {text!r}, but no such socket was passed"
                            f" by systemd (LISTEN_FDNAMES={os.environ.get('LISTEN_FDNAMES', '')})"
                        ) from error
                    raise SettingsError(
                        f"{table}.{field.name}: got {text!r}, wanted a Twisted endpoint such as"
                        f" tcp:4000:interface=127.0.0.1 ({why(error)})"
                    ) from error
