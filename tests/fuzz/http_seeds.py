"""Requests to begin with, and words to put in, for the targets that read HTTP."""

from __future__ import annotations

from typing import Final

from tests.fuzz.choices import SIZES
from tests.http.conformance.table import TABLE

SHORT: Final = 700
"""Bytes. Longer rows of the table are about limits, which are lower in the targets anyway."""

ROWS: Final = tuple(case.raw for case in TABLE if len(case.raw) <= SHORT)
"""What the table of the RFCs' rules sends."""

SEEDS: Final = tuple(bytes(SIZES) + raw for raw in ROWS)
"""The same, in one piece."""

WORDS: Final = (
    b"\r\n",
    b"\r\n\r\n",
    b" HTTP/1.1\r\n",
    b" HTTP/1.0\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"OPTIONS * ",
    b"CONNECT a:1 ",
    b"M-SEARCH ",
    b"http://a",
    b"Host: a\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Content-Length: ",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"3\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\nA: b\r\n\r\n",
    b";a=b",
    b';a="b"',
    b"[::1]:80",
)
