"""All rows."""

from __future__ import annotations

from typing import Final

from tests.http.conformance import (
    chunked,
    connection,
    expect,
    fields,
    framing,
    head,
    host,
    limits,
    pipelining,
    request_line,
    smuggling,
    targets,
)
from tests.http.conformance.case import Case

TABLE: Final[tuple[Case, ...]] = (
    *request_line.CASES,
    *targets.CASES,
    *fields.CASES,
    *host.CASES,
    *framing.CASES,
    *chunked.CASES,
    *head.CASES,
    *connection.CASES,
    *expect.CASES,
    *pipelining.CASES,
    *smuggling.CASES,
    *limits.CASES,
)
