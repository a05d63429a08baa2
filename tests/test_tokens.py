"""Who may change something: bearer tokens, known by their SHA-256."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.tokens import NotAuthorizedError, Tokens, TokensFileError


def digest(token: str) -> str:
    """Give what the file holds for a token."""
    return sha256(token.encode()).hexdigest()


def loaded(path: Path, text: str) -> Tokens:
    """Give the tokens of a file."""
    path.write_text(text)
    tokens = Tokens(path)
    tokens.load()
    return tokens


def test_without_a_file_no_token_is_needed():
    tokens = Tokens()
    tokens.load()
    assert not tokens.needed
    tokens.check(None)
    tokens.check(b"anything")


@pytest.mark.parametrize(
    "authorization",
    [b"Bearer one", b"bearer one", b"BEARER  one", b"Bearer two", b"Bearer a.b-c_d~e+f/g=="],
)
def test_a_known_token_is_accepted(tmp_path, authorization):
    names = "one", "two", "a.b-c_d~e+f/g=="
    tokens = loaded(tmp_path / "tokens", "\n".join(map(digest, names)))
    assert tokens.needed
    tokens.check(authorization)


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        (None, "Bearer"),
        (b"Bearer three", 'Bearer error="invalid_token"'),
        (b"Bearer on", 'Bearer error="invalid_token"'),
        (b"Bearer", 'Bearer error="invalid_token"'),
        (b"Bearer ", 'Bearer error="invalid_token"'),
        (b"Bearer one two", 'Bearer error="invalid_token"'),
        (b"Basic one", 'Bearer error="invalid_token"'),
        (b"one", 'Bearer error="invalid_token"'),
        (b"Bearer one\xff", 'Bearer error="invalid_token"'),
        (b"", 'Bearer error="invalid_token"'),
    ],
)
def test_anything_else_is_refused_with_a_challenge_that_tells_nothing(
    tmp_path, authorization, challenge
):
    tokens = loaded(tmp_path / "tokens", digest("one"))
    with pytest.raises(NotAuthorizedError) as caught:
        tokens.check(authorization)
    assert caught.value.challenge == challenge


def test_an_empty_file_lets_nobody_in(tmp_path):
    tokens = loaded(tmp_path / "tokens", "\n# nobody\n")
    assert tokens.needed
    for authorization in None, b"Bearer ", b"Bearer x":
        with pytest.raises(NotAuthorizedError):
            tokens.check(authorization)


def test_nobody_gets_in_with_an_empty_token(tmp_path):
    tokens = loaded(tmp_path / "tokens", digest(""))
    with pytest.raises(NotAuthorizedError):
        tokens.check(b"Bearer ")
    with pytest.raises(NotAuthorizedError):
        tokens.check(b"Basic x")


def test_before_the_file_is_read_nobody_gets_in(tmp_path):
    with pytest.raises(NotAuthorizedError):
        Tokens(tmp_path / "tokens").check(b"Bearer one")


def test_comments_blanks_and_capitals_do_not_count(tmp_path):
    text = f"# friends\n\n  {digest('one').upper()}  # Ann\n{digest('two')}#Bob\r\n"
    tokens = loaded(tmp_path / "tokens", text)
    tokens.check(b"Bearer one")
    tokens.check(b"Bearer two")


@pytest.mark.parametrize("line", ["x", "one", "0" * 63, "0" * 65, "0" * 64 + " x", "g" * 64])
def test_a_line_that_is_no_digest_is_named(tmp_path, line):
    path = tmp_path / "tokens"
    with pytest.raises(TokensFileError) as caught:
        loaded(path, f"# one\n{digest('one')}\n{line}\n")
    assert f"{path}, line 3: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_stands_in_a_bad_line_is_not_told(tmp_path):
    with pytest.raises(TokensFileError) as caught:
        loaded(tmp_path / "tokens", "my-secret-token\n")
    assert "my-secret-token" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "none"
    with pytest.raises(TokensFileError, match=str(path)):
        Tokens(path).load()
    path.write_bytes(b"\xff")
    with pytest.raises(TokensFileError, match=str(path)):
        Tokens(path).load()


@pytest.mark.parametrize("spoil", ["nonsense", None])
def test_when_reading_again_fails_the_tokens_known_before_stay(tmp_path, spoil):
    path = tmp_path / "tokens"
    tokens = loaded(path, digest("one"))
    if spoil is None:
        path.unlink()
    else:
        path.write_text(f"{digest('two')}\n{spoil}")
    with pytest.raises(TokensFileError):
        tokens.load()
    tokens.check(b"Bearer one")
    with pytest.raises(NotAuthorizedError):
        tokens.check(b"Bearer two")


def test_reading_again_takes_tokens_away_and_brings_new_ones(tmp_path):
    path = tmp_path / "tokens"
    tokens = loaded(path, digest("one"))
    path.write_text(digest("two"))
    tokens.load()
    tokens.check(b"Bearer two")
    with pytest.raises(NotAuthorizedError):
        tokens.check(b"Bearer one")


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_judged(tmp_path_factory, authorization):
    tokens = loaded(tmp_path_factory.getbasetemp() / "tokens", digest("one"))
    with pytest.raises(NotAuthorizedError):
        tokens.check(authorization)
