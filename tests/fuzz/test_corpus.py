"""Every target takes all that is kept for it, and what is made up on the spot; without a fuzzer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.choices import Choices, cut
from tests.fuzz.targets import CORPUS, TARGETS, Target

EXAMPLES = 40
CORPUS_BYTES = 200_000

each_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@each_target
def test_a_target_takes_its_seeds_and_its_corpus(target: Target):
    assert target.seeds
    for data in (*target.seeds, *target.kept):
        target.run(data)


@each_target
def test_a_target_takes_what_is_put_together_of_its_words(target: Target):
    pieces = st.sampled_from((*target.words, *target.seeds)) | st.binary(max_size=20)

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(st.binary(max_size=8), st.lists(pieces, max_size=6))
    def take(start: bytes, several: list[bytes]) -> None:
        target.run((start + b"".join(several))[: target.largest])

    take()


def test_the_corpus_is_small_and_belongs_to_targets():
    paths = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in paths) < CORPUS_BYTES
    assert {path.parent.name for path in paths} <= set(TARGETS)


@given(st.binary(max_size=300), st.binary(max_size=4))
def test_pieces_are_the_whole_and_none_is_empty(data, sizes):
    pieces = cut(data, sizes)
    assert b"".join(pieces) == data
    assert all(pieces)


def test_choices_that_are_used_up_are_all_0():
    choices = Choices(b"\x05\x01")
    assert [choices.byte(), choices.number(100), choices.left] == [5, 1, 0]
    assert [choices.byte(), choices.number(100), choices.rest()] == [0, 0, b""]
