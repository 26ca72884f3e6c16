from __future__ import annotations

import json
import logging
import sys
import time

import pytest

from lib.settings import LogFormat
from lib.trace import traced
from lib.web.logs import JsonFormatter, TextFormatter, configure_logging, formatter_for


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


@pytest.mark.parametrize(
    ("log_format", "is_terminal", "kind"),
    [
        ("auto", True, TextFormatter),
        ("auto", False, JsonFormatter),
        ("text", False, TextFormatter),
        ("json", True, JsonFormatter),
    ],
)
def test_people_get_lines_and_programs_get_json(
    log_format: LogFormat, is_terminal: bool, kind: type[logging.Formatter]
) -> None:
    assert type(formatter_for(log_format, is_terminal=is_terminal)) is kind


def test_a_later_choice_of_the_format_counts() -> None:
    def kinds() -> set[type[logging.Formatter | None]]:
        handlers = logging.getLogger("glm_gateway").handlers
        return {type(handler.formatter) for handler in handlers} & {TextFormatter, JsonFormatter}

    try:
        configure_logging("INFO", "text")
        assert kinds() == {TextFormatter}
    finally:
        configure_logging("INFO", "auto")
    assert kinds() == {JsonFormatter}


def test_a_request_is_one_line_for_a_person() -> None:
    line = TextFormatter().format(
        record(
            "request",
            request_id="a",
            method="POST",
            route="/v1/chat/completions",
            status=429,
            stream=False,
            bytes=9,
            seconds=0.12,
            client_left=False,
            code="account_busy",
            notices={},
        )
    )
    made = logging.LogRecord("glm_gateway", logging.ERROR, __file__, 1, "a worker ended", (), None)
    assert line[2] == line[5] == ":", "the local time"
    assert line[8:] == " POST /v1/chat/completions 429 in 0.12 s code=account_busy"
    vars(made)["pid"] = 7
    assert TextFormatter().format(made)[8:] == " ERROR a worker ended pid=7"


def test_a_line_for_a_person_has_the_time_of_their_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    made = record("now")
    made.created = 1795307896.9354  # 00:38:16 UTC
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "CST-8")
        time.tzset()
        assert TextFormatter().format(made) == "08:38:16 now"
    time.tzset()


def test_a_line_for_a_person_says_where_a_fault_was_and_not_its_words() -> None:
    try:
        raise LookupError("my secret prompt")
    except LookupError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    line = TextFormatter().format(made)
    assert "LookupError" in line
    assert "secret" not in line


@pytest.mark.parametrize("hostile", ["a\nb", "\u2028\x85\r", "\x1b[31m", "\u202e", "\ud800", "\x00"])
def test_a_line_for_a_person_cannot_be_ended_or_coloured_by_a_stranger(hostile: str) -> None:
    line = TextFormatter().format(record(hostile, path=hostile, more=[hostile]))
    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_a_strangers_words_look_like_no_other_field() -> None:
    line = TextFormatter().format(
        record(
            "request", method="GET", path="/a 200 in 0.0 s", status=404, seconds=0.1, model='b" status=200'
        )
    )
    assert line[8:] == r' GET /a%20200%20in%200.0%20s 404 in 0.1 s model="b\" status=200"'
