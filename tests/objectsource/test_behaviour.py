"""What objects and callbacks are drawn."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.objectsource.behaviour import (
    Behaviour,
    Fault,
    NotAnIdError,
    Ways,
    parse_id,
    parse_range,
)

IDS = [*range(-50, 50), -(2**63), 2**63 - 1]
IMMEDIATE: dict[str, Any] = {"min_delay_s": 0, "max_delay_s": 0}


@pytest.mark.parametrize(
    ("online", "expected"),
    [
        ("even", {object_id for object_id in IDS if object_id % 2 == 0}),
        ("odd", {object_id for object_id in IDS if object_id % 2}),
        ("all", set(IDS)),
        ("none", set()),
    ],
)
def test_objects_are_online_by_the_rule_and_say_so(online, expected):
    behaviour = Behaviour(Ways(online=online))
    answers = {object_id: behaviour.answer(object_id) for object_id in IDS}
    assert {object_id for object_id, answer in answers.items() if answer.online} == expected
    for object_id, answer in answers.items():
        assert json.loads(answer.body) == {"id": object_id, "online": object_id in expected}
        assert answer.fault is None


def test_an_answer_has_no_blanks():
    assert Behaviour(Ways()).answer(7).body == b'{"id":7,"online":false}'


def test_an_object_may_be_online_at_times():
    behaviour = Behaviour(Ways(online="random"), seed=1)
    assert {behaviour.answer(7).online for _ in range(100)} == {True, False}


def test_delays_are_spread_over_their_whole_range():
    behaviour = Behaviour(Ways(), seed=1)
    delays = sorted(behaviour.answer(7).delay_s for _ in range(10_000))
    assert 0.3 <= delays[0] < 0.31
    assert 4.29 < delays[-1] < 4.3
    assert 2.2 < delays[5_000] < 2.4


def test_delays_may_be_all_the_same():
    behaviour = Behaviour(Ways(min_delay_s=1.5, max_delay_s=1.5))
    assert {behaviour.answer(7).delay_s for _ in range(100)} == {1.5}


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_happens_as_often_as_it_shall(fault):
    def faults(rate: float) -> list[Fault | None]:
        behaviour = Behaviour(Ways(rates={fault: rate}), seed=1)
        return [behaviour.answer(7).fault for _ in range(10_000)]

    assert set(faults(0.0)) == {None}
    assert set(faults(1.0)) == {fault}
    assert 2_300 < faults(0.25).count(fault) < 2_700


def test_faults_share_the_answers():
    behaviour = Behaviour(Ways(rates=dict.fromkeys(Fault, 1 / len(Fault))), seed=1)
    faults = [behaviour.answer(7).fault for _ in range(8_000)]
    assert all(800 < faults.count(fault) < 1_200 for fault in Fault)
    assert faults.count(None) < 10


@pytest.mark.parametrize("object_id", IDS)
def test_a_wrong_id_is_that_of_an_object_in_the_other_state(object_id):
    answer = Behaviour(Ways(rates={Fault.WRONG_ID: 1})).answer(object_id)
    said = json.loads(answer.body)
    assert said["id"] != object_id
    assert parse_id(str(said["id"])) == said["id"]
    assert said["online"] is (object_id % 2 == 1)


def test_no_garbage_says_whether_the_object_is_online():
    behaviour = Behaviour(Ways(rates={Fault.GARBAGE: 1}), seed=1)
    bodies = {behaviour.answer(8).body for _ in range(1_000)}
    assert len(bodies) > 5
    for body in bodies:
        try:
            said = json.loads(body)
        except ValueError:
            continue
        is_answer = (
            isinstance(said, dict)
            and type(said.get("id")) is int
            and type(said.get("online")) is bool
        )
        assert not is_answer


def test_callbacks_name_up_to_so_many_ids_of_the_range_some_of_them_twice():
    behaviour = Behaviour(Ways(), seed=1)
    callbacks = [behaviour.callback() for _ in range(2_000)]
    assert {len(ids) for ids in callbacks} == set(range(200))
    assert {object_id for ids in callbacks for object_id in ids} == set(range(100))
    assert any(len(set(ids)) < len(ids) for ids in callbacks)


def test_callbacks_go_by_their_own_range():
    behaviour = Behaviour(Ways(ids=range(-3, 2), max_per_callback=5), seed=1)
    callbacks = [behaviour.callback() for _ in range(500)]
    assert {len(ids) for ids in callbacks} == set(range(6))
    assert {object_id for ids in callbacks for object_id in ids} == set(range(-3, 2))


def test_every_64_bit_number_may_be_named():
    ids = parse_range(f"{-(2**63)}..{2**63 - 1}")
    named = Behaviour(Ways(ids=ids), seed=1).callback()
    assert min(named) < 0 < max(named)


def test_a_seed_brings_the_same_again_whatever_is_asked_between_callbacks():
    ways = Ways(online="random", rates={Fault.ERROR: 0.5})
    one, other = Behaviour(ways, seed=7), Behaviour(ways, seed=7)
    assert [one.answer(i) for i in range(50)] == [other.answer(i) for i in range(50)]
    one.answer(1)
    assert [one.callback() for _ in range(9)] == [other.callback() for _ in range(9)]
    assert Behaviour(ways, seed=8).callback() != Behaviour(ways, seed=7).callback()


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_64_bit_number_is_an_id(object_id):
    assert parse_id(str(object_id)) == object_id


@pytest.mark.parametrize(
    "text",
    ["", "-", "x", "1.0", "1e3", "+1", " 1", "1_0", "0x1", "٣", str(2**63), "-" + "9" * 60, "--1"],
)
def test_anything_else_is_no_id(text):
    with pytest.raises(NotAnIdError):
        parse_id(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0..99", range(100)), ("5..5", range(5, 6)), ("-7..-5", range(-7, -4))],
)
def test_a_range_holds_both_its_ends(text, expected):
    assert parse_range(text) == expected


@pytest.mark.parametrize(
    "text", ["", "5", "5..", "..5", "9..1", "0...9", "0..9.5", "a..b", f"0..{2**63}", "0..1 "]
)
def test_anything_else_is_no_range(text):
    with pytest.raises(ValueError, match=r"wanted FIRST\.\.LAST"):
        parse_range(text)
