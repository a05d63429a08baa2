"""The password in the body of a request."""

from __future__ import annotations

import json
from urllib.parse import quote_from_bytes, urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.hash.forms import (
    MAX_PASSWORD_BYTES,
    BadFormError,
    PasswordTooLargeError,
    UnsupportedFormError,
    password_of,
    plain_password,
)

FORM = b"application/x-www-form-urlencoded"
JSON = b"application/json"
MULTIPART = b"multipart/form-data; boundary=cut"


def multipart(*parts: tuple[str, bytes], cut: bytes = b"cut") -> bytes:
    lines = []
    for head, value in parts:
        lines += [b"--" + cut, head.encode(), b"", value]
    return b"\r\n".join([*lines, b"--" + cut + b"--", b""])


def part(name: str, value: bytes) -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"', value


PASSWORD = part("password", b"p")


@given(st.binary(min_size=1))
def test_any_bytes_are_a_password_in_a_form(password):
    for body in (
        b"password=" + quote_from_bytes(password, safe="").encode(),
        b"a=b&" + urlencode({"password": password}).encode() + b"&c",
    ):
        assert password_of(body, FORM) == password


@given(st.binary(min_size=1))
def test_any_bytes_are_a_password_in_a_multipart_form(password):
    if b"--cut" not in password:
        body = multipart(part("a", b"b"), part("password", password))
        assert password_of(body, MULTIPART) == password


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.booleans())
def test_any_text_is_a_password_in_json(password, ascii_only):
    body = json.dumps({"a": [1], "password": password}, ensure_ascii=ascii_only)
    assert password_of(body.encode(), JSON) == password.encode()


@given(
    st.one_of(
        st.binary(),
        st.lists(st.sampled_from([b"%", b"+", b"4", b"=", b"a", b"\0", b"&"])).map(b"".join),
    )
)
@example(b"")
@example(b"%")
@example(b"=&=")
def test_the_short_way_and_the_long_one_agree(rest):
    body = b"password=" + rest
    short = plain_password(body)
    if short is not None:
        assert password_of(body, FORM) == short
    elif b"&" not in body:
        with pytest.raises((BadFormError, PasswordTooLargeError)):
            password_of(body, FORM)


@pytest.mark.parametrize("body", [b"", b"x=1", b"Password=1", b" password=1", b"x=1&password=1"])
def test_the_short_way_leaves_the_rest_to_the_long_one(body):
    assert plain_password(body) is None


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"password=x", b"Application/X-WWW-Form-URLEncoded ; charset=UTF-8"),
        (b"password=x", b"application/x-www-form-urlencoded; charset=iso-8859-1"),
        (b"p%61ssword=%78", FORM),
        (b"&&password=x&", FORM),
        (b'{"password":"x"}', b"application/json; charset=utf-8"),
        (b' {"password":"\\u0078"}\n', b"APPLICATION/JSON"),
        (multipart(part("password", b"x")), b'multipart/form-data; boundary="cut"'),
        (multipart((f'{PASSWORD[0]}; filename="f"\r\nContent-Type: image/png', b"x")), MULTIPART),
        (multipart((f"{PASSWORD[0]}\r\nContent-Transfer-Encoding: Binary", b"x")), MULTIPART),
        (b"\r\n" + multipart(part("password", b"x")), MULTIPART),
    ],
)
def test_the_ways_to_write_a_password(body, media_type):
    assert password_of(body, media_type) == b"x"


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"", FORM),
        (b"", None),
        (b"password=", FORM),
        (b"password", FORM),
        (b"passwort=x", FORM),
        (b"password=a&password=b", FORM),
        (b"password=a&p%61ssword=a", FORM),
        (b"x=1&password=a&x=2", FORM),
        (b"{", JSON),
        (b"[]", JSON),
        (b'"password"', JSON),
        (b"{}", JSON),
        (b'{"password": ""}', JSON),
        (b'{"password": null}', JSON),
        (b'{"password": 5}', JSON),
        (b'{"password": ["x"]}', JSON),
        (b'{"password": {"x": 1}}', JSON),
        (b'{"password": "a", "password": "b"}', JSON),
        (b'{"x": 1, "x": 2, "password": "b"}', JSON),
        (b'{"password": "a"} x', JSON),
        (b'{"password": "a", "x": NaN}', JSON),
        (b'{"password": "a\nb"}', JSON),
        (b'{"password": "\\ud800"}', JSON),
        (b'{"password": "\xff"}', JSON),
        (b'\xef\xbb\xbf{"password": "a"}', JSON),
        ('{"password": "a"}'.encode("utf-16"), JSON),
        (b'{"password": "a", "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", JSON),
        (b'{"password": "a", "x": ' + b"1" * 50_000 + b"}", JSON),
        (multipart(part("password", b"")), MULTIPART),
        (multipart(part("x", b"1")), MULTIPART),
        (multipart(PASSWORD, PASSWORD), MULTIPART),
        (multipart(part("x", b"1"), part("x", b"1"), PASSWORD), MULTIPART),
        (multipart(PASSWORD)[:-4], MULTIPART),
        (multipart(PASSWORD).replace(b"\r\n", b"\n"), MULTIPART),
        (multipart(PASSWORD), b"multipart/form-data"),
        (multipart(PASSWORD), b"multipart/form-data; boundary=other"),
        (multipart(PASSWORD), b"multipart/form-data; boundary=" + b"x" * 71),
        (multipart(("X: y", b"p")), MULTIPART),
        (multipart((f"{PASSWORD[0]}\r\nContent-Transfer-Encoding: base64", b"cA==")), MULTIPART),
        (multipart(*[part(f"x{number}", b"") for number in range(200)], PASSWORD), MULTIPART),
        (b"--cut--\r\n", MULTIPART),
    ],
)
def test_what_is_malformed_or_has_no_one_password_is_an_error(body, media_type):
    with pytest.raises(BadFormError) as failure:
        password_of(body, media_type)
    assert failure.value.__context__ is None


@pytest.mark.parametrize(
    "media_type",
    [
        None,
        b"",
        b"text/plain",
        b"application/xml",
        b"application/jsonp",
        b"multipart/mixed; boundary=cut",
        b"application/json; charset=utf-16",
        b"application/x-www-form-urlencoded; charset=utf-16",
        b"multipart/form-data; boundary=cut; charset=ebcdic",
        b"\xff",
    ],
)
def test_other_media_types_and_charsets_are_not_taken(media_type):
    with pytest.raises(UnsupportedFormError):
        password_of(b"password=x", media_type)


@pytest.mark.parametrize("size", [MAX_PASSWORD_BYTES, MAX_PASSWORD_BYTES + 1])
def test_a_password_has_64_kib_at_most_once_decoded(size):
    bodies = [
        (b"password=" + b"%00" * size, FORM),
        (b"password=" + b"x" * size, FORM),
        (multipart(part("password", b"x" * size)), MULTIPART),
        (b'{"password": "' + b"\\u0078" * size + b'"}', JSON),
    ]
    for body, media_type in bodies:
        assert len(body) <= 512 * 1024
        if size > MAX_PASSWORD_BYTES:
            assert media_type != FORM or plain_password(body) is None
            with pytest.raises(PasswordTooLargeError):
                password_of(body, media_type)
        else:
            assert len(password_of(body, media_type)) == size


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"password=x&" + b"&".join(b"%d" % number for number in range(1001)), FORM),
        (b"password=x&" + b"&" * 1001, FORM),
        (b"password=x&" + b"%41" * 20_000, FORM),
        (b'{"password": "x", "x": [' + b"1," * 70_000 + b"1]}", JSON),
        (b'{"password": "x", "x": [' + b"{}," * 70_000 + b"1]}", JSON),
    ],
)
def test_no_body_has_so_many_parts_that_reading_them_takes_long(body, media_type):
    with pytest.raises(BadFormError, match=r"at most|too many"):
        password_of(body, media_type)


def test_a_form_with_many_fields_is_read():
    fields = b"&".join(b"%d=1" % number for number in range(998))
    assert password_of(fields + b"&password=x", FORM) == b"x"


@pytest.mark.parametrize("character", [b",", b":", b"{", b"["])
def test_the_longest_password_may_look_like_structure(character):
    password = character * MAX_PASSWORD_BYTES
    assert password_of(b'{"password": "' + password + b'"}', JSON) == password
