"""The judge of histories, judged: by histories anyone can judge, and by trying every order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.timestamp.linearizability import ANY, Operation, Read, Write, violation


def wrote(invoked: float, returned: float, etag: str, text: str = "1", **tags: str) -> Write:
    return Write(invoked=invoked, returned=returned, etag=etag, text=text, **sets(tags))


def refused(invoked: float, returned: float, **tags: str) -> Write:
    return Write(invoked=invoked, returned=returned, text="1", refused=True, **sets(tags))


def unanswered(invoked: float, text: str = "1", **tags: str) -> Write:
    return Write(invoked=invoked, text=text, **sets(tags))


def saw(invoked: float, returned: float, etag: str | None, text: str | None = None) -> Read:
    return Read(invoked=invoked, returned=returned, etag=etag, text=text)


def sets(tags: dict[str, str]) -> dict[str, Any]:
    return {name: frozenset(value.split()) for name, value in tags.items()}


RIGHT: dict[str, list[Operation]] = {
    "nothing happened": [],
    "nothing stored, then a write, then a read": [
        saw(0, 1, None),
        wrote(2, 3, "a"),
        saw(4, 5, "a", "1"),
    ],
    "a read beside a write sees it early": [wrote(0, 9, "a"), saw(1, 2, "a"), saw(3, 4, "a")],
    "a read beside a write sees it late": [wrote(0, 9, "a"), saw(1, 2, None), saw(8, 9, None)],
    "two writes at once in either order": [
        wrote(0, 9, "a"),
        wrote(0, 9, "b"),
        saw(1, 2, "b"),
        saw(3, 4, "a"),
    ],
    "an unanswered write that happened": [
        wrote(0, 1, "a"),
        unanswered(2, "7"),
        saw(3, 4, "b", "7"),
    ],
    "an unanswered write that did not happen": [
        wrote(0, 1, "a"),
        unanswered(2),
        saw(3, 4, "a"),
    ],
    "an unanswered write that happened late": [
        unanswered(0, "7"),
        wrote(1, 2, "a"),
        saw(3, 4, "a"),
        saw(5, 6, "b", "7"),
    ],
    "an unanswered write nobody saw explains a refusal": [
        wrote(0, 1, "a"),
        unanswered(2),
        refused(3, 4, if_match="a"),
        wrote(5, 6, "b"),
    ],
    "an unanswered write nobody saw explains that something exists": [
        unanswered(0),
        wrote(1, 2, "a", if_match=ANY),
    ],
    "compare and set, one of two": [
        wrote(0, 1, "a"),
        wrote(2, 9, "b", if_match="a"),
        refused(2, 9, if_match="a"),
        saw(10, 11, "b"),
    ],
    "create once, one of two": [
        wrote(0, 9, "a", if_none_match=ANY),
        refused(0, 9, if_none_match=ANY),
    ],
    "a refusal before the write that makes it wrong": [
        refused(0, 9, if_match=ANY),
        wrote(0, 9, "a"),
    ],
    "an unanswered compare and set that happened": [
        wrote(0, 1, "a"),
        unanswered(2, "7", if_match="a"),
        refused(3, 4, if_match="a"),
        saw(5, 6, "b", "7"),
    ],
}

WRONG: dict[str, list[Operation]] = {
    "a stale read": [wrote(0, 1, "a"), wrote(2, 3, "b"), saw(4, 5, "a")],
    "a write that got lost": [wrote(0, 1, "a"), saw(2, 3, None)],
    "a value from nowhere": [wrote(0, 1, "a"), saw(2, 3, "b")],
    "a value before its write": [saw(0, 1, "a"), wrote(2, 3, "a")],
    "another value than was written": [wrote(0, 1, "a", "1"), saw(2, 3, "a", "2")],
    "a tag given twice": [wrote(0, 1, "a"), wrote(2, 3, "a")],
    "a tag read with another value than any unanswered write had": [
        unanswered(0, "7"),
        saw(1, 2, "a", "8"),
    ],
    "a value seen before it was stored, and then not": [
        wrote(0, 1, "a"),
        unanswered(2, "7"),
        saw(3, 4, "b", "7"),
        saw(5, 6, "a"),
    ],
    "a value that came back": [
        wrote(0, 9, "a"),
        wrote(0, 9, "b"),
        saw(1, 2, "a"),
        saw(3, 4, "b"),
        saw(5, 6, "a"),
    ],
    "one unanswered write that happened twice": [
        unanswered(0, "7"),
        saw(1, 2, "a", "7"),
        saw(3, 4, "b", "7"),
    ],
    "compare and set, both of two": [
        wrote(0, 1, "a"),
        wrote(2, 9, "b", if_match="a"),
        wrote(2, 9, "c", if_match="a"),
    ],
    "a lost update": [
        wrote(0, 1, "a"),
        wrote(2, 9, "b", if_match="a"),
        saw(3, 4, "c"),
        wrote(2, 3, "c"),
        saw(10, 11, "c"),
        saw(12, 13, "b"),
    ],
    "create once, twice": [
        wrote(0, 9, "a", if_none_match=ANY),
        wrote(0, 9, "b", if_none_match=ANY),
    ],
    "a refusal without a reason": [wrote(0, 1, "a"), refused(2, 3, if_match="a")],
    "an unanswered compare and set that cannot have happened": [
        wrote(0, 1, "a"),
        wrote(2, 3, "b"),
        unanswered(4, "7", if_match="a"),
        saw(5, 6, "c", "7"),
    ],
    "a write between two reads of what surrounds it": [
        wrote(0, 1, "a"),
        saw(2, 3, "a"),
        wrote(4, 5, "b"),
        saw(6, 7, "a"),
    ],
}


@pytest.mark.parametrize("history", RIGHT.values(), ids=RIGHT)
def test_it_accepts(history):
    assert violation(history) is None


@pytest.mark.parametrize("history", WRONG.values(), ids=WRONG)
def test_it_rejects(history):
    assert violation(history) is not None


def test_what_was_there_before_can_be_read_and_named():
    history: list[Operation] = [saw(0, 1, "a"), wrote(2, 3, "b", if_match="a"), saw(4, 5, "b")]
    assert violation(history, initial="a") is None
    assert violation([*history, saw(6, 7, "a")], initial="a") is not None


def test_it_says_which_two_tags_are_at_odds():
    why = violation(WRONG["a stale read"])
    assert why is not None
    assert "a was current" in why
    assert "b" in why


Tags = frozenset[str | None]


class EveryOrder:
    """The reference: tries every order there is."""

    def __init__(self, history: Sequence[Operation]) -> None:
        self.history = history
        made = {o.etag for o in history if isinstance(o, Write)}
        named: set[str | None] = {o.etag for o in history if isinstance(o, Read)}
        for o in history:
            if isinstance(o, Write):
                named.update(o.if_match or (), o.if_none_match or ())
        self.unexplained = {tag for tag in named - made if tag not in {None, ANY}}
        self.texts = {(o.etag, o.text) for o in history if o.etag is not None}

    def explains(self) -> bool:
        for etag in {etag for etag, _ in self.texts}:
            if len({text for tag, text in self.texts if tag == etag and text is not None}) > 1:
                return False
        made = [o.etag for o in self.history if isinstance(o, Write) and o.etag is not None]
        if len(made) != len(set(made)):
            return False
        return self.continues(frozenset(range(len(self.history))), None, frozenset())

    def continues(self, left: frozenset[int], current: str | None, used: Tags) -> bool:
        pending = [self.history[index] for index in left]
        if all(isinstance(o, Write) and o.is_open for o in pending):
            return True
        first_return = min(o.returned for o in pending)
        return any(
            self.continues(left - {index}, after, used | ({after} & self.unexplained))
            for index in left
            if self.history[index].invoked <= first_return
            for after in self.after(self.history[index], current, used)
        )

    def after(self, o: Operation, current: str | None, used: Tags) -> list[str | None]:
        if isinstance(o, Read):
            return [current] if o.etag == current else []
        if o.refused:
            return [] if o.holds(current) else [current]
        if not o.holds(current):
            return []
        if o.etag is not None:
            return [o.etag]
        fitting = [
            etag
            for etag in self.unexplained - used
            if {text for tag, text in self.texts if tag == etag} <= {None, o.text}
        ]
        return [*fitting, "a tag that nobody has seen"]


tags = st.sampled_from("abc")
tag_sets = st.none() | st.just(frozenset({ANY})) | st.frozensets(tags, min_size=1, max_size=2)
conditions: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={"if_match": tag_sets, "if_none_match": tag_sets},
)


@st.composite
def made_up_histories(draw: st.DrawFn) -> list[Operation]:
    """Histories out of thin air: most are wrong."""
    unused = draw(st.permutations("abc"))
    history: list[Operation] = []
    for _ in range(draw(st.integers(1, 6))):
        invoked = draw(st.integers(0, 8))
        times: dict[str, Any] = {"invoked": invoked, "returned": invoked + draw(st.integers(0, 5))}
        text = draw(st.sampled_from("12"))
        match draw(st.sampled_from(["read", "wrote", "refused", "open"])):
            case "wrote" if unused:
                named = draw(conditions)
                history.append(Write(**times, text=text, etag=unused.pop(), **named))
            case "refused":
                history.append(Write(**times, text=text, refused=True, **draw(conditions)))
            case "open":
                history.append(Write(invoked=invoked, text=text, **draw(conditions)))
            case _:
                etag = draw(st.none() | tags)
                told = draw(st.none() | st.just(text)) if etag else None
                history.append(Read(**times, etag=etag, text=told))
    return history


@st.composite
def real_histories(draw: st.DrawFn) -> list[Operation]:
    """What the clients of a register saw, of which some did not wait for the answer."""
    current: tuple[str | None, str | None] = (None, None)
    unused = list("cba")
    history: list[Operation] = []
    for moment in range(0, 5 * draw(st.integers(1, 7)), 5):
        times: dict[str, Any] = {
            "invoked": moment - draw(st.integers(0, 12)),
            "returned": moment + draw(st.integers(0, 12)),
        }
        if draw(st.booleans()) or not unused:
            history.append(Read(**times, etag=current[0], text=current[1]))
            continue
        write = Write(**times, text=draw(st.sampled_from("12")), **draw(conditions))
        if write.holds(current[0]):
            write = replace(write, etag=unused.pop())
            current = write.etag, write.text
        else:
            write = replace(write, refused=True)
        if draw(st.integers(0, 3)) == 0:
            write = replace(write, returned=math.inf, etag=None, refused=False)
        history.append(write)
    return history


@settings(deadline=None)
@given(real_histories())
def test_what_a_register_did_is_accepted(history):
    assert violation(history) is None


@settings(max_examples=400, deadline=None)
@given(made_up_histories())
def test_it_agrees_with_trying_every_order(history):
    assert (violation(history) is None) == EveryOrder(history).explains()


@settings(deadline=None)
@given(real_histories(), st.data())
def test_it_agrees_when_one_answer_of_a_register_is_changed(history, data):
    index = data.draw(st.integers(0, len(history) - 1))
    operation = history[index]
    if isinstance(operation, Read):
        changed: Operation = replace(operation, etag=data.draw(tags), text=None)
    else:
        shift = data.draw(st.integers(-20, 20))
        returned = operation.returned + shift
        changed = replace(operation, invoked=operation.invoked + shift, returned=returned)
    history[index] = changed
    assert (violation(history) is None) == EveryOrder(history).explains()


def test_a_long_history_of_many_clients_with_a_fault_at_its_end_is_judged():
    history: list[Operation] = []
    for round_ in range(200):
        for client in range(8):
            moment = round_ * 10 + client / 10
            history.append(wrote(moment, moment + 9, f"{round_}-{client}"))
            history.append(saw(moment, moment + 9, f"{round_}-{(client + 3) % 8}"))
        history.append(unanswered(round_ * 10, "9"))
    assert violation(history) is None
    history.append(saw(2100, 2101, "199-0"))
    history.append(saw(2102, 2103, "199-1"))
    assert violation(history) is not None
