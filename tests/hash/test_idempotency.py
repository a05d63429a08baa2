"""Which job a client means that says it may be asking again."""

from __future__ import annotations

import gc

import pytest

from daemon.hash.idempotency import BadKeyError, Keys, OtherPasswordError, TooManyKeysError

HOUR = 3_600_000_000


def test_the_same_key_and_password_give_the_same_job_for_an_hour():
    keys = Keys(10, HOUR)
    assert keys.find(b"k", b"digest", 5) is None
    keys.remember(b"k", b"digest", 7, 5)
    assert keys.find(b"k", b"digest", 5 + HOUR - 1) == 7
    assert keys.find(b"k", b"digest", 5 + HOUR) is None
    assert len(keys) == 0


def test_the_same_key_with_another_password_is_an_error():
    keys = Keys(10, HOUR)
    keys.remember(b"k", b"digest", 7, 5)
    with pytest.raises(OtherPasswordError):
        keys.find(b"k", b"other", 6)
    assert keys.find(b"l", b"other", 6) is None


@pytest.mark.parametrize("key", [b"", b"x" * 256])
def test_a_key_has_its_length(key):
    with pytest.raises(BadKeyError):
        Keys(10, HOUR).find(key, b"digest", 1)


def test_no_key_is_forgotten_early_when_there_are_too_many():
    keys = Keys(2, HOUR)
    for number, key in enumerate((b"a", b"b")):
        keys.remember(key, b"digest", number, 5 + number)
    with pytest.raises(TooManyKeysError) as refused:
        keys.find(b"c", b"digest", HOUR - 10_000_000)
    assert refused.value.reply_fields == {"Retry-After": "11"}
    assert keys.find(b"a", b"digest", 10) == 0
    assert keys.find(b"c", b"digest", HOUR + 5) is None


def test_without_room_for_any_key_none_is_taken():
    with pytest.raises(TooManyKeysError):
        Keys(0, HOUR).find(b"c", b"digest", 1)


def test_neither_key_nor_digest_is_kept():
    keys = Keys(2, HOUR)
    keys.remember(b"a key", b"a digest", 1, 5)
    held = [each for thing in gc.get_referents(vars(keys)) for each in _inside(thing)]
    assert b"a key" not in held
    assert b"a digest" not in held


def _inside(thing: object) -> list[object]:
    found: list[object] = [thing]
    for each in gc.get_referents(thing):
        found += _inside(each) if gc.is_tracked(each) and not isinstance(each, type) else [each]
    return found
