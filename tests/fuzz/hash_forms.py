"""The forms that a password comes in."""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import parse_qsl

from daemon.hash.forms import (
    FORM,
    MAX_PASSWORD_BYTES,
    BadFormError,
    PasswordTooLargeError,
    UnsupportedFormError,
    password_of,
    plain_password,
)

_REFUSALS: Final = (BadFormError, PasswordTooLargeError, UnsupportedFormError)
_SECRET: Final = b"s3cr3t"
_KINDS: Final = (
    FORM.encode(),
    b"multipart/form-data; boundary=x",
    b"application/json",
    b"",
)


def run(data: bytes) -> None:
    """Read a body; the first byte chooses its type, or has it stand in the first line."""
    kind, body = _KINDS[data[0] % len(_KINDS)] if data else b"", data[1:]
    if not kind:
        kind, _, body = body.partition(b"\n")
    password = _password(body, kind)
    assert password is None or 0 < len(password) <= MAX_PASSWORD_BYTES
    if kind == FORM.encode():
        assert password == _from_form(body)
        short = plain_password(body)
        assert short is None or short == password
    elif kind == b"application/json":
        assert password == _from_json(body)


def _password(body: bytes, kind: bytes) -> bytes | None:
    try:
        return password_of(body, kind)
    except _REFUSALS as error:
        assert "\n" not in str(error)
        return None


def _from_form(body: bytes) -> bytes | None:
    """The reference: Python's own reader of forms."""
    text = body.decode("latin-1")
    pairs = parse_qsl(text, keep_blank_values=True, encoding="latin-1")
    names = [name for name, _ in pairs]
    values = [value for name, value in pairs if name == "password"]
    if len(set(names)) < len(names) or not values or not values[0]:
        return None
    return values[0].encode("latin-1")


def _from_json(body: bytes) -> bytes | None:
    """The reference: Python's own reader of JSON."""
    try:
        pairs: Any = json.loads(body.decode(), object_pairs_hook=_pairs, parse_constant=_refuse)
        if not isinstance(pairs, tuple) or len({name for name, _ in pairs}) < len(pairs):
            return None
        password = dict(pairs).get("password")
        return (password.encode() or None) if isinstance(password, str) else None
    except (ValueError, RecursionError):
        return None


def _pairs(pairs: list[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    return tuple(pairs)


def _refuse(name: str) -> None:
    raise ValueError(name)


_PART: Final = b'--x\r\nContent-Disposition: form-data; name="password"\r\n'

WORDS: Final = (
    b"password=",
    b"&password=",
    b"%70assword=",
    b"%ff",
    b"%2",
    b"--x\r\n",
    b"\r\n--x--\r\n",
    b'Content-Disposition: form-data; name="password"\r\n\r\n',
    b"Content-Transfer-Encoding: base64\r\n",
    b"filename*=utf-8''a",
    b'{"password": "',
    b'"passwor\\u0064"',
    b"\\ud800",
    b"NaN",
    b"multipart/form-data; boundary=",
    b"application/x-www-form-urlencoded; charset=",
    b"application/json; charset=utf-8",
)
SEEDS: Final = (
    b"\0password=angryMonkey",
    b"\0password=a%20b+c&x=1",
    b"\0password=a&password=b",
    b"\0%70assword=%ff",
    b"\1" + _PART + b"\r\nsecret\r\n--x--\r\n",
    b"\1" + _PART + b"Content-Type: text/plain\r\n\r\nab\r\n" + _PART + b"\r\nc\r\n--x--\r\n",
    b"\1" + _PART + b"Content-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--x--\r\n",
    b'\2{"password": "secret"}',
    b'\2{"password": "\\ud83d\\ude00", "x": [1, {"password": 2}]}',
    b'\2{"password": "\\ud800"}',
    b'\2{"password": 1}',
    b'\3multipart/form-data; boundary="y z"\n--y z\r\n\r\n',
    b"\3application/json; charset=latin-1\n{}",
    b"\3application/x-www-form-urlencoded; charset=\xff\npassword=a",
)
