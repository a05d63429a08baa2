"""Lines of the log."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.logger import Logger
from twisted.python.failure import Failure

from daemon.logs import Format, Log


@pytest.fixture
def written(tmp_path: Path):
    """Give what the log holds after something was said."""
    path = tmp_path / "daemon.log"

    def write(format_: Format, say: Callable[[Logger], None]) -> str:
        log = Log(format_, str(path))
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
