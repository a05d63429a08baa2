"""The register, against one that does one thing after another and never fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.http.conditions import Conditions, Tags, parse_conditions
from daemon.timestamp.register import (
    NotStoredError,
    PreconditionFailedError,
    Register,
    StorageFullError,
    Stored,
    Write,
)

BOOT = "b00t"
NO_ROOM = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
BROKEN = OSError(errno.EIO, os.strerror(errno.EIO))


def commit(
    register: Register, *writes: Write, fault: Exception | None = None
) -> list[Stored | Exception]:
    """Take a batch all the way."""
    batch = register.begin(writes)
    if fault is None:
        register.store(batch)
    return register.end(batch, fault)


def kinds(outcomes: Sequence[object]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


def if_match(*tags: str) -> Conditions:
    return Conditions(if_match=Tags(strong=frozenset(tags)))


CREATE = parse_conditions(None, "*")
REPLACE = parse_conditions("*", None)


def test_nothing_is_stored_at_first():
    assert Register(BOOT).current is None


def test_what_is_written_is_there_with_a_strong_entity_tag():
    register = Register(BOOT)
    stored = register.write(Write("0"))
    assert register.current == stored
    assert stored.text == "0"
    assert parse_conditions(stored.etag, None) == Conditions(
        if_match=Tags(strong=frozenset([stored.revision]))
    )


def test_what_an_earlier_run_left_is_there():
    stored = Stored("1.50", "earlier-7")
    register = Register(BOOT, stored)
    assert register.current == stored
    assert kinds(commit(register, Write("2", if_match("earlier-7")))) == [Stored]


def test_the_same_value_again_is_a_new_revision():
    register = Register(BOOT)
    assert register.write(Write("1")).revision != register.write(Write("1")).revision


def test_no_revision_is_used_twice_by_runs_that_know_nothing_of_each_other():
    revisions = [Register(boot).write(Write("1")).revision for boot in ("first", "second", "third")]
    assert len(set(revisions)) == 3


def test_create_once_succeeds_once():
    register = Register(BOOT)
    first = register.write(Write("1", CREATE))
    with pytest.raises(PreconditionFailedError):
        register.write(Write("2", CREATE))
    assert register.current == first


def test_replacing_nothing_fails():
    register = Register(BOOT)
    with pytest.raises(PreconditionFailedError):
        register.write(Write("1", REPLACE))
    assert register.current is None


def test_of_two_that_compare_and_set_in_one_batch_one_succeeds():
    register = Register(BOOT)
    seen = register.write(Write("1")).revision
    outcomes = commit(register, Write("2", if_match(seen)), Write("3", if_match(seen)))
    assert kinds(outcomes) == [Stored, PreconditionFailedError]
    assert register.current == outcomes[0]


def test_nothing_shows_before_it_is_stored():
    changes: list[None] = []
    register = Register(BOOT, on_change=lambda: changes.append(None))
    batch = register.begin([Write("1")])
    register.store(batch)
    assert register.current is None
    assert changes == []
    register.end(batch, None)
    assert register.current is not None
    assert changes == [None]


def test_a_batch_is_stored_by_its_last_accepted_write_and_shows_once():
    kept: list[bytes] = []
    seen: list[Stored | None] = []
    register = Register(BOOT, keep=kept.append, on_change=lambda: seen.append(register.current))
    outcomes = commit(register, Write("1"), Write("2"), Write("3", CREATE))
    assert kinds(outcomes) == [Stored, Stored, PreconditionFailedError]
    assert [Stored.decode(value) for value in kept] == [outcomes[1]]
    assert seen == [outcomes[1]]


def test_a_batch_of_refusals_stores_nothing_and_changes_nothing():
    kept: list[bytes] = []
    changes: list[None] = []
    register = Register(BOOT, keep=kept.append, on_change=lambda: changes.append(None))
    assert kinds(commit(register, Write("1", REPLACE))) == [PreconditionFailedError]
    assert kept == []
    assert changes == []


def test_a_store_that_failed_fails_all_of_its_batch_and_leaves_the_value_before():
    changes: list[None] = []
    register = Register(BOOT, on_change=lambda: changes.append(None))
    before = register.write(Write("1"))
    outcomes = commit(register, Write("2"), Write("3", if_match(before.revision)), fault=BROKEN)
    assert kinds(outcomes) == [NotStoredError, NotStoredError]
    assert outcomes[0] is not outcomes[1]
    assert str(outcomes[0]) == "the timestamp could not be stored: Input/output error"
    assert register.current == before
    assert len(changes) == 1
    assert kinds(commit(register, Write("4", if_match(before.revision)))) == [Stored]


def test_revisions_of_a_failed_store_are_not_used_again():
    """Whoever guessed such a revision must not succeed with it."""
    register, other = Register(BOOT), Register(BOOT)
    (lost,) = commit(other, Write("1"))
    assert isinstance(lost, Stored)
    commit(register, Write("1"), fault=BROKEN)
    (stored,) = commit(register, Write("1"))
    assert isinstance(stored, Stored)
    assert stored.revision != lost.revision


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (NO_ROOM, StorageFullError),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), StorageFullError),
        (BROKEN, NotStoredError),
        (OSError("something else"), NotStoredError),
    ],
)
def test_a_full_disk_is_told_from_a_broken_one(fault, kind):
    (error,) = commit(Register(BOOT), Write("1"), fault=fault)
    assert type(error) is kind
    assert isinstance(error, NotStoredError)


def test_a_bug_in_storing_is_no_fault_of_the_disk():
    bug = ZeroDivisionError()
    assert commit(Register(BOOT), Write("1"), fault=bug) == [bug]


def test_storing_raises_what_the_disk_says():
    def keep(_: bytes) -> None:
        raise NO_ROOM

    register = Register(BOOT, keep=keep)
    with pytest.raises(OSError, match="No space left"):
        register.store(register.begin([Write("1")]))


@pytest.mark.parametrize("text", ["0", "-62135596800", "253402300799.999999999", "1.50"])
def test_what_is_stored_is_read_back(text):
    stored = Stored(text, "b00t-17")
    assert Stored.decode(stored.encode()) == stored


@pytest.mark.parametrize(
    "value", [b"", b"1", b"r ", b" 1", b"r x", b"r  1", b"r 1 ", b"r 1e9", b"\xff 1", b"r \xff"]
)
def test_what_was_never_stored_is_not_taken_for_it(value):
    with pytest.raises(ValueError, match=r".+"):
        Stored.decode(value)


@dataclass
class Model:
    """Does one write after another. Tags are numbers; an unstored batch is put back."""

    values: list[str]

    def write(self, text: str, match: set[int] | None, none_match: set[int] | None) -> bool:
        tag = len(self.values) - 1
        if match is not None and (tag < 0 or not match & {tag, ANY_TAG}):
            return False
        if none_match is not None and tag >= 0 and none_match & {tag, ANY_TAG}:
            return False
        self.values.append(text)
        return True


ANY_TAG = -1
tag_sets = st.none() | st.just({ANY_TAG}) | st.sets(st.integers(0, 8), max_size=3)
batches = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from("123"), tag_sets, tag_sets), min_size=1, max_size=6),
        st.booleans(),
    ),
    max_size=6,
)


def tags_of(numbers: set[int] | None, revisions: list[str]) -> Tags | None:
    if numbers is None:
        return None
    known = (revisions[n] for n in numbers if 0 <= n < len(revisions))
    return Tags(any=ANY_TAG in numbers, strong=frozenset(known))


@given(batches)
def test_batches_do_what_one_write_after_another_would_do(given_batches):
    """Tags that a batch makes are not known to its own writes; so conditions name older ones."""
    kept: list[bytes] = []
    register = Register(BOOT, keep=kept.append)
    model = Model([])
    revisions: list[str] = []
    for writes, is_stored in given_batches:
        before = Model(list(model.values))
        named = len(revisions)
        requests = [
            Write(text, Conditions(tags_of(match, revisions), tags_of(none_match, revisions)))
            for text, match, none_match in writes
        ]
        expected = [
            model.write(text, known(match, named), known(none_match, named))
            for text, match, none_match in writes
        ]
        outcomes = commit(register, *requests, fault=None if is_stored else BROKEN)
        if not is_stored:
            model = before
            assert kinds(outcomes) == [NotStoredError] * len(writes)
        else:
            assert [isinstance(outcome, Stored) for outcome in outcomes] == expected
            revisions += [outcome.revision for outcome in outcomes if isinstance(outcome, Stored)]
        assert len(set(revisions)) == len(revisions) == len(model.values)
        current = register.current
        assert ([current.text] if current else []) == model.values[-1:]
        assert (Stored.decode(kept[-1]) if kept else None) == current


def known(numbers: set[int] | None, count: int) -> set[int] | None:
    return None if numbers is None else {number for number in numbers if number < count}


def test_a_write_takes_the_more_memory_the_more_its_conditions_name():
    few, many = (
        parse_conditions(None, ",".join(f'"{number}"' for number in range(count)))
        for count in (1, 100)
    )
    sizes = [Write("1").size_bytes, Write("1", few).size_bytes, Write("1", many).size_bytes]
    assert sizes[0] == 0
    assert sizes[1] > 1
    assert sizes[2] > 50 * sizes[1]
