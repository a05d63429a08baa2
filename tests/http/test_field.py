"""The fields of replies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.http.field import field_line


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("etag", '"1"', b'ETag: "1"\r\n'),
        (b"ETAG", b"x", b"ETag: x\r\n"),
        ("www-authenticate", "Bearer", b"WWW-Authenticate: Bearer\r\n"),
        ("x-Own-NAME", "a", b"x-Own-NAME: a\r\n"),
        ("X-Word", "Zürich", "X-Word: Zürich\r\n".encode()),
        ("X-Word", b"\xff", b"X-Word: \xff\r\n"),
    ],
)
def test_names_are_written_as_usual_and_values_as_given(name, value, line):
    assert field_line(name, value)[1] == line


def test_the_key_is_the_name_in_lower_case():
    assert field_line("X-A", "1")[0] == field_line(b"x-a", b"2")[0] == b"x-a"


@pytest.mark.parametrize(
    "name", ["Connection", "content-length", "DATE", b"Keep-Alive", b"transfer-encoding"]
)
def test_handlers_have_no_say_in_how_the_reply_is_carried(name):
    assert field_line(name, "1")[1] == b""


@settings(deadline=None)
@given(st.text() | st.binary())
def test_no_value_ends_its_field_early(value):
    line = field_line("X-A", value)[1]
    assert line.endswith(b"\r\n")
    assert b"\r" not in line[:-2]
    assert b"\n" not in line[:-2]


@pytest.mark.parametrize("name", ["X-A: 1\r\nSet-Cookie", "X-A\n", b"X\rA"])
def test_no_name_ends_its_field_early(name):
    # A name that is no token is the application's fault, which has to show in its tests.
    try:
        line = field_line(name, "1")[1]
    except ValueError:
        return
    assert b"\r" not in line[:-2]
    assert b"\n" not in line[:-2]


def test_equal_fields_are_equal_however_many_there_were():
    before = field_line("X-A", "1")
    for number in range(3000):
        assert field_line("X-A", str(number))[1] == b"X-A: %d\r\n" % number
    assert field_line("X-A", "1") == before


def test_text_and_bytes_do_not_get_mixed_up():
    assert field_line("X-A", "é")[1] == "X-A: é\r\n".encode()
    assert field_line("X-A", "é".encode("latin-1"))[1] == b"X-A: \xe9\r\n"
