"""Log JSON lines to stderr, without tokens and prompts. docs/observability.md lists the fields."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

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


@lru_cache(maxsize=1)
def configure_logging(level: str) -> None:
    """Set our logger up, once for each level. Hosts set the root logger to INFO, and httpx then logs URLs."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # asyncio warns of writes to a client that has just left. That is normal.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    logging.getLogger("glm_gateway").setLevel(level)
    for name in ("glm_gateway", "uvicorn.error"):  # A tool that reads our log reads the server's errors, too.
        log = logging.getLogger(name)
        if not any(isinstance(handler.formatter, JsonFormatter) for handler in log.handlers):
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(JsonFormatter())
            log.addHandler(handler)
    logging.getLogger("glm_gateway").propagate = False
