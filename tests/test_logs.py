"""Lines of the log."""

import io
import json

from twisted.logger import Logger
from twisted.python.failure import Failure

from daemon.logs import observer


def written(format_, say):
    out = io.StringIO()
    say(Logger("daemon.test", observer=observer(format_, out)))
    return out.getvalue()


def test_text_is_one_readable_line():
    line = written("text", lambda log: log.info("hello {who}", who="world"))
    assert line.endswith("[daemon.test#info] hello world\n")
    assert line.count("\n") == 1


def test_json_is_one_object_a_line_with_its_fields():
    line = written("json", lambda log: log.warn("hello\n{who}", who="world", size=3, odd=[1]))
    assert line.count("\n") == 1
    event = json.loads(line)
    assert event["level"] == "warn"
    assert event["namespace"] == "daemon.test"
    assert event["message"] == "hello\nworld"
    assert event["fields"] == {"who": "world", "size": 3, "odd": "[1]"}
    assert event["time"].endswith("+00:00")


def test_a_failure_keeps_its_traceback():
    def say(log: Logger) -> None:
        try:
            raise RuntimeError("broken pot")
        except RuntimeError:
            log.failure("no tea")

    event = json.loads(written("json", say))
    assert event["level"] == "critical"
    assert "RuntimeError: broken pot" in event["traceback"]
    assert "RuntimeError: broken pot" in written("text", say)


def test_a_failure_given_by_hand_is_written_too():
    failure = Failure(ValueError("cold"))
    assert "cold" in written("json", lambda log: log.failure("no tea", failure))


def test_debug_is_left_out():
    assert written("text", lambda log: log.debug("noise")) == ""


def test_without_a_stream_lines_go_to_stderr(capsys):
    Logger("daemon.test", observer=observer("text")).info("here")
    assert "here" in capsys.readouterr().err
