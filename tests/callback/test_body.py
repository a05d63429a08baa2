"""What is a callback and what is none, and what its sender is told."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.callback.body import INT64_MAX, INT64_MIN, NotACallbackError, parse_ids

MAX_IDS = 8
INT64 = st.integers(INT64_MIN, INT64_MAX)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('aé\u20ac\\"'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("xé", max_size=2), inner),
    max_leaves=8,
)


def parsed(body: str | bytes, max_ids: int = MAX_IDS) -> list[int]:
    return list(parse_ids(body.encode() if isinstance(body, str) else body, max_ids))


def refusal(body: str | bytes, max_ids: int = MAX_IDS) -> str:
    with pytest.raises(NotACallbackError) as caught:
        parsed(body, max_ids)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ('{"object_ids":[]}', []),
        ('{"object_ids": [3, 1, 3, 2, 1]}', [3, 1, 2]),
        ('{"object_ids":[0,-0,-7]}', [0, -7]),
        (f'{{"object_ids":[{INT64_MIN},{INT64_MAX}]}}', [INT64_MIN, INT64_MAX]),
        (' \r\n\t{"object_ids" : [ 1 ] } \n', [1]),
        ('{"x":{"object_ids":["a"]},"object_ids":[1],"y":"object_ids"}', [1]),
        ('{"object\\u005fids":[5]}', [5]),
        ('{"object_ids":[5],"näme":"Größe \\u00e9"}', [5]),
        (f'{{"object_ids":{list(range(MAX_IDS))}}}', list(range(MAX_IDS))),
    ],
)
def test_a_callback_is_read(body, ids):
    assert parsed(body) == ids


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("object_ids=1", "not JSON: expecting value at character 0"),
        ('{"object_ids":[1,]}', "not JSON: .* at character 1[67]"),
        ('{"object_ids":[1', "not JSON: .* at character 16"),
        ('{"object_ids":[01]}', "not JSON"),
        ('{"object_ids":[1]} {}', "not JSON: extra data at character 19"),
        ('{"object_ids":[1],"x":NaN}', "NaN is no number"),
        ('{"object_ids":[Infinity]}', "Infinity is no number"),
        ('{"object_ids":[1],"x":"\\ud800"}', "not JSON"),
        (b'{"object_ids":[1],"x":"\xff"}', "not UTF-8: wrong at byte 23"),
        (b'{"object_ids":[\xff]}', "not UTF-8: wrong at byte 15"),
        (b'\xef\xbb\xbf{"object_ids":[1]}', "byte order mark"),
        ('{"object_ids":[1]}'.encode("utf-16"), "UTF-16"),
        ('{"object_ids":[1]}'.encode("utf-16-be"), "not JSON"),
        (b"\0" * 9, "not JSON: expecting value at character 0"),
        ("[1]", "wanted, not an array"),
        ("7", "wanted, not a number"),
        ("null", "wanted, not null"),
        ("{}", "object_ids is missing"),
        ('{"Object_ids":[1]}', "object_ids is missing"),
        ('{"object_ids":null}', "array of integers, not null"),
        ('{"object_ids":"1"}', "array of integers, not a string"),
        ('{"object_ids":{"1":2}}', "array of integers, not an object"),
        ('{"object_ids":[1,2,3,"4"]}', "element 3 of object_ids is a string"),
        ('{"object_ids":[1.5]}', "element 0 of object_ids is a number with a fraction"),
        ('{"object_ids":[1,1e3]}', "element 1 of object_ids is a number with a fraction or an exp"),
        ('{"object_ids":[1.0]}', "element 0"),
        ('{"object_ids":[1,true]}', "element 1 of object_ids is a boolean"),
        ('{"object_ids":[null]}', "element 0 of object_ids is null"),
        ('{"object_ids":[[1]]}', "element 0 of object_ids is an array"),
        (f'{{"object_ids":[0,{INT64_MAX + 1}]}}', "element 1 of object_ids is out of range"),
        (f'{{"object_ids":[{INT64_MIN - 1}]}}', "element 0 of object_ids is out of range"),
        (f'{{"object_ids":[{"9" * 5_000}]}}', "element 0 of object_ids is out of range"),
        (f'{{"object_ids":[{"1" * 25}, 1.5]}}', "element 0 of object_ids is out of range"),
        ('{"object_ids":[1],"object_ids":[2]}', "more than once"),
        ('{"object_ids":[1],"object\\u005fids":[1]}', "more than once"),
        ('{"object_ids":[1,1,1,1,1,1,1,1,1]}', "9 elements, more than 8"),
        ('{"object_ids":[1],"x":' + "[" * 20_000 + "]" * 20_000 + "}", "nested too deeply"),
    ],
)
def test_what_is_no_callback_is_named(body, said):
    text = refusal(body)
    assert len(text) < 120
    with pytest.raises(NotACallbackError, match=said):
        parsed(body)


MIB = 1024 * 1024


EMPTY = '""'
LISTED = '"object_ids":[1]'


def many(piece: str) -> str:
    """Give a piece so often that a body of it is nearly as large as one may be."""
    return ",".join([piece] * ((MIB - 200) // (len(piece) + 1)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"[{many('[]')}]", "not a callback: expected `object`, got `array`"),
        (
            f'{{"object_ids":[{many("1")},"x"]}}',
            r"expected `int`, got `str` .*ids\[524188\]",
        ),
        (f'{{"object_ids":[1,{many("1.5")}]}}', r"expected `int`, got `float` .*object_ids\[1\]"),
        (f'{{"object_ids":{{{many(EMPTY + ":0")}}}}}', "expected `array`, got `object`"),
        (f'{{"object_ids":["{"9" * MIB}"]}}', "expected `int`, got `str`"),
        (f'{{"object_ids":[{"9" * MIB}]}}', "out of range"),
        (f'{{"object_ids":[{2**63},{many("1")}]}}', "more than 8"),
        (f'{{"x":[{many("{}")}]}}', "missing required field `object_ids`"),
        (f'{{"object_ids":[{many("1")}', "not JSON: "),
        (f'{{"object_ids":[{many("1")},]}}', r"not JSON: .*\(byte \d+\)"),
        (f'{{"object_ids":[],"x":[{many("1")}]}} {{}}', r"not JSON: trailing .*\(byte \d+\)"),
        (b'{"object_ids":[],"x":"' + b"a" * MIB + b'\xff"}', "not UTF-8: wrong at byte 1048598"),
        (b'{"object_ids":"' + b"\xff" * MIB + b'"}', "not UTF-8: wrong at byte 15"),
        (" " * MIB, "the body is empty"),
        ('{"object_ids":[],"x":' + "[" * MIB, "nested too deeply"),
        (f"{{{many(LISTED)}}}", "more than once"),
        (f'{{"object_ids":[],"x":[{many("1")}],"object\\u005fids":[]}}', "more than once"),
    ],
    ids=map(str, count()),
)
def test_what_is_wrong_with_a_large_body_is_named_too(body, said):
    text = refusal(body)
    assert len(text) < 120
    with pytest.raises(NotACallbackError, match=said):
        parsed(body)


@pytest.mark.parametrize(
    "others",
    ['"\\n"', f"[{many('{}')}]", f"[{many(EMPTY)}]"],
    ids=["text", "objects", "texts"],
)
def test_a_large_body_is_read_however_much_is_under_other_keys(others):
    nested = '{"object_ids":["a"],"object\\u005fids":[]}'
    body = f'{{"o":"\\n","x":{others},"y":{nested},"object\\u005fids":[2,1,2],"z":"object_ids"}}'
    assert parsed(body) == [2, 1]


@given(st.lists(INT64, max_size=MAX_IDS + 2), st.dictionaries(st.text("xé", max_size=3), JSON))
def test_any_ids_are_read_and_given_once_each(ids, others):
    body = json.dumps({**others, "object_ids": ids}, ensure_ascii=False)
    if len(ids) > MAX_IDS:
        refusal(body)
    else:
        assert parsed(body) == list(dict.fromkeys(ids))


def slow_check(body: bytes) -> list[int] | None:
    """Read a body step by step; None: it is no callback."""

    def no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        return {"twice": True} if keys.count("object_ids") > 1 else dict(pairs)

    def no_constant(_: str) -> Any:
        raise ValueError

    try:
        value = json.loads(body.decode(), object_pairs_hook=no_twice, parse_constant=no_constant)
    except ValueError:
        return None
    ids = value.get("object_ids") if isinstance(value, dict) else None
    if not isinstance(ids, list) or len(ids) > MAX_IDS:
        return None
    if not all(type(each) is int and INT64_MIN <= each <= INT64_MAX for each in ids):
        return None
    return list(dict.fromkeys(ids))


PIECES = st.sampled_from(
    [*"{}[],:é10", '"object_ids"', '"x"', "-2", "1.5", "true", "null", '"1"', "9" * 20]
)


@given(
    st.one_of(
        st.lists(PIECES, max_size=12).map("".join),
        JSON.map(json.dumps),
        JSON.map(lambda value: json.dumps({"object_ids": value})),
        st.lists(JSON, max_size=3).map(lambda values: json.dumps({"object_ids": values})),
        st.lists(st.tuples(st.sampled_from(["object_ids", "x"]), st.lists(INT64, max_size=2))).map(
            lambda pairs: "{" + ",".join(f'"{key}":{ids}' for key, ids in pairs) + "}"
        ),
    )
)
def test_it_takes_and_refuses_what_a_slow_check_does(text):
    expected = slow_check(text.encode())
    for body in (text, text + " " * 70_000):  # a large body is not looked at as closely
        if expected is None:
            refusal(body)
        else:
            assert parsed(body) == expected


@given(st.binary(max_size=40) | st.text("\0{1", max_size=12).map(str.encode))
def test_no_bytes_do_harm(body):
    expected = slow_check(body)
    if expected is None:
        refusal(body)
    else:
        assert parsed(body) == expected
