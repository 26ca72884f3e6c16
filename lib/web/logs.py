"""Log to stderr, as JSON or as lines for people, without tokens and prompts (docs/observability.md)."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import msgspec

from lib.settings import LogFormat
from lib.trace import current_trace

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_LEFT_ALONE = (
    *range(0x7F, 0xA0),
    *range(0x200B, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x2070),
    0xFEFF,
)
"""JSON does not escape these characters. A terminal or a log reader may take them for a line end, a command
or a change of direction."""
_MARKS = re.compile(r'[ "=]')
_ESCAPES = {code: f"\\u{code:04x}" for code in _LEFT_ALONE}


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time, level, message, request id, and the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if request_id := current_trace().request_id:
            line["request_id"] = request_id
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["traceback"] = _frames(record)
        return _one_line(line)


class TextFormatter(logging.Formatter):
    """A record as one line for a person at a terminal: the local time, the message, and the fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            fields["traceback"] = _frames(record)
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        words = _words_of_request(fields) if record.getMessage() == "request" else _plain(record.getMessage())
        rest = "".join(
            f" {name}={_field(value)}" for name, value in fields.items() if value not in (None, {}, "")
        )
        return f"{time} {level}{words}{rest}"


def _words_of_request(fields: dict[str, Any]) -> str:
    """Take the fields of every request out, in the order in which a person reads them."""
    place = fields.pop("route", None) or fields.pop("path", "")
    for name in ("stream", "bytes", "request_id"):
        fields.pop(name, None)
    if not fields.get("client_left"):
        fields.pop("client_left", None)
    method, status, seconds = (fields.pop(name, "") for name in ("method", "status", "seconds"))
    place = _plain(place).replace(" ", "%20")  # A stranger chooses an unknown path, and could write a status.
    return f"{_plain(method)} {place} {status} in {seconds} s"


def _field(value: object) -> str:
    """Write a field's value so that it cannot look like another field."""
    text = _plain(value)
    return json.dumps(text, ensure_ascii=False) if isinstance(value, str) and _MARKS.search(text) else text


def _plain(value: object) -> str:
    """Write a value so that it can neither end the line nor command the terminal."""
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    shown = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
    return shown.translate(_ESCAPES)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _one_line(line: dict[str, Any]) -> str:
    try:
        text = msgspec.json.encode(line, enc_hook=str).decode()
    except UnicodeEncodeError:  # UTF-8 has no bytes for half a character.
        return json.dumps(line, default=str)
    is_plain = (
        text.isascii() and "\x7f" not in text
    )  # Nearly every line is, and `translate` looks at each letter.
    return text if is_plain else text.translate(_ESCAPES)


def _frames(record: logging.LogRecord) -> list[str]:
    """Name the places and the type of an exception, not its text: the text may quote the caller."""
    kind, _, trace = record.exc_info or (None, None, None)
    places = [kind.__name__ if kind else "?"]
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places


class _Handler(logging.StreamHandler[TextIO]):
    """The handler that we add; the format of a later configuration replaces its own."""


@lru_cache(maxsize=1)
def configure_logging(level: str, log_format: LogFormat = "auto") -> None:
    """Set our logger up, once for each choice. Hosts set the root logger to INFO: httpx would log URLs."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # asyncio warns of writes to a client that has just left. That is normal.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    logging.getLogger("glm_gateway").setLevel(level)
    formatter = formatter_for(log_format, is_terminal=sys.stderr.isatty())
    for name in ("glm_gateway", "uvicorn.error"):  # A tool that reads our log reads the server's errors, too.
        log = logging.getLogger(name)
        ours = [handler for handler in log.handlers if isinstance(handler, _Handler)]
        if not ours:
            ours = [_Handler(sys.stderr)]
            log.addHandler(ours[0])
        ours[0].setFormatter(formatter)
    logging.getLogger("glm_gateway").propagate = False


def formatter_for(log_format: LogFormat, *, is_terminal: bool) -> logging.Formatter:
    is_text = log_format == "text" or (log_format == "auto" and is_terminal)
    return TextFormatter() if is_text else JsonFormatter()
