"""Lines of the log."""

import json
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import Logger
from twisted.python.failure import Failure

from daemon.logs import Format, Log, as_text, is_journal


@pytest.fixture
def written(tmp_path: Path):
    """Give what the log holds after something was said."""
    path = tmp_path / "daemon.log"

    def write(format_: Format, say: Callable[[Logger], None], **levels: Any) -> str:
        path.unlink(missing_ok=True)
        log = Log(format_, str(path), **levels)
        say(Logger("daemon.test", observer=log.observer))
        assert log.file is not None
        log.file.close()
        return path.read_text()

    return write


def test_text_is_one_readable_line(written):
    line = written("text", lambda log: log.info("hello {who}", who="world"))
    assert line.endswith("[daemon.test#info] hello world\n")
    assert line.count("\n") == 1


def test_json_is_one_object_a_line_with_its_fields(written):
    line = written("json", lambda log: log.warn("hello\n{who}", who="world", size=3, odd=[1]))
    assert line.count("\n") == 1
    event = json.loads(line)
    assert event["level"] == "warn"
    assert event["namespace"] == "daemon.test"
    assert event["message"] == "hello\nworld"
    assert event["fields"] == {"who": "world", "size": 3, "odd": "[1]"}
    assert event["time"].endswith("+00:00")


def test_a_failure_keeps_its_traceback(written):
    def say(log: Logger) -> None:
        try:
            raise RuntimeError("broken pot")
        except RuntimeError:
            log.failure("no tea")

    event = json.loads(written("json", say))
    assert event["level"] == "critical"
    assert "RuntimeError: broken pot" in event["traceback"]
    assert "RuntimeError: broken pot" in written("text", say)


def test_a_failure_given_by_hand_is_written_too(written):
    failure = Failure(ValueError("cold"))
    assert "cold" in written("json", lambda log: log.failure("no tea", failure))


def test_debug_is_left_out(written):
    assert written("text", lambda log: log.debug("noise")) == ""


def test_levels_can_be_set_for_all_and_for_namespaces_that_begin_with_a_name(written):
    def say(log: Logger) -> None:
        for namespace in ("daemon.test", "daemon.test.inner", "daemon.tester"):
            inner = Logger(namespace, observer=log.observer)
            inner.debug("d")
            inner.warn("w")
            inner.error("e")

    def shown(**levels: Any) -> list[str]:
        lines = written("text", say, **levels).splitlines()
        return [line.partition("[")[2].partition("]")[0] for line in lines]

    assert shown(level="error") == [
        "daemon.test#error",
        "daemon.test.inner#error",
        "daemon.tester#error",
    ]
    assert shown(level="critical", levels={"daemon.test": "warn"}) == [
        "daemon.test#warn",
        "daemon.test#error",
        "daemon.test.inner#warn",
        "daemon.test.inner#error",
    ]
    assert len(shown(levels={"daemon": "debug"})) == 9
    assert shown(levels={"daemon": "critical", "daemon.tester": "error"}) == ["daemon.tester#error"]


def test_text_shows_the_fields_that_the_message_does_not(written):
    line = written(
        "text",
        lambda log: log.info(
            "{service} took {size_bytes:>5} of {peer.host}",
            service="hash",
            size_bytes=3,
            peer=socket,
            delay_s=0.5,
            odd="two words",
            path='a"b',
            nothing=None,
        ),
    )
    assert line.endswith(' delay_s=0.5 odd="two words" path="a\\"b"\n')
    assert "size_bytes=" not in line


@pytest.mark.parametrize("format_", ["text", "json"])
def test_nothing_that_comes_from_outside_looks_like_a_line_of_its_own(written, format_):
    forged = "x\n2026-01-01T00:00:00+0000 [daemon#info] forged\x1b[2J\u2028\x85"

    def say(log: Logger) -> None:
        log.warn("bad: {sent}", sent=forged, more=forged)
        log.failure("worse", Failure(ValueError(forged)))

    for line in written(format_, say).split("\n"):
        assert not line.startswith("2026-01-01")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028]", line)


@pytest.mark.parametrize("format_", ["text", "json"])
def test_no_password_of_a_url_or_by_name_is_written(written, format_):
    url = "postgresql://me:hid@den@db/objects?sslpassword=hidden"

    def say(log: Logger) -> None:
        log.warn("cannot reach {database}", database=url, query="password=hidden")
        log.failure("lost", Failure(OSError(f"no route to {url}\nreally: http://x/@me")))

    text = written(format_, say)
    assert "hid" not in text
    assert "postgresql://me:***@db/objects" in text
    assert "http://x/@me" in text


def test_a_broken_format_loses_no_line(written):
    assert "more" in written("text", lambda log: log.info("{broken", more="more"))


def test_an_event_of_the_old_kind_has_its_system_in_place_of_a_namespace():
    event = {"log_time": 1.0, "log_format": "hello", "log_system": "old", "log_level": None}
    assert as_text(event).endswith(" [old#info] hello\n")


def test_the_journal_is_told_the_priority_of_each_line(monkeypatch, capfd):
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
    log = Logger("daemon.test", observer=Log("text").observer)
    log.warn("careful")
    log.failure("broken", Failure(ValueError("cold")))
    first, second, *rest = capfd.readouterr().err.splitlines()
    assert first.startswith("<4>2")
    assert second.startswith("<2>2")
    assert rest
    assert all(line.startswith("<2>\t") for line in rest)


def test_what_is_no_journal_is_told_none(tmp_path):
    with (tmp_path / "log").open("w") as file:
        assert not is_journal(file.fileno(), {})
        assert not is_journal(file.fileno(), {"JOURNAL_STREAM": "1:1"})
        closed = file.fileno()
    assert not is_journal(closed, {"JOURNAL_STREAM": "1:1"})


def test_without_a_path_lines_go_to_stderr(capfd):
    Logger("daemon.test", observer=Log("text").observer).info("here")
    Log("text").reopen()
    assert "here" in capfd.readouterr().err


def test_a_file_that_was_moved_away_is_opened_anew(tmp_path):
    path = tmp_path / "daemon.log"
    log = Log("text", str(path))
    logger = Logger("daemon.test", observer=log.observer)
    logger.info("before")
    path.rename(tmp_path / "old.log")
    log.reopen()
    logger.info("after")
    assert log.file is not None
    log.file.close()
    assert "before" in (tmp_path / "old.log").read_text()
    assert "after" in path.read_text()
    assert "before" not in path.read_text()


class Odd:
    """A value that cannot say what it is."""

    def __str__(self) -> str:
        raise ValueError("no")


def test_no_odd_value_loses_a_line(written):
    line = written("json", lambda log: log.info("here", odd=Odd(), path="\udcff", why="reason"))
    event = json.loads(line)
    assert event["fields"] == {
        "odd": "<Odd, whose text fails: ValueError>",
        "path": "\\udcff",
        "why": "reason",
    }
