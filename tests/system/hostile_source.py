"""A source of objects that does what no source should, by the object that it is asked for."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from collections.abc import Awaitable, Callable
from typing import Final, Self

from tests.system.running import ReservedPort

_ASKED: Final = re.compile(rb"GET /objects/(\d+) HTTP/1\.1\r\n")
_STEP_S: Final = 0.02
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

Trick = Callable[[asyncio.StreamWriter, int], Awaitable[None]]


def answer(number: int, online: str = "true") -> bytes:
    """Write an answer as it should be."""
    body = b'{"id":%d,"online":%s}' % (number, online.encode())
    return _HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def framed(body: bytes) -> bytes:
    """Write an answer that has only its body wrong."""
    return _HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def endless(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send a piece again and again, as long as it is taken."""
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)


async def trickle(writer: asyncio.StreamWriter, number: int) -> None:
    """Send a good answer, too slowly."""
    for byte in answer(number):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(_STEP_S * 5)


async def endless_head(writer: asyncio.StreamWriter, number: int) -> None:
    """Send fields without end."""
    writer.write(_HEAD)
    await endless(writer, b"X: %d\r\n" % number * 100)


async def endless_body(writer: asyncio.StreamWriter, number: int) -> None:
    """Send chunks without end."""
    writer.write(_HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    await endless(writer, b"1000\r\n" + b"%4d" % (number % 10_000) * 1024 + b"\r\n")


async def body_until_the_end(writer: asyncio.StreamWriter, number: int) -> None:
    """Send a body without a length, and never end."""
    writer.write(_HEAD + b"\r\n")
    await endless(writer, b"%4d" % (number % 10_000) * 1024)


async def interim(writer: asyncio.StreamWriter, _: int) -> None:
    """Say 100 Continue without end."""
    await endless(writer, b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


async def silence(_writer: asyncio.StreamWriter, _: int) -> None:
    """Say nothing."""
    await asyncio.Event().wait()


def once(make: Callable[[int], bytes], *, close: bool = False) -> Trick:
    """Give the trick of sending some bytes."""

    async def trick(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(make(number))
        await writer.drain()
        if close:
            raise ConnectionAbortedError

    return trick


TRICKS: Final[dict[str, Trick]] = {
    "trickles": trickle,
    "endless head": endless_head,
    "endless body": endless_body,
    "body until the end": body_until_the_end,
    "interim answers": interim,
    "silence": silence,
    "closes early": once(lambda number: answer(number)[:-1], close=True),
    "closes at once": once(lambda _: b"", close=True),
    "two lengths": once(
        lambda number: answer(number).replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n")
    ),
    "length and chunks": once(
        lambda number: answer(number).replace(
            b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
    ),
    "bad chunk": once(lambda _: _HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n"),
    "huge length": once(lambda _: _HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n{"),
    "no HTTP": once(lambda _: b"\x16\x03\x01\x02\x00" * 100),
    "redirect to itself": once(
        lambda number: (
            b"HTTP/1.1 302 Found\r\nLocation: /objects/%d\r\nContent-Length: 0\r\n\r\n" % number
        )
    ),
    "garbage": once(lambda _: framed(b"\x00\xff" * 500)),
    "huge integer": once(lambda _: framed(b'{"id":' + b"9" * 60_000 + b',"online":true}')),
    "deep": once(lambda _: framed(b"[" * 60_000)),
    "for another": once(lambda number: answer(number + 2)),
    "online is a word": once(lambda number: answer(number, '"yes"')),
    "no content": once(lambda _: b"HTTP/1.1 204 No Content\r\n\r\n"),
    "server error": once(
        lambda _: b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
    ),
}
"""All of these mean that the object has to be asked for again, as long as it lives."""

EARLY: Final = "two answers"
"""It answers, and at once for the next object too: that is not to be believed."""


class HostileSource:
    """Answers as it should for objects below :attr:`FIRST`; above, with a trick for each.

    :param port: where it listens.
    :ivar asked: how often it was asked for each of the others.
    """

    FIRST: Final = 10**9

    def __init__(self, port: ReservedPort) -> None:
        self.asked: dict[int, int] = {}
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._connections: set[asyncio.Task[None]] = set()

    @classmethod
    def objects(cls) -> dict[str, int]:
        """Give the object that each trick is played with."""
        return dict(zip([*TRICKS, EARLY], itertools.count(cls.FIRST, 2), strict=False))

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._serve, self._port.host, self._port.number)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for each in self._connections:
            each.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                match = _ASKED.match(head)
                assert match is not None, head
                await self._answer(writer, int(match[1]))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._connections.discard(task)

    async def _answer(self, writer: asyncio.StreamWriter, number: int) -> None:
        place = (number - self.FIRST) // 2
        if place < 0:
            writer.write(answer(number))
            return
        self.asked[number] = self.asked.get(number, 0) + 1
        tricks = list(TRICKS.values())
        if place < len(tricks):
            await tricks[place](writer, number)
        else:
            writer.write(answer(number) + answer(number + 2))
        await writer.drain()
