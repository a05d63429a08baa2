"""The fields of requests, and other short texts that clients and settings give."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Final

from daemon.hash.negotiation import preferred_wait_s, wants_json
from daemon.hash.pages import is_from_foreign_page
from daemon.http.conditions import MalformedConditionError, parse_tags
from daemon.http.media import accepts, content_type
from daemon.http.source_url import check_path, parse_source_url
from daemon.timestamp.text import END_S, FIRST_S, NotATimestampError, parse
from daemon.tokens import NotAuthorizedError, Tokens, TokensFileError
from tests.fuzz.places import new_folder

_TOKEN: Final = b"abc-123="


def run(data: bytes) -> None:
    """Read a text; the first byte says as what."""
    if data:
        _READERS[data[0] % len(_READERS)](data[1:])


def _accept(text: bytes) -> None:
    json, plain = accepts(text, "application/json"), accepts(text, "text/plain")
    if wants_json(text, asked_in_json=False):
        assert json
        assert wants_json(text, asked_in_json=True)
    if not json and plain:
        assert not wants_json(text, asked_in_json=True)


def _content_type(text: bytes) -> None:
    kind, parameters = content_type(text)
    assert kind == kind.lower()
    assert all(name == name.lower() for name in parameters)


def _prefer(text: bytes) -> None:
    seconds = preferred_wait_s(text)
    assert seconds is None or 0 <= seconds <= 10**9
    plain = re.fullmatch(rb"wait=([0-9]{1,8})", text)
    if plain:
        assert seconds == int(plain[1])


_ONE: Final = rb'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS: Final = re.compile(rb"(?:[ \t]*(?:%b)?[ \t]*,)*[ \t]*(?:%b)?[ \t]*" % (_ONE, _ONE))


def _tags(text: bytes) -> None:
    try:
        tags = parse_tags(text.decode("latin-1"), "If-Match")
    except MalformedConditionError:
        assert text.strip(b" \t") != b"*"
        assert not _TAGS.fullmatch(text), text
        return
    assert tags.any == (text.strip(b" \t") == b"*")
    if not tags.any:
        assert _TAGS.fullmatch(text), text
        named = re.findall(_ONE, text)
        strong = {tag[1:-1].decode("latin-1") for tag in named if not tag.startswith(b"W")}
        assert tags.strong == strong
        assert len(tags.weak) <= len(named)


def _timestamp(text: bytes) -> None:
    try:
        taken = parse(text)
    except NotATimestampError as error:
        assert "\n" not in str(error)
        return
    assert taken.encode() == text.strip()
    assert FIRST_S <= Decimal(taken) < END_S
    assert parse(taken.encode()) == taken


def _source(text: bytes) -> None:
    try:
        url = parse_source_url(text.decode("latin-1"))
    except ValueError as error:
        assert "\n" not in str(error)
        return
    assert 0 < url.port < 1 << 16
    assert url.host
    assert not re.search(rb"[\x00-\x20\x7f-\xff@/?#]", url.authority)
    check_path(url.path + b"/objects/1")


def _origin(text: bytes) -> None:
    host, _, origin = text.partition(b"\n")
    if not is_from_foreign_page(host, [origin], []):
        scheme, _, named = origin.strip().lower().partition(b"://")
        assert scheme in {b"http", b"https"}
        assert named == host.strip().lower()


def _authorization(text: bytes) -> None:
    try:
        _tokens.check(text)
    except NotAuthorizedError as error:
        assert error.challenge.startswith("Bearer")
        return
    assert text[:6].lower() == b"bearer"
    assert text[6:].lstrip(b" ") == _TOKEN


def _tokens_file(text: bytes) -> None:
    with new_folder() as folder:
        path = folder / "tokens"
        path.write_bytes(text)
        try:
            Tokens(path).load()
        except TokensFileError as error:
            assert "\n" not in str(error), str(error)


def _known_tokens() -> Tokens:
    with new_folder() as folder:
        path = folder / "tokens"
        path.write_text(sha256(_TOKEN).hexdigest())
        tokens = Tokens(Path(path))
        tokens.load()
        return tokens


_tokens: Final = _known_tokens()

_READERS: Final[tuple[Callable[[bytes], None], ...]] = (
    _accept,
    _content_type,
    _prefer,
    _tags,
    _timestamp,
    _source,
    _origin,
    _authorization,
    _tokens_file,
)

WORDS: Final = (
    b"application/json",
    b"text/plain",
    b"*/*",
    b";q=0.5",
    b";q=0",
    b"; charset=utf-8",
    b'; charset="',
    b"charset*=utf-8''",
    b"wait=",
    b"wait = 5; a",
    b'W/"a"',
    b'"a", "b"',
    b"-62135596800",
    b"253402300799.999",
    b"http://",
    b"https://[::1]:80/",
    b"bearer ",
    b"abc-123=",
)
SEEDS: Final = (
    b"\0application/json;q=0.5, text/plain;q=0.4, */*;q=0",
    b"\0text/*;q=1.0000, */json",
    b"\1text/plain; charset=\"utf-8\"; a*=utf-8''%ff",
    b'\2respond-async, wait=10; x="a,b"',
    b'\3W/"a", "b" ,, "c"',
    b"\3*",
    b"\4 1700000000.25\n",
    b"\4-62135596800",
    b"\5http://[::1]:8080/a/b/",
    b"\5https://example.org",
    b"\6localhost:8080\nhttp://localhost:8080",
    b"\6[::1]\nhttps://[::1]",
    b"\7Bearer abc-123=",
    b"\7bearer  abc",
    b"\x08" + sha256(b"a").hexdigest().encode() + b" # one\n\n#\n",
    b"\x08\xff",
)
