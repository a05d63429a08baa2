"""The password in the body of a request: bytes in, bytes out.

Errors say what is wrong, never what was sent. They are raised outside of ``except`` blocks, so that
no error carries another one that holds the body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn
from urllib.parse import unquote_to_bytes

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from daemon.http.media import content_type

MAX_PASSWORD_BYTES: Final = 64 * 1024

FIELD: Final = "password"

FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"
JSON: Final = "application/json"

_PLAIN_START: Final = b"password="
_SIMPLE: Final = re.compile(rb"password=([^&+%]{1,65536})")
_MAX_FIELDS: Final = 1000
_MAX_NAMES_BYTES: Final = 16 * 1024
_MAX_PARTS: Final = 100
_MAX_BOUNDARY: Final = 70
_AS_THEY_ARE: Final = frozenset({"", "binary", "8bit", "7bit"})
_ASCII_SUPERSETS: Final = frozenset(
    {"", "utf-8", "utf8", "ascii", "us-ascii", "iso-8859-1", "latin-1", "latin1", "windows-1252"}
)
_UTF_8: Final = frozenset({"", "utf-8", "utf8"})


class BadFormError(Exception):
    """The body is not what its media type says, or holds no password."""


class PasswordTooLargeError(Exception):
    """The password is too long."""


class UnsupportedFormError(Exception):
    """The body is of a media type, or in a coding, that is not taken."""

    reply_fields: Final = {"Accept": f"{FORM}, {MULTIPART}, {JSON}"}


def password_of(body: bytes, media_type: bytes | None) -> bytes:
    """Give the password in a body.

    :param media_type: the value of ``Content-Type``, None without one.
    :raises UnsupportedFormError: it is none that is taken.
    :raises BadFormError: the body is malformed, or has no password or an empty one, or a field
        twice.
    :raises PasswordTooLargeError: it is longer than :data:`MAX_PASSWORD_BYTES`.
    """
    if not body:
        raise BadFormError(f"a field {FIELD} is needed")
    if media_type is None:
        raise UnsupportedFormError("the body has no Content-Type")
    kind, parameters = content_type(media_type)
    charset = parameters.get("charset", "").lower()
    if kind == FORM:
        _check_charset(charset, _ASCII_SUPERSETS)
        password = _url_encoded(body)
    elif kind == MULTIPART:
        _check_charset(charset, _ASCII_SUPERSETS)
        password = _multipart(body, parameters.get("boundary", ""))
    elif kind == JSON:
        _check_charset(charset, _UTF_8)
        password = _json(body)
    else:
        raise UnsupportedFormError("wanted is a form, URL-encoded or multipart, or JSON")
    return checked(password)


def plain_password(body: bytes) -> bytes | None:
    """Give the password of a URL-encoded form that has nothing else, the short way.

    :returns: the same as :func:`password_of` would, or None: that one has to look.
    """
    simple = _SIMPLE.fullmatch(body)
    if simple is not None:
        return simple[1]
    if not body.startswith(_PLAIN_START) or b"&" in body:
        return None
    password = body[len(_PLAIN_START) :]
    if _is_too_long(password):
        return None
    if b"+" in password:
        password = password.replace(b"+", b" ")
    if b"%" in password:
        password = unquote_to_bytes(password)
    return password if 0 < len(password) <= MAX_PASSWORD_BYTES else None


def checked(password: bytes) -> bytes:
    """Give a password back that is neither empty nor too long.

    :raises BadFormError: it is empty.
    :raises PasswordTooLargeError: it is too long.
    """
    if not password:
        raise BadFormError(f"the field {FIELD} is empty")
    if len(password) > MAX_PASSWORD_BYTES:
        raise _too_large()
    return password


def _check_charset(charset: str, known: frozenset[str]) -> None:
    if charset not in known:
        raise UnsupportedFormError("this charset is not taken; wanted is utf-8")


def _only(fields: Iterable[tuple[Any, Any]]) -> Any:
    """Give the value of the field, all of whose names must differ.

    :raises BadFormError: two are the same, or there is no password.
    """
    found: dict[Any, Any] = {}
    for name, value in fields:
        if name in found:
            raise BadFormError("a field comes twice")
        found[name] = value
    for key in (FIELD, FIELD.encode()):
        if key in found:
            return found[key]
    raise BadFormError(f"a field {FIELD} is needed")


def _url_encoded(body: bytes) -> bytes:
    if body.count(b"&") >= _MAX_FIELDS:
        raise BadFormError(f"a form has {_MAX_FIELDS} fields at most")
    pairs = [pair.partition(b"=") for pair in body.split(b"&") if pair]
    if sum(len(name) for name, _, _ in pairs) > _MAX_NAMES_BYTES:
        raise BadFormError(f"the names of all fields have {_MAX_NAMES_BYTES} bytes at most")
    password: bytes = _only((_decoded(name), value) for name, _, value in pairs)
    if _is_too_long(password):
        raise _too_large()
    return _decoded(password)


def _is_too_long(text: bytes) -> bool:
    """Whether a text must be too long for a password; decoding it would take its time."""
    return len(text) - 2 * text.count(b"%") > MAX_PASSWORD_BYTES


def _too_large() -> PasswordTooLargeError:
    return PasswordTooLargeError(f"a password has {MAX_PASSWORD_BYTES} bytes at most")


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _multipart(body: bytes, boundary: str) -> bytes:
    if not 1 <= len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
        raise BadFormError("the Content-Type has no usable boundary")
    parts = _outcome(_parts, body, boundary)
    if parts is None:
        raise BadFormError("the body is no multipart/form-data of the boundary given")
    password: bytes = _only(parts)
    return password


def _parts(body: bytes, boundary: str) -> list[tuple[str, bytes]]:
    parts: list[tuple[str, bytes]] = []
    name, chunks = "", [b""]
    with PushMultipartParser(boundary, max_segment_count=_MAX_PARTS, strict=True) as parser:
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                name, chunks = event.name, []
                coding = event.header("Content-Transfer-Encoding") or ""
                if coding.strip().lower() not in _AS_THEY_ARE:
                    raise ValueError("a part is encoded")
            elif event is None:
                parts.append((name, b"".join(chunks)))
            else:
                chunks.append(bytes(event))
    return parts


def _json(body: bytes) -> bytes:
    # As many such characters may be in a password; what is beyond that is structure.
    if sum(map(body.count, (b",", b":", b"{", b"["))) > MAX_PASSWORD_BYTES + _MAX_FIELDS:
        raise BadFormError("the JSON has too many parts")
    fields = _outcome(_loaded, body)
    if type(fields) is not _Object:
        raise BadFormError(f"the body is no JSON object with a field {FIELD}")
    password = _only(fields)
    if type(password) is not str:
        raise BadFormError(f"the field {FIELD} is no text")
    encoded: bytes | None = _outcome(password.encode)
    if encoded is None:
        raise BadFormError(f"the field {FIELD} holds half of a surrogate pair")
    return encoded


class _Object(list[tuple[str, Any]]):
    """The fields of a JSON object in their order, those that come twice too."""


def _loaded(body: bytes) -> Any:
    return json.loads(body.decode("utf-8"), object_pairs_hook=_Object, parse_constant=_no_constant)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _outcome(call: Callable[..., Any], *arguments: Any) -> Any:
    """Give what a call gives, None if what it was given is malformed."""
    try:
        return call(*arguments)
    except (ValueError, RecursionError, MultipartError):
        return None
