from __future__ import annotations

import json
import logging
import sys

import pytest

from lib.trace import traced
from lib.web.logs import JsonFormatter, configure_logging


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("glm_gateway", logging.INFO, __file__, 1, message, args, None)
    vars(made).update(extra)
    return made


def test_a_record_is_one_line_of_json() -> None:
    text = JsonFormatter().format(record("asked %d times", 3, path="/v1/中文", odd=object()))
    line = json.loads(text)
    assert "\n" not in text
    assert (line["level"], line["message"], line["path"]) == ("INFO", "asked 3 times", "/v1/中文")
    assert line["odd"].startswith("<object")
    assert line["time"][4] == "-"


@pytest.mark.parametrize(
    "hostile", ["a\nb", "\u2028\u2029\x85\x0b\x1c\r", '"}\n{"level":"x"', "\x00\x1b[31m", "\ud800"]
)
def test_nothing_ends_a_line_but_its_end(hostile: str) -> None:
    text = JsonFormatter().format(record(hostile, path=hostile))
    assert len(text.splitlines()) == 1
    text.encode()
    assert json.loads(text)["path"] == json.loads(text)["message"] == hostile


def test_a_record_tells_its_time_to_the_millisecond() -> None:
    made = record("now")
    made.created = 1795307896.9354
    assert json.loads(JsonFormatter().format(made))["time"] == "2026-11-22T00:38:16.935Z"


def test_whatever_is_logged_within_a_request_carries_its_id() -> None:
    with traced("abc"):
        line = json.loads(JsonFormatter().format(record("a warning")))
    assert line["request_id"] == "abc"
    assert "request_id" not in json.loads(JsonFormatter().format(record("a warning")))


def test_an_exception_is_told_by_its_places_and_not_by_its_words() -> None:
    try:
        raise LookupError("my secret prompt")
    except LookupError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    line = json.loads(JsonFormatter().format(made))
    assert line["traceback"][0] == "LookupError"
    assert "test_logs.py" in line["traceback"][1]
    assert "secret" not in json.dumps(line)


def test_the_log_is_ours_once_and_the_http_clients_urls_are_not_in_it() -> None:
    for level in ("DEBUG", "INFO", "INFO", "DEBUG"):
        configure_logging(level)
        assert logging.getLevelName(logging.getLogger("glm_gateway").level) == level
    log = logging.getLogger("glm_gateway")
    assert sum(isinstance(handler.formatter, JsonFormatter) for handler in log.handlers) == 1
    assert not log.propagate
    assert not logging.getLogger("httpx").isEnabledFor(logging.INFO)
    configure_logging("INFO")


def test_the_servers_own_errors_are_lines_of_json_too() -> None:
    configure_logging("INFO")
    handlers = logging.getLogger("uvicorn.error").handlers
    assert [type(handler.formatter) for handler in handlers] == [JsonFormatter]
