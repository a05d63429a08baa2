"""Nothing secret is in the log, on stdout or in a file of the state folder, whatever clients do."""

from __future__ import annotations

import json
import signal
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from tests.system.conftest import Starter
from tests.system.http_clients import EndedError, HTTPClient, request
from tests.system.running import ReservedPort, RunningDaemon, eventually
from tests.systemd import SERVICES

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
MULTIPART = "multipart/form-data; boundary=x"

TOKEN = "token-Zai7eeng"  # noqa: S105
WRONG_TOKEN = "wrong-Ohl2ohsh"  # noqa: S105
PASSWORD = "password-Nei0zoo3"  # noqa: S105
BASIC = "basic-Iec4aew5"
QUERY = "query-Uu8ahcha"
DATABASE = "database-Iegh6aju"

SECRETS = [TOKEN, WRONG_TOKEN, PASSWORD, BASIC, QUERY, DATABASE]
HIDDEN = [secret.encode() for secret in SECRETS] + [
    b64encode(f"{before}{secret}".encode())[4:-4]
    for secret in SECRETS
    for before in ("", "me:", "x")
]
"""What must be nowhere: the secrets, and what they are in the middle of in base64."""


@pytest.fixture
def ports(start: Starter) -> dict[str, ReservedPort]:
    return {name: start.port() for name in SERVICES}


@pytest.fixture(params=["text", "json"])
def daemon(
    request: pytest.FixtureRequest, start: Starter, ports: dict[str, ReservedPort], tmp_path: Path
) -> RunningDaemon:
    """A daemon that tells as much as it can, with all services."""
    tokens = tmp_path / "tokens"
    tokens.write_text(sha256(TOKEN.encode()).hexdigest())
    gone = start.port()  # nobody listens there
    settings = [
        f"auth.tokens_file={tokens}",
        f"callback.database=postgresql://me:{DATABASE}@127.0.0.1:{gone.number}/objects",
        f"callback.source=http://127.0.0.1:{gone.number}",
        "hash.keep=true",
        "hash.delay=0",
        "log_level=debug",
        "access_log=true",
        f"log_format={request.param}",
    ]
    settings += [
        f"{name}.listen=tcp:{port.number}:interface=127.0.0.1" for name, port in ports.items()
    ]
    words = [word for setting in settings for word in ("--set", setting)]
    port = ports["numbers"]
    daemon = RunningDaemon(
        start.folder(), ["-n", "--pidfile=", "tsdaemon", *words], (port.host, port.number)
    )
    start.adopt(daemon)
    return daemon.wait_until_ready()


def requests_of_all_kinds() -> list[bytes]:
    """Give requests with secrets wherever they can be, well-formed and not."""
    form = f"password={PASSWORD}".encode()
    as_json = json.dumps({"password": PASSWORD}).encode()
    broken = f'{{"password": "{PASSWORD}"'.encode()
    target = f"?token={QUERY}&q={QUERY}&{QUERY}"
    sent = []
    for authorization in (
        f"Bearer {TOKEN}",
        f"bearer  {WRONG_TOKEN}",
        f"Bearer {WRONG_TOKEN} {TOKEN}",
        f"Bearer{TOKEN}",
        f"Basic {b64encode(f'me:{BASIC}'.encode()).decode()}",
        f"{BASIC}",
    ):

        def ask(method: str, path: str, body: bytes | None = None, **more: str) -> bytes:
            return request(
                method,
                path,
                body,
                authorization=authorization,  # noqa: B023  # called in the loop only
                idempotency_key=QUERY,
                **more,
            )

        sent += [
            ask("POST", f"/hash{target}", form, content_type=FORM),
            ask("POST", "/hash", as_json, content_type=JSON),
            ask("POST", "/hash", broken, content_type=JSON),
            ask("POST", "/hash", form + b"&" + form, content_type=FORM),
            ask("POST", "/hash", form, content_type="application/octet-stream"),
            ask("POST", "/hash", form, content_type=MULTIPART),
            ask("PUT", f"/timestamp{target}", b"1", content_type="text/plain"),
            ask("POST", f"/callback{target}", b'{"object_ids":[1,2]}'),
            ask("GET", f"/objects{target}"),
            ask("GET", f"/objects/1{target}"),
            ask("GET", f"/hash/1{target}"),
            ask("GET", f"/nothing/{target}"),
            ask("GET", f"http://me:{QUERY}@localhost/{target}"),
            ask("BREW", f"/{target}"),
            ask("GET", f"/{target}").replace(b"Authorization:", b"Authorization :"),
            ask("GET", f"/{target}").replace(b"HTTP/1.1", b"HTTP/3.1"),
            ask("GET", f"/{target}").replace(b"Host: localhost\r\n", b""),
            ask("GET", f"/{target}")[:-4],
            f"password={PASSWORD}\r\n\r\n".encode(),
        ]
    return sent


def test_no_secret_is_written_anywhere(
    daemon: RunningDaemon, ports: dict[str, ReservedPort], tmp_path: Path
):
    for name, port in ports.items():
        if name == "numbers":
            continue
        for sent in requests_of_all_kinds():
            client = HTTPClient((port.host, port.number))
            try:
                client.send(sent).finish()
                client.reply()
            except (EndedError, ConnectionError):
                pass
            finally:
                client.close()
    daemon.signal(signal.SIGHUP)
    eventually(lambda: "SIGHUP: " in daemon.stderr)
    eventually(lambda: "callback is degraded" in daemon.stderr)
    assert daemon.stop() == 0
    assert "/nothing/?" in daemon.stderr
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    written |= {path: path.read_bytes() for path in tmp_path.parent.rglob("std*") if path.is_file()}
    assert any(path.name.startswith("stderr") for path in written)
    places = {path.parent.name for path in written}
    assert {"tsdaemon-state", "hash"} <= places, places
    for path, data in written.items():
        for secret in HIDDEN:
            assert secret not in data, f"{secret!r} is in {path}"


def test_no_secret_is_in_the_log_of_the_numbers_either(daemon: RunningDaemon):
    """Someone takes the port for another, and sends a password to it."""
    client = daemon.connect().send(f"PASS {PASSWORD}\n".encode())
    client.until_end()
    eventually(lambda: "invalid line" in daemon.stderr)
    assert daemon.stop() == 0
    assert PASSWORD not in daemon.stderr
