"""Conditional requests, against the tables of RFC 9110 section 13 and its grammar."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.http.conditions import (
    UNCONDITIONAL,
    Conditions,
    MalformedConditionError,
    Tags,
    parse_conditions,
    parse_tags,
)

ANY = Tags(any=True)
FAILED = HTTPStatus.PRECONDITION_FAILED
NOT_MODIFIED = HTTPStatus.NOT_MODIFIED

etagc = st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f')
opaque_tags = st.text(etagc, max_size=8)
blanks = st.text(" \t", max_size=3)


def named(strong: str = "", weak: str = "") -> Tags:
    return Tags(strong=frozenset(strong.split()), weak=frozenset(weak.split()))


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        ("*", ANY),
        (" *\t", ANY),
        ('"a"', named("a")),
        ('W/"a"', named(weak="a")),
        ('"a", "b"', named("a b")),
        ('"a","b"', named("a b")),
        ('"a"\t,\t"b"', named("a b")),
        ('"a", W/"b" , "c"', named("a c", "b")),
        ('"a", W/"a"', named("a", "a")),
        ('""', Tags(strong=frozenset([""]))),
        ('"a,b"', named("a,b")),
        ('"W/"', named("W/")),
        ('"*"', named("*")),
        (r'"a\"', named("a\\")),
        ('"\x80\xff"', named("\x80\xff")),
        ("", named()),
        (" ", named()),
        (",", named()),
        (', ,"a",, "b" ,', named("a b")),
    ],
)
def test_a_list_of_tags_is_read(value, tags):
    assert parse_tags(value, "If-Match") == tags


@pytest.mark.parametrize(
    "value",
    [
        "a",
        '"a',
        'a"',
        '"a" "b"',
        '"a";"b"',
        "'a'",
        'w/"a"',
        'W/ "a"',
        "W/",
        'W"a"',
        '"a b"',
        '"a\tb"',
        '"a\x7f"',
        '"a\x00"',
        '"a"b"',
        "**",
        "*,*",
        '*, "a"',
        '"a", *',
        'W/*"',
        '"a"\n',
        '\n"a"',
        "*\n",
        '"\u20ac"',
        '"a"\xa0',
    ],
)
def test_what_is_no_list_of_tags_is_malformed(value):
    with pytest.raises(MalformedConditionError, match="If-None-Match"):
        parse_tags(value, "If-None-Match")


@given(st.lists(st.tuples(st.booleans(), opaque_tags, blanks, blanks), max_size=6))
def test_any_list_in_any_spacing_is_read(elements):
    value = ",".join(
        f'{before}{"W/" if weak else ""}"{tag}"{after}' for weak, tag, before, after in elements
    )
    tags = parse_tags(value, "If-Match")
    assert tags.strong == {tag for weak, tag, *_ in elements if not weak}
    assert tags.weak == {tag for weak, tag, *_ in elements if weak}
    assert not tags.any


@given(st.text(st.sampled_from('aW/"*, \t\x00é'), max_size=12))
def test_a_value_is_read_or_malformed_and_nothing_else(value):
    try:
        tags = parse_tags(value, "If-Match")
    except MalformedConditionError:
        return
    again = ["*"] if tags.any else [f'"{tag}"' for tag in tags.strong]
    again += [f'W/"{tag}"' for tag in tags.weak]
    assert parse_tags(", ".join(again), "If-Match") == tags


def test_a_very_long_value_takes_no_more_time_than_its_length():
    """A pattern that tried every way to share the blanks would not come back."""
    for value in (" " * 100_000 + "x", '"' * 99_999, "," * 100_000 + "x", '"a" ' * 25_000):
        with pytest.raises(MalformedConditionError):
            parse_tags(value, "If-Match")


def test_a_request_without_conditions_has_none():
    assert parse_conditions(None, None) is UNCONDITIONAL
    for current in (None, "a"):
        for reading in (True, False):
            assert UNCONDITIONAL.refusal(current, reading=reading) is None


def test_both_fields_are_read():
    assert parse_conditions('"a"', None) == Conditions(named("a"), None)
    assert parse_conditions(None, "*") == Conditions(None, ANY)
    assert parse_conditions("*", 'W/"b"') == Conditions(ANY, named(weak="b"))
    with pytest.raises(MalformedConditionError, match="If-Match is"):
        parse_conditions("a", "b")
    with pytest.raises(MalformedConditionError, match="If-None-Match is"):
        parse_conditions("*", "b")


@pytest.mark.parametrize(
    ("if_match", "current", "goes_on"),
    [
        ("*", "a", True),
        ("*", None, False),
        ('"a"', "a", True),
        ('"b", "a"', "a", True),
        ('"b"', "a", False),
        ('W/"a"', "a", False),
        ('"a"', None, False),
        ("", "a", False),
    ],
)
def test_if_match_compares_strongly(if_match, current, goes_on):
    conditions = parse_conditions(if_match, None)
    for reading in (True, False):
        assert conditions.refusal(current, reading=reading) == (None if goes_on else FAILED)


@pytest.mark.parametrize(
    ("if_none_match", "current", "goes_on"),
    [
        ("*", "a", False),
        ("*", None, True),
        ('"a"', "a", False),
        ('"b", "a"', "a", False),
        ('"b"', "a", True),
        ('W/"a"', "a", False),
        ('"a"', None, True),
        ("", "a", True),
    ],
)
def test_if_none_match_compares_weakly(if_none_match, current, goes_on):
    conditions = parse_conditions(None, if_none_match)
    assert conditions.refusal(current, reading=True) == (None if goes_on else NOT_MODIFIED)
    assert conditions.refusal(current, reading=False) == (None if goes_on else FAILED)


def test_if_match_is_evaluated_first():
    conditions = parse_conditions('"b"', '"a"')
    assert conditions.refusal("a", reading=True) == FAILED
    assert conditions.refusal("b", reading=True) is None
    assert parse_conditions('"a"', '"a"').refusal("a", reading=True) == NOT_MODIFIED
