"""Settings: defaults < TOML file < environment < flags, read into one frozen tree.

Every source is turned into a list of :class:`Given`, one for each key, in the order of their
weight; each is checked on its own, so that an error names the key, what it got and where, and
what it wanted. No Twisted here, and nothing is read but the file.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
import tomlkit
from msgspec import Meta

from daemon.redaction import redact
from daemon.settings_types import Level, about, accepts_text, is_table, seconds, wanted

ENVIRONMENT_PREFIX = "TSDAEMON_"
NOT_SETTINGS = frozenset({"config", "only", "without"})
"""What can be said by flag or environment but is no setting: it says which settings, services."""


class SettingsError(Exception):
    """A setting is unknown or wrong; the text is one line that names it.

    :param text: what stands in it of what was given may be anything: a name with line ends, too.
    """

    def __init__(self, text: str) -> None:
        super().__init__("".join(map(_printable, text)))


class DaemonSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of the daemon as a whole: the keys outside every table."""

    state: Annotated[
        str,
        Meta(
            min_length=1,
            description="Folder for what outlives the process. $STATE_DIRECTORY if that is set.",
        ),
    ] = "./tsdaemon-state"
    log_format: Annotated[
        Literal["text", "json"],
        Meta(description="What a line of the log on stderr is: readable text, or a JSON object."),
    ] = "text"
    log_level: Annotated[
        Level, Meta(description="Events below this level are left out of the log.")
    ] = "info"
    log_levels: Annotated[
        dict[str, Level],
        Meta(
            description=(
                "The same for the namespaces that begin with a name, as in"
                ' { "daemon.http" = "warn" }.'
            )
        ),
    ] = {}
    access_log: Annotated[
        bool, Meta(description="Whether each HTTP request is a line of the log.")
    ] = False
    drain_timeout: Annotated[
        float,
        seconds(
            "How long a stop may take; what is left then is abandoned, exit status 1.",
            gt=0,
            le=86400,
        ),
    ] = 30.0


class AuthSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings table ``[auth]``: who may change something over HTTP."""

    tokens_file: Annotated[
        str | None,
        Meta(
            description=(
                "File with the SHA-256 of a bearer token on each line, in hexadecimal digits. With"
                " it, requests that change something need one of these tokens."
            ),
        ),
    ] = None


AUTH: Final = "auth"
"""The table of the daemon that is no service's."""


@dataclass(frozen=True)
class Settings:
    """The effective settings.

    :ivar daemon: those of the daemon as a whole.
    :ivar services: a table for each installed service, chosen or not, by its name.
    :ivar auth: the table ``[auth]``.
    """

    daemon: DaemonSettings
    services: Mapping[str, msgspec.Struct]
    auth: AuthSettings = dataclasses.field(default_factory=AuthSettings)


@dataclass(frozen=True)
class Given:
    """One value that somebody gave.

    :ivar table: the service's name, or ``""`` for the daemon as a whole.
    :ivar source: where it comes from, for the error message.
    :ivar is_text: the value is text that is still to be read (environment, flags).
    """

    table: str
    key: str
    value: object
    source: str
    is_text: bool = False

    @property
    def name(self) -> str:
        """The key with its table, as in ``numbers.clients``."""
        return f"{self.table}.{self.key}" if self.table else self.key


Table = TypeVar("Table", bound=msgspec.Struct)

Tables = Mapping[str, type[msgspec.Struct]]
"""The settings class of each service, by the service's name."""


def load(
    tables: Tables,
    *,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Iterable[Given] = (),
) -> Settings:
    """Read all sources and check every value.

    :param tables: the settings class of each service.
    :param file: a TOML file, or none.
    :param environment: the process's environment; keys that start with ``TSDAEMON_`` count.
    :param flags: what the command line gave, later ones win.
    :raises SettingsError: with one line for the first key that is unknown or wrong.
    """
    environment = environment or {}
    services, tables = tables, {AUTH: AuthSettings, **tables}
    classes: dict[str, type[msgspec.Struct]] = {"": DaemonSettings, **tables}
    values: dict[str, dict[str, Any]] = {table: {} for table in classes}
    for given in (
        *_from_state_directory(environment),
        *(_from_file(file, tables) if file else ()),
        *_from_environment(environment, tables),
        *flags,
    ):
        values[given.table][given.key] = _checked(given, classes)
    return Settings(
        daemon=_built("", DaemonSettings, values[""]),
        auth=_built(AUTH, AuthSettings, values[AUTH]),
        services={table: _built(table, services[table], values[table]) for table in services},
    )


def flag(text: str) -> Given:
    """Read the value of ``--set``, such as ``numbers.clients=3``.

    :raises SettingsError: when it has no ``=``.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SettingsError(f"--set: got {redact(text)!r}, wanted TABLE.KEY=VALUE")
    table, _, key = name.strip().rpartition(".")
    return Given(table, key, value, f"--set {name.strip()}", is_text=True)


def _from_state_directory(environment: Mapping[str, str]) -> Iterator[Given]:
    """Give systemd's folder, which counts as a default; of several, the first."""
    folder = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    if folder:
        yield Given("", "state", folder, "$STATE_DIRECTORY")


_NOT_TOML: Final = (ValueError, RecursionError)
"""What the parser raises: its own error is a ValueError, as is a number of 5,000 digits."""


def _from_file(path: Path, tables: Tables) -> Iterator[Given]:
    try:
        document = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"--config: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"--config: {path} is not UTF-8 text: {error.reason}") from error
    except _NOT_TOML as error:
        raise SettingsError(f"--config: {path} is not TOML: {error}") from error
    for key, value in document.items():
        if key in tables:
            if not isinstance(value, dict):
                raise SettingsError(
                    f"{key}: got {_shown(value)} from {path}, wanted a table [{key}]"
                )
            for inner, inner_value in value.items():
                yield Given(key, inner, inner_value, str(path))
        elif isinstance(value, dict) and key not in DaemonSettings.__struct_fields__:
            raise SettingsError(_unknown_table(key, str(path), tables))
        else:
            yield Given("", key, value, str(path))


def _from_environment(environment: Mapping[str, str], tables: Tables) -> Iterator[Given]:
    for variable, text in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if not variable.isupper():
            raise SettingsError(f"{variable}: no such setting; wanted {variable.upper()}")
        if key in NOT_SETTINGS:
            continue
        table, _, rest = key.partition("_")
        if key in DaemonSettings.__struct_fields__ or table not in tables or not rest:
            yield Given("", key, text, variable, is_text=True)
        else:
            yield Given(table, rest, text, variable, is_text=True)


def _checked(given: Given, classes: Mapping[str, type[msgspec.Struct]]) -> object:
    """Give the value as its field's type wants it."""
    if given.table not in classes:
        tables = {table: cls for table, cls in classes.items() if table}
        raise SettingsError(_unknown_table(given.table, given.source, tables))
    fields = msgspec.structs.fields(classes[given.table])
    field = next((field for field in fields if field.name == given.key), None)
    if field is None:
        known = [known.name for known in fields]
        raise SettingsError(
            f"{given.name or given.source}: no such setting (from {given.source});"
            f"{_guess(given.key, known)} known {'here' if given.table else 'at the top'}:"
            f" {', '.join(known)}"
        )
    value = given.value
    if isinstance(value, str) and not _is_unicode(value):
        raise SettingsError(
            f"{given.name}: got {_shown(value)} from {given.source}, wanted text in UTF-8"
        )
    if given.is_text:
        value = _read_text(str(value), field.type)
    try:
        converted: object = msgspec.convert(value, field.type)
    except msgspec.ValidationError as error:
        raise SettingsError(
            f"{given.name}: got {_shown(given.value)} from {given.source},"
            f" wanted {wanted(field.type)}"
        ) from error
    if isinstance(converted, float) and math.isnan(converted):  # it passes every bound
        raise SettingsError(f"{given.name}: got nan from {given.source}, wanted a number")
    if isinstance(converted, str) and "\0" in converted:  # no path or address may hold it
        raise SettingsError(
            f"{given.name}: got {_shown(converted)} from {given.source}, wanted text without NUL"
        )
    return converted


def _printable(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


def _is_unicode(text: str) -> bool:
    """Whether text can be written as UTF-8: not so where the system gave bytes that are none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_text(text: str, type_: Any) -> object:
    """Read text as the TOML value it stands for, unless the field takes any text."""
    if accepts_text(type_):
        return text
    try:
        document = tomllib.loads(f"value = {text}")
    except _NOT_TOML:
        return _pairs(text) if is_table(type_) else text
    return document["value"] if len(document) == 1 else text


def _pairs(text: str) -> object:
    """Read ``name=value,name=value``, which is easier to write in a shell than TOML."""
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    if not all(equals for _, equals, _ in pairs):
        return text
    return {name.strip(): value.strip() for name, _, value in pairs}


def _built(table: str, cls: type[Table], values: dict[str, Any]) -> Table:
    """Put one table together; a class may refuse values that do not go together."""
    try:
        return cls(**values)
    except ValueError as error:
        # A class that refuses one of its values names the key itself.
        names_key = table and str(error).startswith(f"{table}.")
        why = str(error) if names_key else f"{table or 'settings'}: {error}"
        raise SettingsError(why) from error


def _unknown_table(name: str, source: str, tables: Iterable[str]) -> str:
    known = sorted(tables)
    return (
        f"{name}: no such service (from {source});{_guess(name, known)}"
        f" there are: {', '.join(known)}"
    )


def _guess(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f" did you mean {close[0]}?" if close else ""


def _shown(value: object) -> str:
    return redact(repr(value))


def to_toml(settings: Settings, descriptions: Mapping[str, str], *, commented: bool = False) -> str:
    """Write settings as TOML that :func:`load` accepts again, passwords as ``***``.

    :param descriptions: one line on each service, by name.
    :param commented: put ``#`` before each value, as in a file to start from.
    """
    lines = list(_table_lines(settings.daemon, commented))
    lines += ["", "# Who may change something over HTTP.", f"[{AUTH}]"]
    lines += _table_lines(settings.auth, commented)
    for name, table in settings.services.items():
        lines += ["", f"# {descriptions[name]}", f"[{name}]", *_table_lines(table, commented)]
    return "\n".join(lines) + "\n"


def _table_lines(table: msgspec.Struct, commented: bool) -> Iterator[str]:
    defaults = type(table)()
    for number, field in enumerate(msgspec.structs.fields(table)):
        if number:
            yield ""
        value = getattr(table, field.name)
        yield f"# {about(field.type).description}"
        default = _toml(getattr(defaults, field.name))
        yield f"# Takes {wanted(field.type)}. Default: {default or 'nothing'}"
        yield f"{'#' if commented or value is None else ''}{field.name} = {_toml(value)}".rstrip()


def _toml(value: object) -> str:
    """Write one value; the library knows the escapes. TOML has no word for nothing."""
    if value is None:
        return ""
    if isinstance(value, dict):
        inline = tomlkit.inline_table()
        inline.update(value)
        return inline.as_string()
    if isinstance(value, list):
        return tomlkit.item([_redacted(element) for element in value]).as_string()
    return tomlkit.item(_redacted(value)).as_string()


def _redacted(value: object) -> object:
    return redact(value) if isinstance(value, str) else value
