"""What a handler is given: one request, and the reply to it in the making."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote_to_bytes

from klein.interfaces import IKleinRequest
from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.components import registerAdapter
from twisted.python.failure import Failure
from twisted.web.http import parse_qs
from twisted.web.http_headers import Headers
from twisted.web.iweb import IRequest

from daemon.http.field import field_line
from daemon.http.head import Head

if TYPE_CHECKING:
    from werkzeug.routing import MapAdapter

    from daemon.http.connection import Connection

FORM: Final = b"application/x-www-form-urlencoded"

_DEFAULT_PORTS: Final = {True: 443, False: 80}


class Request:
    """The part of :class:`twisted.web.iweb.IRequest` that Klein handlers use.

    Left away are sessions, cookies, user and password, and multipart forms in :attr:`args`.
    What :meth:`write` takes is sent as a whole when the reply is finished.

    :param head: the request's head.
    :param body: the request's body.
    :param connection: where it came from.
    :ivar code: the reply's status.
    :ivar reply_fields: the lines of the fields that :meth:`setHeader` has set, by their names in
        lower case.
    :ivar headers_to_send: all fields of the reply, once :attr:`responseHeaders` was asked for.
    :ivar written: the reply's body so far, if a handler writes it.
    :ivar is_awaited: someone waits for the end of the request; see :meth:`notifyFinish`.
    :ivar keeps_open: the connection goes on after the reply; see :func:`keep_open`.
    :ivar finished: the reply has been given, or nobody is there any more to get it.
    """

    code = 200
    phrase: bytes | None = None
    written: list[bytes] | None = None
    finished = False
    _is_complete = False
    _content: BytesIO | None = None
    _args: dict[bytes, list[bytes]] | None = None
    _headers_received: Headers | None = None
    headers_to_send: Headers | None = None
    is_awaited = False
    keeps_open = False
    _waiters: list[Deferred[None]] | None = None
    _on_finish: Callable[[Request], None] | None = None

    def __init__(self, head: Head, body: bytes, connection: Connection) -> None:
        self.head = head
        self.body = body
        self.connection = connection
        self.reply_fields: dict[bytes, bytes] = {}

    # --- the request

    @property
    def method(self) -> bytes:
        """The method, as sent."""
        return self.head.method

    @property
    def uri(self) -> bytes:
        """The request target, as sent."""
        return self.head.target

    @property
    def path(self) -> bytes:
        """The path, percent-encoded as sent."""
        return self.head.path

    @property
    def clientproto(self) -> bytes:
        """The version of HTTP that the client speaks."""
        return b"HTTP/1.0" if self.head.is_1_0 else b"HTTP/1.1"

    @property
    def content(self) -> BytesIO:
        """The body, as a file."""
        if self._content is None:
            self._content = BytesIO(self.body)
        return self._content

    @property
    def args(self) -> dict[bytes, list[bytes]]:
        """The values of the query, and of a form that was posted URL-encoded, by their names."""
        if self._args is None:
            self._args = parse_qs(self.head.query, True)
            if self.head.method == b"POST":
                kind = self.head.values.get(b"content-type", b"").partition(b";")[0]
                if kind.strip().lower() == FORM:
                    self._args.update(parse_qs(self.body, True))
        return self._args

    @property
    def prepath(self) -> list[bytes]:
        """The decoded segments of the path that the route has used up."""
        return self._segments()[: self._segments_used()]

    @property
    def postpath(self) -> list[bytes]:
        """The decoded segments of the path behind those of the route."""
        return self._segments()[self._segments_used() :]

    @property
    def requestHeaders(self) -> Headers:
        """The fields received."""
        if self._headers_received is None:
            self._headers_received = Headers()
            for name, value in self.head.fields:
                self._headers_received.addRawHeader(name, value)
        return self._headers_received

    def getHeader(self, key: str | bytes) -> Any:
        """Give the last value of a field received, None without one; text for a text key."""
        if isinstance(key, bytes):
            value = self.head.values.get(key)
            # What is asked for most is written in lower case, and is not there.
            return value if value is not None or key.islower() else self._field(key)
        value = self._field(key.encode("latin-1"))
        return None if value is None else value.decode("utf-8", "replace")

    def _field(self, name: bytes) -> bytes | None:
        return self.head.values.get(name.lower())

    def getAllHeaders(self) -> dict[bytes, bytes]:
        """Give the last value of each field received."""
        return dict(self.head.values)

    def getRequestHostname(self) -> bytes:
        """Give the host that the request is for, without its port."""
        authority = self.head.authority
        if authority.startswith(b"["):
            return authority.partition(b"]")[0] + b"]"
        return authority.partition(b":")[0]

    def getHost(self) -> IAddress:
        """Give the address that the client has connected to."""
        return cast("IAddress", self.connection.transport.getHost())

    def getClientAddress(self) -> IAddress:
        """Give the address of the client."""
        return cast("IAddress", self.connection.transport.getPeer())

    @property
    def client(self) -> IAddress:
        """The address of the client."""
        return cast("IAddress", self.connection.transport.getPeer())

    def getClientIP(self) -> str | None:
        """Give the client's address as text; None when it has none, as on a unix socket."""
        return getattr(self.connection.transport.getPeer(), "host", None)

    def isSecure(self) -> bool:
        """Whether the connection is encrypted."""
        return bool(ISSLTransport.providedBy(self.connection.transport))

    # --- the reply

    @property
    def responseHeaders(self) -> Headers:
        """The fields to send."""
        if self.headers_to_send is None:
            self.headers_to_send = Headers()
            for line in filter(None, self.reply_fields.values()):
                name, _, value = line.removesuffix(b"\r\n").partition(b": ")
                self.headers_to_send.setRawHeaders(name, [value])
            self.reply_fields = {}
        return self.headers_to_send

    def setHeader(self, name: str | bytes, value: str | bytes) -> None:
        """Set a field of the reply. Line ends in it become blanks: no field ends early."""
        if self.headers_to_send is None:
            key, line = field_line(name, value)
            self.reply_fields[key] = line
        else:
            self.headers_to_send.setRawHeaders(name, [value])

    def setResponseCode(self, code: int, message: bytes | None = None) -> None:
        """Set the status of the reply, and a phrase if it shall not be the usual one.

        :raises TypeError: the phrase is no bytes.
        """
        if message is not None and not isinstance(message, bytes):
            raise TypeError(f"got {type(message).__name__} for a phrase, wanted bytes")
        self.code = int(code)
        self.phrase = message

    def redirect(self, url: bytes) -> None:
        """Send the client elsewhere, status 302."""
        self.setResponseCode(HTTPStatus.FOUND)
        self.setHeader(b"location", url)

    def write(self, data: bytes) -> None:
        """Add to the body of the reply.

        :raises TypeError: it is no bytes.
        """
        if not isinstance(data, bytes):
            raise TypeError(f"got {type(data).__name__} to write, wanted bytes")
        if self.written is None:
            self.written = []
        self.written.append(data)

    def finish(self) -> None:
        """Send the reply that :meth:`write` was given."""
        self._is_complete = True
        if self._on_finish is not None and not self.finished:
            self._on_finish(self)

    def notifyFinish(self) -> Deferred[None]:
        """Give a Deferred that fires when the reply is sent, or fails when the client is gone."""
        waiter: Deferred[None] = Deferred()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        self.is_awaited = True
        return waiter

    # --- for the server

    def when_finished(self, call: Callable[[Request], None]) -> None:
        """Have a function called by :meth:`finish`, at once if that was already called."""
        self._on_finish = call
        if self._is_complete:
            call(self)

    def fields_to_send(self) -> Iterable[tuple[bytes, bytes]]:
        """Give the fields of the reply: each with its name in lower case, and its line."""
        if self.headers_to_send is None:
            return self.reply_fields.items()
        return [
            field_line(name, value)
            for name, values in self.headers_to_send.getAllRawHeaders()
            for value in values
        ]

    def end(self, failure: Failure | None = None) -> None:
        """Tell those who wait that the reply is sent, or why it cannot be."""
        self.finished = True
        if self._waiters is None:
            return
        waiters, self._waiters = self._waiters, None
        for waiter in waiters:
            if failure is None:
                waiter.callback(None)
            else:
                waiter.errback(failure)

    def mapper(self) -> MapAdapter:
        """Give werkzeug's view of the routes, for the host of this request."""
        host = self.getRequestHostname().decode("latin-1")
        port = getattr(self.getHost(), "port", None)
        if port is not None and port != _DEFAULT_PORTS[self.isSecure()]:
            host = f"{host}:{port}"
        return self.connection.server.routes.bind(host, "https" if self.isSecure() else "http")

    def _segments(self) -> list[bytes]:
        return [unquote_to_bytes(segment) for segment in self.head.path[1:].split(b"/")]

    def _segments_used(self) -> int:
        route = self.head.route
        return 0 if route is None else int(route.segment_count)


def body_of(request: IRequest) -> bytes:
    """Give the body of a request, without a file around it where there is none yet."""
    if isinstance(request, Request):
        return request.body
    body: bytes = request.content.read()
    return body


def values_of(request: IRequest, name: bytes) -> list[bytes]:
    """Give all values of a field of a request, in the order sent.

    :param name: in lower case.
    """
    if isinstance(request, Request):
        return request.head.all(name)
    return list(request.requestHeaders.getRawHeaders(name, []))


def set_line(request: IRequest, key: bytes, line: bytes) -> None:
    """Set a field of the reply, faster than ``setHeader``, which looks at names and values.

    :param key: the field's name in lower case.
    :param line: the whole field, its line end too, with nothing in it that came from a client.
    """
    if isinstance(request, Request) and request.headers_to_send is None:
        request.reply_fields[key] = line
    else:
        request.setHeader(key, line.removesuffix(b"\r\n").partition(b": ")[2])


def client_of(request: IRequest) -> IAddress | None:
    """Give the address of a client; None where nobody knows it.

    That is so behind a proxy whose header names no client: the proxy's own address is nobody's.
    """
    peer = request.getClientAddress()
    transport = request.connection.transport if isinstance(request, Request) else None
    is_behind_proxy = False
    while transport is not None and not isinstance(transport, tcp.Connection):
        is_behind_proxy = is_behind_proxy or not isinstance(transport, TLSMemoryBIOProtocol)
        transport = getattr(transport, "transport", None)
    if transport is not None and is_behind_proxy and peer == transport.getPeer():
        return None
    return cast("IAddress", peer)


def keep_open(request: IRequest) -> None:
    """Let the connection go on after the reply, though the server drains.

    For replies after which the client has to ask again, when nobody can connect any more. It says
    nothing where the client or an error ends the connection, and nothing to other servers.
    """
    if isinstance(request, Request):
        request.keeps_open = True


class _KleinRequest:
    """Lets a handler build URLs: :class:`klein.interfaces.IKleinRequest`."""

    def __init__(self, request: Request) -> None:
        self.branch_segments = [""]
        self.mapper = request.mapper()

    def url_for(self, *args: Any, **kwargs: Any) -> str:
        """Build the URL of an endpoint; see :meth:`werkzeug.routing.MapAdapter.build`."""
        return self.mapper.build(*args, **kwargs)


registerAdapter(_KleinRequest, Request, IKleinRequest)
