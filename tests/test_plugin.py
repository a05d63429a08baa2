"""How service plugins are found, and what stops the start."""

from __future__ import annotations

import sys
import types

import msgspec
import pytest
import twisted.plugins
from twisted.logger import Logger

from daemon.plugin import PluginError, ServicePlugin, discover


class Settings(msgspec.Struct, frozen=True):
    """A table of settings."""

    cups: int = 1


@pytest.fixture
def module(monkeypatch):
    """Put a module of a given content in place; gives its name."""

    def make(**content) -> str:
        name = f"tea_{len(content)}_{id(content)}"
        made = types.ModuleType(name)
        vars(made).update(content)
        monkeypatch.setitem(sys.modules, name, made)
        return name

    return make


def found(*plugins):
    return discover(lambda _interface: plugins)


def test_the_built_in_services_are_found_by_twisted():
    plugins = discover()
    assert list(plugins) == sorted(plugins)
    assert "numbers" in plugins
    assert plugins["numbers"].settings().clients == 5


def test_a_plugin_of_strings_builds_by_its_module(module):
    name = module(Settings=Settings, build=lambda settings, host: (settings, host))
    plugin = found(ServicePlugin("tea", name, "Makes tea."))["tea"]
    assert plugin.settings is Settings
    assert plugin.build("settings", "host") == ("settings", "host")


def test_two_plugins_of_one_name_stop_the_start(module):
    one, two = module(Settings=Settings), module(Settings=Settings, build=None)
    with pytest.raises(PluginError, match=f"two service plugins are called 'tea': {one} and {two}"):
        found(ServicePlugin("tea", one, ""), ServicePlugin("tea", two, ""))


def test_a_plugin_whose_module_is_missing_stops_the_start():
    with pytest.raises(PluginError, match=r"'tea' cannot be loaded from no\.such\.module"):
        found(ServicePlugin("tea", "no.such.module", ""))


def test_a_plugin_whose_module_lacks_settings_stops_the_start(module):
    with pytest.raises(PluginError, match=r"'tea' cannot be loaded.*AttributeError"):
        found(ServicePlugin("tea", module(), ""))


@pytest.mark.parametrize("name", ["Tea", "te-a", "1tea", "", "te_a", None])
def test_a_name_that_cannot_be_a_table_stops_the_start(module, name):
    with pytest.raises(PluginError, match="the service's name is"):
        found(ServicePlugin(name, module(Settings=Settings), ""))


@pytest.mark.parametrize("name", ["state", "config", "only", "without"])
def test_a_name_of_the_daemons_own_stops_the_start(module, name):
    with pytest.raises(PluginError, match="no service can be called"):
        found(ServicePlugin(name, module(Settings=Settings), ""))


def test_settings_must_be_a_struct_with_defaults(module):
    class Needy(msgspec.Struct):
        cups: int

    with pytest.raises(PluginError, match=r"no msgspec\.Struct"):
        found(ServicePlugin("tea", module(Settings=dict), ""))
    with pytest.raises(PluginError, match="a setting without a default"):
        found(ServicePlugin("tea", module(Settings=Needy), ""))


def test_a_plugin_that_raises_is_named_by_its_file(tmp_path, monkeypatch):
    """As real Twisted finds it: in a folder of plugins on the path."""
    folder = tmp_path / "twisted" / "plugins"
    folder.mkdir(parents=True)
    (folder / "tea_plugin.py").write_text("raise RuntimeError('no kettle')\n")
    monkeypatch.setattr(twisted.plugins, "__path__", [*twisted.plugins.__path__, str(folder)])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match=f"{folder}/tea_plugin.py: RuntimeError: no kettle"):
        discover()


def test_what_twisted_would_only_log_stops_the_start():
    def find(_interface):
        try:
            raise ImportError("no\nkettle")
        except ImportError:
            Logger("twisted.plugin").failure("a plugin failed")
        return []

    with pytest.raises(PluginError, match="a plugin cannot be loaded: ImportError: no kettle"):
        discover(find)


def test_a_plugin_finds_its_openapi_document_in_the_package_of_its_module(tmp_path, monkeypatch):
    (tmp_path / "tea_house").mkdir()
    (tmp_path / "tea_house" / "openapi.json").write_text("{}")
    (tmp_path / "tea_house" / "service.py").touch()
    (tmp_path / "milk_bar").mkdir()
    (tmp_path / "openapi.json").write_text("nobody's")
    monkeypatch.syspath_prepend(tmp_path)
    assert ServicePlugin("tea", "tea_house.service", "").openapi() == b"{}"
    assert ServicePlugin("milk", "milk_bar.service", "").openapi() is None
    assert ServicePlugin("cake", "cake", "").openapi() is None
