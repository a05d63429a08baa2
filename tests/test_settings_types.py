"""What a setting's type says to people."""

from typing import Annotated, Literal

import pytest
from msgspec import Meta

from daemon.settings_types import about, accepts_text, wanted


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (bool, "true or false"),
        (int, "a whole number"),
        (Annotated[int, Meta(gt=0, lt=9)], "a whole number > 0, < 9"),
        (Annotated[float, Meta(ge=0.5, extra={"unit": "seconds"})], "a number >= 0.5 (seconds)"),
        (str, "text"),
        (Annotated[str, Meta(min_length=1)], "text, not empty"),
        (Literal["a", "b"], "a or b"),
        (list[int], "a list of: a whole number"),
        (str | None, "text or nothing"),
        (dict[str, int], "a table of names, each with: a whole number"),
        (set[int], "set"),
        (
            Annotated[str, Meta(extra={"endpoint": True})],
            "a Twisted endpoint such as tcp:4000:interface=127.0.0.1",
        ),
    ],
)
def test_each_kind_has_its_words(annotation, words):
    assert wanted(annotation) == words


def test_nested_metadata_is_put_together():
    inner = Annotated[int, Meta(extra={"unit": "bytes"}, description="inner")]
    described = about(Annotated[inner, Meta(description="outer")])
    assert (described.unit, described.description) == ("bytes", "outer")


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [(str, True), (str | None, True), (Literal["a"], True), (Literal[1], False), (int, False)],
)
def test_text_is_taken_as_it_stands_where_the_type_allows(annotation, expected):
    assert accepts_text(annotation) is expected
