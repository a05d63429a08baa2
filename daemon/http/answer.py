"""What a client gets for a request: an answer, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Answer(NamedTuple):
    """An answer that is whole.

    :ivar status: 200 to 999; interim answers (1xx) are no answers, redirects are.
    :ivar fields: the last value of each header field, names in lower case.
    :ivar body: its transfer coding undone; a content coding is not.
    """

    status: int
    fields: Mapping[bytes, bytes]
    body: bytes


class FetchError(Exception):
    """There is no whole answer."""


class ConnectionFailedError(FetchError):
    """No connection could be made, or it ended before the answer did."""


class DeadlineExceededError(FetchError):
    """The answer was not whole in time."""


class AnswerTooLargeError(FetchError):
    """The answer is larger than the limit; the rest of it was not read."""


class MalformedAnswerError(FetchError):
    """What came is no answer of HTTP."""
