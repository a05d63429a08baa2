"""Service plugins that cannot be used: the daemon does not start, and says whose fault it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.system.running import Finished, run_tsdaemon

RAISES = "raise RuntimeError('this one is broken')\n"

NAMES_NO_MODULE = """
from daemon.plugin import ServicePlugin
extra = ServicePlugin("extra", "no_such_package.service", "Is not there.")
"""

HAS_THE_NAME_OF_ANOTHER = """
from daemon.plugin import ServicePlugin
again = ServicePlugin("numbers", "daemon.numbers.service", "The same name.")
"""

HAS_A_BAD_NAME = """
from daemon.plugin import ServicePlugin
extra = ServicePlugin("Extra-Service", "daemon.numbers.service", "A name for no table.")
"""


def start_with(folder: Path, plugin: str, *flags: str) -> Finished:
    """Start the daemon with one plugin more."""
    plugins = folder / "elsewhere" / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    (plugins / "some_plugin.py").write_text(plugin)
    path = os.pathsep.join(filter(None, [str(folder / "elsewhere"), os.environ.get("PYTHONPATH")]))
    return run_tsdaemon(folder, *flags, environment={"PYTHONPATH": path})


@pytest.mark.parametrize("flags", [[], ["--check"]], ids=["start", "check"])
@pytest.mark.parametrize(
    ("plugin", "named"),
    [
        (RAISES, "this one is broken"),
        (NAMES_NO_MODULE, "no_such_package"),
        (HAS_THE_NAME_OF_ANOTHER, "'numbers'"),
        (HAS_A_BAD_NAME, "'Extra-Service'"),
    ],
    ids=["raises at import", "names no module", "has another's name", "has a bad name"],
)
def test_a_plugin_that_cannot_be_used_stops_the_start(
    tmp_path: Path, plugin: str, named: str, flags: list[str]
):
    finished = start_with(tmp_path, plugin, *flags)
    assert finished.status == 2
    assert finished.stdout == ""
    assert finished.last_error.startswith("tsdaemon: ")
    assert named in finished.last_error
    assert not (tmp_path / "numbers.log").exists()


def test_a_plugin_that_raises_is_named_by_its_file(tmp_path: Path):
    assert "some_plugin" in start_with(tmp_path, RAISES).last_error


NEVER_STOPS = """
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.plugin import IPlugin
from zope.interface import implementer
import msgspec
from daemon.plugin import IDraining, IServicePlugin

class Settings(msgspec.Struct, frozen=True):
    pass

@implementer(IDraining)
class Stubborn(Service):
    def stopService(self):
        return Deferred()

    def unfinished(self):
        return "three cups of tea"

@implementer(IPlugin, IServicePlugin)
class Extra:
    name = "extra"
    description = "Never stops."
    settings = Settings

    def build(self, settings, host):
        host.reactor.callLater(0.1, host.shut_down, "enough")
        return Stubborn()

extra = Extra()
"""


def test_what_does_not_stop_in_time_is_abandoned_and_told(tmp_path: Path):
    flags = ["--only", "extra", "--drain-timeout", "0.2"]
    finished = start_with(tmp_path, NEVER_STOPS, *flags)
    assert finished.status == 1
    assert "stopping: enough" in finished.stderr
    assert "extra did not stop within 0.2 s; abandoned: three cups of tea" in finished.stderr
    assert "Traceback" not in finished.stderr


WELL = """
from zope.interface import implementer
from twisted.application.service import Service
from twisted.plugin import IPlugin
import msgspec
from daemon.plugin import IServicePlugin

class Settings(msgspec.Struct, frozen=True, kw_only=True):
    greeting: str = "hello"

@implementer(IPlugin, IServicePlugin)
class Extra:
    name = "extra"
    description = "Does nothing."
    settings = Settings

    def build(self, settings, host):
        return Service()

extra = Extra()
"""


def test_a_plugin_of_a_strangers_has_its_settings_and_is_in_the_help(tmp_path: Path):
    finished = start_with(tmp_path, WELL, "--check", "--set", "extra.greeting=good day")
    assert finished.status == 0
    assert "# Does nothing.\n[extra]\n" in finished.stdout
    assert 'greeting = "good day"' in finished.stdout
