"""The text of a timestamp, against a reading of the rule that shares nothing with the code."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.timestamp.text import MAX_BYTES, NotATimestampError, parse

WHITE_SPACE = b" \t\n\v\f\r"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FIRST = Decimal((datetime(1, 1, 1, tzinfo=UTC) - EPOCH) // SECOND)
LAST = Decimal((datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - EPOCH) // SECOND)
DIGITS = frozenset("0123456789")


def reference(body: bytes) -> str | None:
    """Read the rule word by word, with decimal arithmetic; None for what is no timestamp."""
    while body and body[0] in WHITE_SPACE:
        body = body[1:]
    while body and body[-1] in WHITE_SPACE:
        body = body[:-1]
    text = body.decode("latin-1")
    number = text.removeprefix("-")
    whole, point, fraction = number.partition(".")
    if not whole or set(whole + fraction) - DIGITS:
        return None
    if point and not 1 <= len(fraction) <= 9:
        return None
    if whole[0] == "0" and len(whole) > 1:
        return None
    with localcontext(prec=200):
        value = Decimal(text)
        if text.startswith("-") and value == 0:
            return None
        return text if FIRST <= value < LAST + 1 else None


def parsed(body: bytes) -> str | None:
    try:
        return parse(body)
    except NotATimestampError:
        return None


near_the_edges = st.builds(
    lambda edge, offset, fraction: b"%d%s" % (edge + offset, fraction),
    st.sampled_from([0, int(FIRST), int(LAST), 10**9, 10**12]),
    st.integers(-3, 3),
    st.sampled_from([b"", b".0", b".1", b".000000000", b".000000001", b".999999999"]),
)
signed = st.builds(bytes.__add__, st.sampled_from([b"", b"-", b"+", b"--"]), near_the_edges)
spoiled = st.builds(
    lambda body, at, junk: body[:at] + junk + body[at:],
    near_the_edges,
    st.integers(0, 20),
    st.sampled_from([b" ", b"\n", b"\0", b"0", b".", b"-", b"e", b"_", b",", b"x", b"\xd9\xa3"]),
)
numberlike = st.text("0123456789.-", max_size=22).map(str.encode)
spaced = st.builds(
    lambda before, body, after: bytes(before) + body + bytes(after),
    st.lists(st.sampled_from(WHITE_SPACE), max_size=3),
    near_the_edges | signed | spoiled | numberlike,
    st.lists(st.sampled_from(WHITE_SPACE), max_size=3),
)


@given(spaced | st.binary(max_size=20))
@example(b"-62135596800")
@example(b"-62135596800.000000000")
@example(b"-62135596800.000000001")
@example(b"-62135596799.999999999")
@example(b"253402300799.999999999")
@example(b"253402300800")
@example(b"-0.0")
@example(b"-0.000000001")
@example(b"0.0")
@example(b"00")
@example(b"1" * 64)
@example(b"-\n1")
def test_a_timestamp_is_what_the_rule_says(body):
    assert parsed(body) == reference(body)


@pytest.mark.parametrize(
    "body",
    ["0", "-1", "1700000000", "1.50", "0.000000001", "-0.5", "0.0", "253402300799.999999999"],
)
def test_a_timestamp_is_kept_as_it_was_sent(body):
    assert parse(f"\r\n\t {body} \v\f\n".encode()) == body


@pytest.mark.parametrize(
    "body",
    [
        b"1e9",
        b"+5",
        b"-0",
        b"-0.000",
        b".5",
        b"-.5",
        b"5.",
        b"0x1",
        b"01",
        b"-01",
        b"00.5",
        b"1.0000000000",
        b"1 2",
        b"- 1",
        b"1\x00",
        b"\x001",
        b"1\x1c",
        b"1\xa0",
        "٣".encode(),
        "１".encode(),
        "−1".encode(),
        b"1_000",
        b"1,5",
        b"nan",
        b"inf",
        b"now",
        b"2026-11-24T16:00:00Z",
        b'"1"',
        b"1" * 5000,
        b"\xff",
    ],
)
def test_what_is_no_timestamp_is_told_what_is_wanted(body):
    with pytest.raises(NotATimestampError, match="wanted is a Unix timestamp in decimal seconds"):
        parse(body)


@pytest.mark.parametrize("body", [b"", b" ", b"\r\n"])
def test_an_empty_body_is_called_empty(body):
    with pytest.raises(NotATimestampError, match="empty; wanted is"):
        parse(body)


@pytest.mark.parametrize(
    ("body", "unit"),
    [
        (b"1700000000000", "milliseconds"),
        (b"1700000000000.5", "milliseconds"),
        (b"-1700000000000", "milliseconds"),
        (b"1700000000000000", "microseconds"),
        (b"1700000000000000000", "nanoseconds"),
    ],
)
def test_another_unit_by_mistake_is_named(body, unit):
    with pytest.raises(
        NotATimestampError, match=rf"outside the years 1 to 9999 \(are these {unit}"
    ):
        parse(body)


def test_a_number_that_fits_no_unit_is_only_out_of_range():
    with pytest.raises(NotATimestampError, match="outside the years 1 to 9999; wanted"):
        parse(b"9" * 40)


def test_the_longest_timestamp_fits_well_into_a_body():
    longest = max(b"-62135596799.999999999", b"253402300799.999999999", key=len)
    assert parse(longest)
    assert len(longest) < MAX_BYTES
