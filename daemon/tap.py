"""What twistd runs: the command line, and the daemon's parts put together."""

from __future__ import annotations

import getopt
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.endpoints import serverFromString
from twisted.python import usage
from twisted.scripts._twistd_unix import ServerOptions

from daemon import __version__, signals
from daemon.lifecycle import Daemon
from daemon.logs import Format, Log
from daemon.output import fill_missing_descriptors
from daemon.plugin import IServicePlugin, PluginError, discover
from daemon.settings import (
    ENVIRONMENT_PREFIX,
    Given,
    Settings,
    SettingsError,
    flag,
    load,
    redact,
    to_toml,
)
from daemon.settings_types import about
from daemon.state import StateFolder
from daemon.tokens import Tokens, TokensFileError

USAGE = """
Options:
  -c, --config FILE        read settings from a TOML file
      --set TABLE.KEY=VALUE
                           set one setting; may be repeated, the last one wins
      --only NAMES         start these services only, names parted by commas
      --without NAMES      start all services but these
      --state DIR          folder for what outlives the process
                           [default: $STATE_DIRECTORY, else ./tsdaemon-state]
      --log-format FORMAT  text or json, a line each on stderr [default: text]
      --drain-timeout SECONDS
                           how long a stop may take [default: 30]
      --check              check all settings, print them as TOML, and exit
      --version            print the version, and exit
      --help               print this text, and exit

Every setting can also come from the environment, as TSDAEMON_<TABLE>_<KEY>;
TSDAEMON_CONFIG, TSDAEMON_ONLY and TSDAEMON_WITHOUT stand for their flags.
Flags win over the environment, the environment over the file.

Examples:
  twistd -n tsdaemon
  twistd -n tsdaemon --only numbers --set numbers.log=/var/lib/numbers.log
  twistd -n tsdaemon --config /etc/tsdaemon.toml --log-format json
  TSDAEMON_NUMBERS_CLIENTS=3 twistd -n tsdaemon --check

Services:
{services}
"""


class Options(usage.Options):
    """The flags of ``twistd tsdaemon``, checked down to the last setting.

    After :meth:`parseOptions`: ``settings`` holds the effective settings, ``chosen`` the plugins
    of the services to start, ``tokens`` the tokens that are accepted. Anything wrong is one line
    on stderr and exit status 2.

    :param environment: the process's environment.
    """

    optParameters = [
        ["config", "c", None, "TOML file", None],
        ["only", None, None, "services to start", None],
        ["without", None, None, "services not to start", None],
        ["state", None, None, "folder for what outlives the process", None],
        ["log-format", None, None, "text or json", None],
        ["drain-timeout", None, None, "seconds", None],
    ]
    optFlags = [["check", None, "check all settings, print them, and exit"]]

    settings: Settings
    chosen: dict[str, IServicePlugin]
    tokens: Tokens

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        super().__init__()
        self.environment = environment
        self["set"] = []

    def opt_set(self, text: str) -> None:
        """Set one setting."""
        self["set"].append(text)

    def opt_version(self) -> None:
        """Print the version, and exit."""
        print(f"tsdaemon {__version__}")
        raise SystemExit(0)

    def getSynopsis(self) -> str:
        """Give the first line of the help text."""
        return "Usage: twistd [twistd options] tsdaemon [options]"

    def getUsage(self, width: int | None = None) -> str:  # noqa: ARG002  # Twisted's
        """Give the help text as it was written; Twisted would re-wrap the examples."""
        services = "\n".join(
            f"  {plugin.name:12} {plugin.description}" for plugin in discover().values()
        )
        return USAGE.format(services=services)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Read the command line; twistd itself would print an error on stdout, in a page.

        What is done first has to come before the first thread and the first file: services that
        are looked at bring libraries in, which start threads.
        """
        signals.hold()
        fill_missing_descriptors()
        try:
            super().parseOptions(options)
        except (usage.UsageError, SettingsError, PluginError, TokensFileError) as error:
            sys.stderr.write(f"tsdaemon: {redact(str(error))}\n")
            raise SystemExit(2) from error

    def parseArgs(self, *words: str) -> None:
        """Refuse words that belong to no flag."""
        if words:
            raise usage.UsageError(f"got {words[0]!r}, wanted flags only (see --help)")

    def postOptions(self) -> None:
        """Load the settings and choose the services."""
        plugins = discover()
        config = self._flag_or_environment("config")
        self.settings = load(
            {name: plugin.settings for name, plugin in plugins.items()},
            file=Path(config) if config else None,
            environment=self.environment,
            flags=self._settings_from_flags(),
        )
        self.chosen = self._choose(plugins)
        _check_endpoints(self.settings)
        tokens_file = self.settings.auth.tokens_file
        self.tokens = Tokens(Path(tokens_file) if tokens_file is not None else None)
        self.tokens.load()
        if self["check"]:
            descriptions = {name: plugin.description for name, plugin in plugins.items()}
            sys.stdout.write(to_toml(self.settings, descriptions))
            raise SystemExit(0)

    def _settings_from_flags(self) -> list[Given]:
        given = [flag(text) for text in self["set"]]
        for name in ("state", "log-format", "drain-timeout"):
            if self[name] is not None:
                key = name.replace("-", "_")
                given.append(Given("", key, self[name], f"--{name}", is_text=True))
        return given

    def _choose(self, plugins: Mapping[str, IServicePlugin]) -> dict[str, IServicePlugin]:
        only = self._names("only", plugins) or set(plugins)
        chosen = only - self._names("without", plugins)
        if not chosen:
            raise usage.UsageError("--only and --without leave no service to start")
        return {name: plugin for name, plugin in plugins.items() if name in chosen}

    def _names(self, flag: str, plugins: Mapping[str, IServicePlugin]) -> set[str]:
        names = {name.strip() for name in self._flag_or_environment(flag).split(",")} - {""}
        for name in sorted(names - set(plugins)):
            raise usage.UsageError(
                f"--{flag}: got {name!r}, wanted names of services: {', '.join(plugins)}"
            )
        return names

    def _flag_or_environment(self, flag: str) -> str:
        if self[flag] is not None:
            return str(self[flag])
        return self.environment.get(ENVIRONMENT_PREFIX + flag.upper(), "")


def makeService(options: Options, reactor: Any = None) -> Daemon:
    """Put the daemon together from its chosen services.

    :param options: parsed options.
    :param reactor: what the daemon runs on; the one that twistd has installed.
    """
    if reactor is None:
        from twisted.internet import reactor as installed

        reactor = installed
        # By default Twisted goes by the wall clock: a step back would stop all timers for as long.
        reactor.seconds = time.monotonic
    chosen = options.settings
    daemon = Daemon(
        reactor,
        StateFolder(Path(chosen.daemon.state)),
        drain_timeout_s=chosen.daemon.drain_timeout,
        daemon_log=_log(chosen.daemon.log_format, twistd_flags(sys.argv)),
        tokens=options.tokens,
    )
    for name, plugin in options.chosen.items():
        daemon.add(name, plugin.build(chosen.services[name], daemon.host(name)))
    return daemon


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
    long_names = {"-l": "--logfile", "-n": "--nodaemon"}
    return {long_names.get(flag, flag): value for flag, value in given}


def _log(format_: Format, twistd: Mapping[str, str] | None) -> Log | None:
    """Give the log of the daemon, unless twistd was told to use another observer."""
    if twistd is None:
        return Log(format_)
    if "--logger" in twistd or "--syslog" in twistd:
        return None
    path = twistd.get("--logfile", "-" if "--nodaemon" in twistd else "twistd.log")
    return Log(format_, None if path == "-" else path)


def _check_endpoints(effective: Settings) -> None:
    """Check the endpoint strings: only their own parser knows which are right.

    :raises SettingsError: for the first that is wrong.
    """
    from twisted.internet import reactor

    for table, values in effective.services.items():
        for field in msgspec.structs.fields(values):
            text = getattr(values, field.name)
            if about(field.type).is_endpoint:
                try:
                    serverFromString(reactor, text)
                except Exception as error:  # each kind of endpoint has its own
                    raise SettingsError(
                        f"{table}.{field.name}: got {text!r}, wanted a Twisted endpoint such as"
                        f" tcp:4000:interface=127.0.0.1 ({error or type(error).__name__})"
                    ) from error
