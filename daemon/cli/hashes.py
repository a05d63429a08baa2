"""``tsdaemon hash``: submit a password, wait for its hash."""

from __future__ import annotations

import getpass
import json
import math
import re
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes

from daemon.cli.asking import Answer, ask
from daemon.cli.outcome import CannotAskError, CommandError, Exit, plain

LONGEST_WAIT_S: Final = 30
"""How long one request waits; longer ones die in proxies."""

MOST_PASSWORD_BYTES: Final = 64 * 1024
_ANSWER_S: Final = 10.0
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def submit(url: str, token_file: str | None) -> int:
    """Send the password that is on standard input, and print the job's id."""
    fields = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/plain"}
    if token_file is not None:
        fields["Authorization"] = f"Bearer {_token(token_file)}"
    body = b"password=" + quote_from_bytes(_password(), safe=b"").encode()
    answer = ask(url, "/hash", method="POST", body=body, fields=fields)
    if answer.status != HTTPStatus.OK or not answer.body.isdigit():
        raise _refusal(url, answer)
    sys.stdout.write(f"{answer.text}\n")
    return Exit.DONE


def wait(url: str, job: int, timeout_s: float) -> int:
    """Wait until a job is ready, and print its hash.

    :raises CommandError: it is not ready in time, or will never be.
    """
    until = time.monotonic() + timeout_s
    while True:
        left_s = max(until - time.monotonic(), 0)
        wait_s = min(math.ceil(left_s), LONGEST_WAIT_S)
        answer = ask(
            url,
            f"/hash/{job}",
            fields={"Accept": "text/plain", "Prefer": f"wait={wait_s}"},
            timeout_s=wait_s + _ANSWER_S,
        )
        if answer.status == HTTPStatus.OK:
            sys.stdout.write(f"{plain(answer.text)}\n")
            return Exit.DONE
        if answer.status != HTTPStatus.ACCEPTED:
            raise _refusal(url, answer)
        if time.monotonic() >= until:
            raise CommandError(f"job {job} is not ready after {timeout_s:g} s")
        if "preference-applied" not in answer.fields:
            time.sleep(min(_retry_s(answer), max(until - time.monotonic(), 0)))


def _password() -> bytes:
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ").encode("utf-8", "surrogateescape")
    else:
        # One more than the server takes, and a line end: it is the one to refuse.
        password = sys.stdin.buffer.read(MOST_PASSWORD_BYTES + 2).removesuffix(b"\n")
    if not password:
        raise CommandError("the password is empty")
    return password


def _token(path: str) -> str:
    try:
        token = Path(path).read_text("ascii").strip()
    except OSError as error:
        raise CannotAskError(f"--token-file: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        token = ""
    if not _TOKEN.fullmatch(token):
        raise CannotAskError(f"--token-file: {path} does not hold a bearer token, and no more")
    return token


def _retry_s(answer: Answer) -> int:
    text = answer.fields.get("retry-after", "")
    return (
        min(int(text), LONGEST_WAIT_S) if text.isascii() and text.isdigit() and text != "0" else 1
    )


def _refusal(url: str, answer: Answer) -> CommandError:
    """Say why there is no answer, in the service's words if it has any."""
    try:
        problem = json.loads(answer.body)
        words = str(problem.get("detail") or problem["title"])
    except (ValueError, AttributeError, KeyError, RecursionError):
        words = answer.text[:200]
    return CommandError(f"{url}: {answer.status} {plain(words)}")
