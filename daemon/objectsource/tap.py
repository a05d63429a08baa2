"""What ``twistd tsobjectsource`` runs: its command line, and its parts put together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from twisted.internet.protocol import Factory

from daemon.command import Flags, check_endpoints, log_for, monotonic_reactor, twistd_flags
from daemon.lifecycle import Daemon
from daemon.objectsource.service import ObjectSource, Settings
from daemon.settings import Given, load
from daemon.settings import Settings as AllSettings
from daemon.settings_types import about, wanted
from daemon.state import StateFolder

NAME: Final = "objectsource"

USAGE = """
Serves GET /objects/<id>, answered after a while with {{"id":7,"online":false}}, and posts
callbacks that name such objects: the other side of the callback service, for trying it out.

Options:
{flags}
  --no-callbacks
      Serve objects only.
  --log-format VALUE [default: text]
      What a line of the log on stderr is: json or text.
  --version
      Print the version, and exit.
  --help
      Print this text, and exit.

Examples:
  twistd -n tsobjectsource
  twistd -n tsobjectsource --period 1 --min-delay 0 --max-delay 0.1 --seed 1
  twistd -n tsobjectsource --error-rate 0.1 --reset-rate 0.05 --hang-rate 0.01
  twistd -n tsobjectsource --no-callbacks --online all --listen tcp:9011:interface=127.0.0.1
"""


def _flag(name: str) -> str:
    return name.replace("_", "-")


_VALUED: Final = [
    field
    for field in msgspec.structs.fields(Settings)
    if field.name in Settings.__annotations__ and field.name != "callbacks"
]
"""The settings that have flags; the limits that every HTTP server of ours has do not."""


class Options(Flags):
    """The flags of ``twistd tsobjectsource``: one for each of its settings.

    After :meth:`parseOptions`: ``source`` holds what they say.
    """

    command = "tsobjectsource"
    optParameters = [
        *([_flag(field.name), None, None, ""] for field in _VALUED),
        ["log-format", None, None, ""],
    ]
    optFlags = [["no-callbacks", None, ""]]

    source: Settings
    settings: AllSettings

    def getUsage(self, width: int | None = None) -> str:  # noqa: ARG002  # Twisted's
        """Give the help text as it was written; Twisted would re-wrap the examples."""
        return USAGE.format(flags="\n".join(map(_described, _VALUED)))

    def postOptions(self) -> None:
        """Check all flags, as settings are checked."""
        given = [
            Given(NAME, field.name, self[_flag(field.name)], f"--{_flag(field.name)}", is_text=True)
            for field in _VALUED
            if self[_flag(field.name)] is not None
        ]
        if self["no-callbacks"]:
            given.append(Given(NAME, "callbacks", False, "--no-callbacks"))
        if self["log-format"] is not None:
            given.append(Given("", "log_format", self["log-format"], "--log-format", is_text=True))
        self.settings = load({NAME: Settings}, flags=given)
        check_endpoints(self.settings)
        self.source = cast("Settings", self.settings.services[NAME])


def _described(field: msgspec.structs.FieldInfo) -> str:
    """Give the lines of the help text on one flag."""
    default = "" if field.default is None else f" [default: {field.default}]"
    description = about(field.type).description.removesuffix(".")
    words = wanted(field.type)
    wants = "" if words == "text" else f": {words}"
    return f"  --{_flag(field.name)} VALUE{default}\n      {description}{wants}."


def makeService(options: Options, reactor: Any = None) -> Daemon:
    """Put the object source together.

    :param options: parsed options.
    :param reactor: what it runs on; the one that twistd has installed.
    """
    if reactor is None:
        reactor = monotonic_reactor()
        # Each connection of the sender's would be three lines of the log.
        Factory.noisy = False
    general = options.settings.daemon
    daemon = Daemon(
        reactor,
        StateFolder(Path(general.state)),  # which the source never asks for
        drain_timeout_s=general.drain_timeout,
        daemon_log=log_for(general, twistd_flags(sys.argv)),
    )
    daemon.add(NAME, ObjectSource(options.source, daemon.host(NAME)))
    return daemon
