"""Where settings come from, which one wins, and what is said when one is wrong."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from daemon.redaction import redact
from daemon.settings import Settings, SettingsError, flag, load, to_toml


class Tea(msgspec.Struct, frozen=True, kw_only=True):
    """A table with a field of each kind."""

    delay: Annotated[float, Meta(ge=0, le=60, extra={"unit": "seconds"})] = 5.0
    cups: Annotated[int, Meta(ge=1)] = 1
    kind: Literal["green", "black"] = "green"
    name: Annotated[str, Meta(min_length=1, description="What it is called.")] = "tea"
    milk: bool = False
    guests: list[str] = msgspec.field(default_factory=list)
    note: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.milk and self.kind == "green":
            raise ValueError("milk goes with black tea only")


TABLES = {"tea": Tea, "cake": Tea}


def tea(settings: Settings) -> Tea:
    table = settings.services["tea"]
    assert isinstance(table, Tea)
    return table


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "tsdaemon.toml"
        path.write_text(text)
        return path

    return write


def error(**sources) -> str:
    with pytest.raises(SettingsError) as raised:
        load(TABLES, **sources)
    text = str(raised.value)
    assert text.isprintable()
    return text


@pytest.mark.parametrize(
    "text", ['{"daemon.http" = "warn", other = "debug"}', "daemon.http=warn, other = debug,"]
)
def test_a_table_of_names_is_toml_or_pairs(text):
    wanted = {"daemon.http": "warn", "other": "debug"}
    for sources in (
        {"environment": {"TSDAEMON_LOG_LEVELS": text}},
        {"flags": [flag(f"log_levels={text}")]},
    ):
        assert load(TABLES, **sources).daemon.log_levels == wanted


@pytest.mark.parametrize("text", ['log_levels = {a = "warn"}', '[log_levels]\na = "warn"'])
def test_a_table_at_the_top_that_is_a_setting_is_none_of_a_service(file, text):
    settings = load(TABLES, file=file(text))
    assert settings.daemon.log_levels == {"a": "warn"}
    written = to_toml(settings, dict.fromkeys(TABLES, ""))
    assert load(TABLES, file=file(written)) == settings


@pytest.mark.parametrize("text", ["loud", "a=loud", "a=warn,b", "{a=1}", "a=b=c"])
def test_a_table_with_anything_else_is_refused(text):
    said = error(environment={"TSDAEMON_LOG_LEVELS": text})
    assert said.startswith(f"log_levels: got {text!r} from TSDAEMON_LOG_LEVELS, wanted a table")


def test_without_any_source_the_defaults_hold():
    settings = load(TABLES)
    assert tea(settings) == Tea()
    assert settings.daemon.state == "./tsdaemon-state"
    assert settings.daemon.drain_timeout == 30.0


def test_flags_win_over_the_environment_and_that_over_the_file(file):
    path = file('drain_timeout = 1\n[tea]\ndelay = 1\ncups = 2\nname = "file"\n')
    environment = {"TSDAEMON_TEA_CUPS": "3", "TSDAEMON_TEA_NAME": "env", "HOME": "/"}
    settings = load(
        TABLES,
        file=path,
        environment=environment,
        flags=[flag("tea.name=first"), flag("tea.name=last"), flag("drain_timeout=2.5")],
    )
    assert tea(settings) == Tea(delay=1.0, cups=3, name="last")
    assert settings.daemon.drain_timeout == 2.5


def test_the_folder_of_systemd_is_a_default_that_everything_else_beats(file):
    environment = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}
    assert load(TABLES, environment=environment).daemon.state == "/var/lib/a"
    path = file('state = "/from/file"')
    assert load(TABLES, environment=environment, file=path).daemon.state == "/from/file"


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("tea.delay=2", "delay", 2.0),
        ("tea.cups=12", "cups", 12),
        ("tea.kind=black", "kind", "black"),
        ("tea.name=12", "name", "12"),
        ("tea.name=a = b", "name", "a = b"),
        ('tea.name="quoted"', "name", '"quoted"'),
        ('tea.guests=["a", "b"]', "guests", ["a", "b"]),
        ("tea.note=true", "note", "true"),
        (" tea.cups = 2", "cups", 2),
    ],
)
def test_text_is_read_as_the_field_wants_it(text, field, value):
    assert getattr(tea(load(TABLES, flags=[flag(text)])), field) == value


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            "tea.delay=soon",
            "got 'soon' from --set tea.delay, wanted a number >= 0, <= 60 (seconds)",
        ),
        ("tea.delay=-1", "got '-1'"),
        ("tea.delay=inf", "wanted a number >= 0, <= 60"),
        ("tea.delay=true", "wanted a number"),
        ("tea.delay=nan", "nan"),
        ("tea.weight=nan", "got nan from --set tea.weight, wanted a number"),
        ("tea.cups=" + "9" * 5000, "wanted a whole number"),
        ("tea.guests=" + "[" * 20_000, "wanted a list"),
        ("tea.name=a\0b", "wanted text without NUL"),
        ("tea.name=a\udcff", "wanted text in UTF-8"),
        ("tea.cups=\udcff", "wanted text in UTF-8"),
        ("tea.guests=['\udcff']", "wanted text in UTF-8"),
        ("tea.cups=1.5", "wanted a whole number >= 1"),
        ("tea.cups=1\ntwo=2", "wanted a whole number"),
        ("tea.kind=white", "wanted black or green"),
        ("tea.name=", "got '', wanted text, not empty"),
        ("tea.milk=yes", "wanted true or false"),
        ("tea.guests=a", "wanted a list of: text"),
        ("tea.milk=true", "tea: milk goes with black tea only"),
        ("tea.sugar=1", "tea.sugar: no such setting"),
        ("tea.cupz=1", "did you mean cups?"),
        ("coffee.cups=1", "coffee: no such service"),
        ("tae.cups=1", "did you mean tea?"),
        ("delay=1", "delay: no such setting (from --set delay)"),
        ("a.b.c=1", "a.b: no such service"),
    ],
)
def test_a_wrong_flag_is_named_with_what_it_got_and_what_it_wanted(text, wanted):
    assert wanted.replace("''", "''") in error(flags=[flag(text)]).replace(
        " from --set tea.name", ""
    )


def test_a_flag_without_a_value_is_refused():
    with pytest.raises(SettingsError, match=r"--set: got 'tea\.cups', wanted TABLE\.KEY=VALUE"):
        flag("tea.cups")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[tea]\ncups = 'two'", "tea.cups: got 'two' from "),
        ("[tea]\ndelay = '2'", "wanted a number"),
        ("[coffee]\ncups = 1", "coffee: no such service"),
        ("tea = 1", "wanted a table [tea]"),
        ("cups = 1", "cups: no such setting"),
        ('"a\\nb\\u2028" = 1', r"a\nb\u2028: no such setting"),
        ('[tea]\n"\\u001b[1m" = 1', r"tea.\x1b[1m: no such setting"),
        ('["c\\rd"]\na = 1', r"c\rd: no such service"),
        ("[tea\n", "is not TOML"),
        ("[tea]\ncups = {a = 1}", "wanted a whole number"),
        ("[tea]\ncups = " + "9" * 5000, "is not TOML"),
        ("[tea]\nguests = " + "[" * 20_000, "is not TOML"),
    ],
)
def test_a_wrong_file_is_named_with_the_key(file, text, wanted):
    assert wanted in error(file=file(text))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    assert "No such file" in error(file=tmp_path / "missing.toml")
    (tmp_path / "latin").write_bytes(b"name = '\xe9'")
    assert "is not UTF-8 text" in error(file=tmp_path / "latin")


def test_a_file_may_start_with_a_byte_order_mark(tmp_path):
    (tmp_path / "bom.toml").write_text("[tea]\ncups = 2\n", encoding="utf-8-sig")
    assert tea(load(TABLES, file=tmp_path / "bom.toml")).cups == 2


def test_passwords_in_a_list_are_not_printed():
    table = Tea(guests=["postgresql://me:hidden@host/db"])
    text = to_toml(Settings(load(TABLES).daemon, {"tea": table}), {"tea": "Tea."})
    assert "hidden" not in text


@pytest.mark.parametrize(
    ("variable", "wanted"),
    [
        ("TSDAEMON_TEA_CUPS", "tea.cups: got 'x' from TSDAEMON_TEA_CUPS"),
        ("TSDAEMON_TEA_SUGAR", "tea.sugar: no such setting (from TSDAEMON_TEA_SUGAR)"),
        ("TSDAEMON_COFFEE_CUPS", "coffee_cups: no such setting"),
        ("TSDAEMON_TEA", "tea: no such setting (from TSDAEMON_TEA)"),
        ("TSDAEMON_", "TSDAEMON_: no such setting"),
        ("TSDAEMON_tea_cups", "TSDAEMON_tea_cups: no such setting; wanted TSDAEMON_TEA_CUPS"),
        ("TSDAEMON_DRAIN_TIMEOUT", "drain_timeout: got 'x' from TSDAEMON_DRAIN_TIMEOUT"),
    ],
)
def test_a_wrong_variable_is_named(variable, wanted):
    assert wanted in error(environment={variable: "x"})


def test_variables_that_choose_files_and_services_are_no_settings():
    load(TABLES, environment={"TSDAEMON_CONFIG": "x", "TSDAEMON_ONLY": "y"})


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("postgresql://me:hidden@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:hid@den@host/db", "postgresql://me:***@host/db"),
        ("postgresql://:hidden@host/db", "postgresql://:***@host/db"),
        ("postgresql://host/db?user=me&password=hidden&x=1", None),
        ("host=h password=hidden dbname=d", "host=h password=*** dbname=d"),
        ("postgresql://host/db?sslpassword=hidden", None),
        ("postgresql://me:hi?d#d/en hid@host/db", "postgresql://me:***@host/db"),
        ("host=h password = 'hid den' x=1", "host=h password = *** x=1"),
        ('host=h pwd="hid den" x=1', "host=h pwd=*** x=1"),
        (r"host=h password=hid\ den x=1", "host=h password=*** x=1"),
        ("https://host/?api_key=hid;den", "https://host/?api_key=***"),
        ("http://user@host:8080/path", "http://user@host:8080/path"),
        ("tcp:4000:interface=127.0.0.1", "tcp:4000:interface=127.0.0.1"),
    ],
)
def test_passwords_are_never_shown(secret, shown):
    assert "hid" not in redact(secret)
    if shown:
        assert redact(secret) == shown


def test_a_password_is_not_in_an_error_either():
    secret = "postgresql://me:hidden@host/db"  # noqa: S105
    assert "hidden" not in error(flags=[flag(f"tea.kind={secret}")])
    assert "hidden" not in error(flags=[flag(f"tea.cups={secret}")])
    with pytest.raises(SettingsError) as raised:
        flag(secret)
    assert "hidden" not in str(raised.value)


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
texts = texts.filter(lambda text: redact(text) == text)
teas = st.builds(
    Tea,
    delay=st.floats(0, 60),
    cups=st.integers(1, 2**62),
    kind=st.sampled_from(["green", "black"]),
    name=texts,
    guests=st.lists(texts, max_size=3),
)


@given(teas)
def test_what_is_printed_is_accepted_again_and_prints_the_same(tmp_path_factory, table):
    settings = Settings(load(TABLES).daemon, {"tea": table, "cake": Tea()})
    text = to_toml(settings, {"tea": "Tea.", "cake": "Cake."})
    path = tmp_path_factory.mktemp("printed") / "tsdaemon.toml"
    path.write_text(text)
    assert load(TABLES, file=path) == settings


def test_a_file_to_start_from_changes_nothing_until_it_is_edited():
    settings = load(TABLES)
    text = to_toml(settings, {"tea": "Tea.", "cake": "Cake."}, commented=True)
    assert tomllib.loads(text) == {"auth": {}, "tea": {}, "cake": {}}
    assert "# What it is called.\n" in text
    assert '# Takes text, not empty. Default: "tea"\n#name = "tea"\n' in text
    assert "# Takes a number >= 0, <= 60 (seconds). Default: 5.0\n" in text
