"""What twistd runs: the command line, and the daemon's parts put together."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.python import usage

from daemon.command import Flags, check_endpoints, log_for, monotonic_reactor, twistd_flags
from daemon.lifecycle import Daemon
from daemon.notify import Systemd
from daemon.plugin import IServicePlugin, PluginError, discover
from daemon.settings import (
    ENVIRONMENT_PREFIX,
    Given,
    Settings,
    flag,
    load,
    to_toml,
)
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


class Options(Flags):
    """The flags of ``twistd tsdaemon``, checked down to the last setting.

    After :meth:`parseOptions`: ``settings`` holds the effective settings, ``chosen`` the plugins
    of the services to start, ``tokens`` the tokens that are accepted.

    :param environment: the process's environment.
    """

    command = "tsdaemon"
    refusals = (*Flags.refusals, PluginError, TokensFileError)

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

    def getUsage(self, width: int | None = None) -> str:  # noqa: ARG002  # Twisted's
        """Give the help text as it was written; Twisted would re-wrap the examples."""
        services = "\n".join(
            f"  {plugin.name:12} {plugin.description}" for plugin in discover().values()
        )
        return USAGE.format(services=services)

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
        check_endpoints(self.settings)
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
        reactor = monotonic_reactor()
    chosen = options.settings
    daemon = Daemon(
        reactor,
        StateFolder(Path(chosen.daemon.state)),
        drain_timeout_s=chosen.daemon.drain_timeout,
        daemon_log=log_for(chosen.daemon, twistd_flags(sys.argv)),
        tokens=options.tokens,
        systemd=Systemd(reactor, os.environ),
        access_log=chosen.daemon.access_log,
    )
    for name, plugin in options.chosen.items():
        daemon.add(name, plugin.build(chosen.services[name], daemon.host(name, plugin)))
    return daemon
