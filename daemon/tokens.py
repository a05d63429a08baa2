"""Bearer tokens: who may change something (RFC 6750)."""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from pathlib import Path
from typing import Final

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_BEARER: Final = re.compile(rb"(?i:bearer) +([A-Za-z0-9\-._~+/]+=*)")


class NotAuthorizedError(Exception):
    """A request that needs a token has none, or an unknown one.

    :ivar challenge: the value of ``WWW-Authenticate`` to answer with.
    """

    def __init__(self, why: str, challenge: str) -> None:
        super().__init__(why)
        self.challenge = challenge


class TokensFileError(Exception):
    """The file of tokens cannot be used; the text is one line that names it."""


class Tokens:
    """The tokens that are accepted, known by their SHA-256 only.

    :param path: a file with the SHA-256 of a token in hexadecimal digits on each line; empty lines
        and what follows a ``#`` do not count. None: no token is asked for.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._digests: list[bytes] = []

    @property
    def needed(self) -> bool:
        """Whether requests that change something need a token."""
        return self._path is not None

    def load(self) -> None:
        """Read the file, now and again. When it cannot be used, the tokens known before stay.

        :raises TokensFileError: it cannot be read, or a line is no digest.
        """
        if self._path is None:
            return
        try:
            lines = self._path.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise TokensFileError(f"cannot read the tokens in {self._path}: {error}") from error
        digests = []
        for number, line in enumerate(lines, 1):
            text = line.partition("#")[0].strip()
            if text:
                if not _DIGEST.fullmatch(text):
                    raise TokensFileError(
                        f"{self._path}, line {number}: wanted the SHA-256 of a token,"
                        " 64 hexadecimal digits"
                    )
                digests.append(bytes.fromhex(text))
        self._digests = digests

    def check(self, authorization: bytes | None) -> None:
        """Accept a request, or not.

        :param authorization: the value of its ``Authorization`` field, None without one.
        :raises NotAuthorizedError: it carries no token that is known.
        """
        if self._path is None:
            return
        if authorization is None:
            raise NotAuthorizedError("a bearer token is needed", "Bearer")
        match = _BEARER.fullmatch(authorization)
        digest = sha256(match[1] if match else b"").digest()
        # All are compared, so that the time it takes says nothing about which one is near.
        known = [hmac.compare_digest(digest, each) for each in self._digests]
        if match is None or not any(known):
            raise NotAuthorizedError("this token is not known", 'Bearer error="invalid_token"')
