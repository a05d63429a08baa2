"""The head of a request: what llhttp reads, and what it lets pass that the RFCs do not.

Pure functions of bytes. RFC 9110 and RFC 9112 are meant by section numbers.
"""

from __future__ import annotations

import re
from functools import lru_cache
from http import HTTPStatus
from ipaddress import AddressValueError, IPv6Address
from typing import Any, Final

from httptools import (
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from daemon.http.limits import Limits, Refused

END: Final = b"\r\n\r\n"
"""What a head ends with."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"

_REQUEST_LINE: Final = re.compile(
    rb"(" + _TOKEN + rb"++) ([\x21-\x7e]++) HTTP/([0-9]\.[0-9])\r\n",
)

_AUTHORITY: Final = re.compile(
    rb"""(?x)
    (?: \[ (?: ([0-9A-Fa-f:.]++) | [vV] [0-9A-Fa-f]++ \. [A-Za-z0-9\-._~!$&'()*+,;=:]++ ) \]
      | (?: [A-Za-z0-9\-._~!$&'()*+,;=] | %[0-9A-Fa-f]{2} )++ )
    (?: : 0*+ ([0-9]{0,5}) )?
    """
)
"""``uri-host [ ":" port ]`` (RFC 9110 section 7.2), the host not empty."""

_PORT_LAST: Final = re.compile(rb":[0-9]+\Z")
_ABSOLUTE: Final = re.compile(rb"(?i:https?)://([^/?]*+)(.*+)")
_HIGHEST_PORT: Final = 65535
_CREDENTIALS: Final = frozenset(
    {b"authorization", b"cookie", b"idempotency-key", b"proxy-authorization"}
)


class Head:
    """The head of one request; never changed, since equal heads share one object.

    :ivar method: as sent.
    :ivar target: the request target as sent.
    :ivar path: the target's path, still percent-encoded; ``*`` for ``OPTIONS *``.
    :ivar query: what follows the first ``?``; empty without one.
    :ivar authority: host and port that the request is for; empty when HTTP/1.0 names none.
    :ivar fields: names and values in the order sent, white space around the values gone.
    :ivar values: the last value of each field, by its name in lower case.
    :ivar is_1_0: the client speaks HTTP/1.0.
    :ivar keep_alive: the client wants to go on with the connection.
    :ivar length: bytes of the body; None when it is chunked.
    :ivar expects_continue: the client waits for ``100 Continue`` before it sends the body.
    :ivar ordinary: the reply has a body, and says nothing on how the connection goes on.
    :ivar secret: it holds credentials.
    :ivar route: left to the one who finds the route of a request; the same for equal heads.
    """

    __slots__ = (
        "authority",
        "expects_continue",
        "fields",
        "is_1_0",
        "keep_alive",
        "length",
        "method",
        "ordinary",
        "path",
        "query",
        "route",
        "secret",
        "target",
        "values",
    )

    def __init__(
        self, method: bytes, target: bytes, fields: list[tuple[bytes, bytes]], *, is_1_0: bool
    ) -> None:
        self.method = method
        self.target = target
        self.fields = fields
        self.values = {name.lower(): value for name, value in fields}
        self.is_1_0 = is_1_0
        self.authority = self.values.get(b"host", b"")
        self.path, _, self.query = target.partition(b"?")
        self.length: int | None = int(self.values.get(b"content-length", b"").lstrip(b"0") or 0)
        self.expects_continue = False
        self.secret = not _CREDENTIALS.isdisjoint(self.values)
        self.route: Any = None
        self.keep_alive = not is_1_0
        if b"connection" in self.values:
            options = _members(self.all(b"connection"))
            wanted = not is_1_0 or b"keep-alive" in options
            self.keep_alive = wanted and b"close" not in options
        self.ordinary = self.keep_alive and not is_1_0 and method != b"HEAD"

    def all(self, name: bytes) -> list[bytes]:
        """Give all values of a field.

        :param name: in lower case.
        """
        if name not in self.values:
            return []
        if len(self.values) == len(self.fields):
            return [self.values[name]]
        return [value for key, value in self.fields if key.lower() == name]


def parse(data: bytes, limits: Limits) -> Head:
    """Read a head.

    :param data: the bytes of one head, :data:`END` included.
    :raises Refused: it is malformed, too large, or asks for what this server does not do.
    """
    line = _REQUEST_LINE.match(data)
    if line is None:
        raise Refused(HTTPStatus.BAD_REQUEST, "malformed request line")
    method, target, version = line.groups()
    check_size(data, limits)
    if version not in (b"1.1", b"1.0"):
        raise Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "only HTTP/1.0 and HTTP/1.1")
    fields = _fields(data, limits)
    if len(fields) > limits.header_fields:
        raise Refused(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"more than {limits.header_fields} header fields",
        )
    head = Head(method, target, fields, is_1_0=version == b"1.0")
    _check_host(head)
    _check_target(head)
    _check_framing(head, limits)
    _check_expectation(head)
    return head


def check_size(data: bytes | bytearray, limits: Limits) -> None:
    """Refuse a head that is too large, also one whose end has not come yet.

    :raises Refused: 414 for the request line, 431 for the fields.
    """
    line_end = data.find(b"\r\n")
    if line_end < 0:
        line_end = len(data)
    if line_end > limits.target_bytes:
        target = bytes(data[:line_end]).partition(b" ")[2].partition(b" ")[0]
        if len(target) > limits.target_bytes:
            raise Refused(
                HTTPStatus.REQUEST_URI_TOO_LONG,
                f"the request target is longer than {limits.target_bytes} bytes",
            )
        if line_end > limits.target_bytes + limits.header_bytes:
            raise Refused(HTTPStatus.BAD_REQUEST, "malformed request line")
    if len(data) - line_end > limits.header_bytes + len(END):
        raise Refused(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
            f"the header is longer than {limits.header_bytes} bytes",
        )


_BARE_END: Final = re.compile(rb"(?<!\r)\n|\r[^\n]")
_LINE_SO_FAR: Final = re.compile(_TOKEN + rb"++(?: |\Z)")


def check_unfinished(data: bytes | bytearray, limits: Limits, checked: int = 0) -> None:
    """Refuse at once what cannot become a head, however it goes on.

    Who ends lines with CR or LF alone, or speaks TLS, should not have to wait for a timeout.

    :param data: the bytes so far, without :data:`END`.
    :param checked: so many of them were there at the last check.
    :raises Refused: it cannot.
    """
    if _BARE_END.search(data, max(0, checked - 1)) or not _LINE_SO_FAR.match(data):
        raise Refused(HTTPStatus.BAD_REQUEST, "malformed request")
    check_size(data, limits)


class _Reader:
    """Has llhttp check heads. One that had no body leaves its parser ready for the next."""

    def __init__(self) -> None:
        self._parser = HttpRequestParser(self)
        self._goes_on = True

    def check(self, data: bytes) -> None:
        """See that llhttp takes a head.

        :raises HttpParserError: it does not.
        """
        if not self._goes_on:
            self._parser = HttpRequestParser(self)
        self._goes_on = False
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            # The whole head is read, and no other protocol is spoken here.
            self._goes_on = False
        except HttpParserError:
            self._goes_on = False
            raise

    def on_message_complete(self) -> None:
        """Learn that llhttp awaits another head."""
        self._goes_on = self._parser.should_keep_alive()


_reader: Final = _Reader()


_FIELD: Final = re.compile(rb"\r\n([^:\r\n]++):[ \t]*+([^\r\n]*+)")
"""A field of a head that llhttp has checked, white space before the value left away.

llhttp could give each field as well; a call for each takes longer than all the rest.
"""


def _fields(data: bytes, limits: Limits) -> list[tuple[bytes, bytes]]:
    try:
        _reader.check(data)
    except HttpParserError as error:
        without_blanks = _CODING_WITH_BLANKS.sub(rb"\1", data)
        if without_blanks != data:
            return _fields(without_blanks, limits)
        raise _refused_by_llhttp(str(error), limits) from error
    fields: list[tuple[bytes, bytes]] = _FIELD.findall(data)
    if b" \r\n" in data or b"\t\r\n" in data:
        fields = [(name, value.rstrip(b" \t")) for name, value in fields]
    return fields


_CODING_WITH_BLANKS: Final = re.compile(
    rb"(\r\ntransfer-encoding:[ \t]*chunked)[ \t]+(?=\r\n)", re.IGNORECASE
)
"""White space behind a value is no part of it (RFC 9110 section 5.5); llhttp takes it for one."""

_METHOD_UNKNOWN: Final = ("Invalid method", "Expected space after method", "Expected HTTP/2")
"""How llhttp's reasons begin when it is the method, while the request line has its form."""


def _refused_by_llhttp(reason: str, limits: Limits) -> Refused:
    if reason.startswith(_METHOD_UNKNOWN):
        return Refused(HTTPStatus.NOT_IMPLEMENTED, "unknown method")
    if reason == "Content-Length overflow":
        return too_large(limits)
    return Refused(HTTPStatus.BAD_REQUEST, reason or "malformed request")


def _check_host(head: Head) -> None:
    """Section 3.2: exactly one valid Host, which HTTP/1.0 may leave away."""
    hosts = head.all(b"host")
    if len(hosts) > 1 or (not hosts and not head.is_1_0):
        raise Refused(HTTPStatus.BAD_REQUEST, "exactly one Host is needed")
    if hosts:
        _check_authority(hosts[0], "Host")


def _check_authority(authority: bytes, what: str) -> None:
    if not _is_authority(authority):
        raise Refused(HTTPStatus.BAD_REQUEST, f"{what} is not host[:port]")


@lru_cache(maxsize=256)
def _is_authority(text: bytes) -> bool:
    match = _AUTHORITY.fullmatch(text)
    if match is None or int(match[2] or 0) > _HIGHEST_PORT:
        return False
    try:
        return match[1] is None or bool(IPv6Address(match[1].decode()))
    except AddressValueError:
        return False


def _check_target(head: Head) -> None:
    """Section 3.2: origin-form; absolute-form; ``*`` with OPTIONS; host:port with CONNECT."""
    target = head.target
    if b"#" in target or b"\\" in target:
        raise Refused(HTTPStatus.BAD_REQUEST, "the request target holds '#' or '\\'")
    if head.method == b"CONNECT":
        if not _PORT_LAST.search(target) or not _is_authority(target):
            raise Refused(HTTPStatus.BAD_REQUEST, "CONNECT wants host:port")
    elif target == b"*":
        if head.method != b"OPTIONS":
            raise Refused(HTTPStatus.BAD_REQUEST, "only OPTIONS can ask for *")
    elif not target.startswith(b"/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None:
            raise Refused(HTTPStatus.BAD_REQUEST, "the request target is no path and no http URI")
        head.authority, rest = absolute.groups()
        _check_authority(head.authority, "the request target's authority")
        head.path, _, head.query = rest.partition(b"?")
        if not head.path:
            # RFC 9112 section 3.2.4: OPTIONS without a path asks for the server as a whole.
            as_a_whole = head.method == b"OPTIONS" and not rest
            head.path = b"*" if as_a_whole else b"/"


def _check_framing(head: Head, limits: Limits) -> None:
    """Section 6: how long the body is. llhttp has refused both fields, and either one twice."""
    if b"transfer-encoding" in head.values:
        _check_codings(head.all(b"transfer-encoding"))
        if head.is_1_0:
            raise Refused(HTTPStatus.BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding")
        head.length = None
    elif head.length is not None and head.length > limits.body_bytes:
        raise too_large(limits)


def _check_codings(values: list[bytes]) -> None:
    if len(values) == 1 and values[0].lower() == b"chunked":
        return
    codings = _members(values)
    if len(codings) > 1 and b"chunked" not in codings[:-1] and codings[-1] == b"chunked":
        raise Refused(HTTPStatus.NOT_IMPLEMENTED, "no transfer coding but chunked")
    raise Refused(HTTPStatus.BAD_REQUEST, "chunked must be the last transfer coding")


def too_large(limits: Limits) -> Refused:
    """Give what a client gets whose body is too large."""
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is larger than {limits.body_bytes} bytes"
    )


def _check_expectation(head: Head) -> None:
    """RFC 9110 section 10.1.1; HTTP/1.0 knows no interim replies."""
    if b"expect" not in head.values:
        return
    expectations = _members(head.all(b"expect"))
    if any(expectation != b"100-continue" for expectation in expectations):
        raise Refused(HTTPStatus.EXPECTATION_FAILED, "no expectation but 100-continue")
    head.expects_continue = bool(expectations) and not head.is_1_0


def _members(values: list[bytes]) -> list[bytes]:
    """Give the members of a list field, in lower case (RFC 9110 section 5.6.1)."""
    members = [member.strip(b" \t").lower() for value in values for member in value.split(b",")]
    return [member for member in members if member]
