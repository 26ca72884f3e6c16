"""JSON lines on stderr; never a token, never a prompt."""

from __future__ import annotations

import logging
import sys
from functools import lru_cache

import msgspec

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: time, level, message, and whatever `extra` held."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _STANDARD},
        }
        if record.exc_info:
            line["traceback"] = _frames(record)
        return msgspec.json.encode(line, enc_hook=str).decode()


def _frames(record: logging.LogRecord) -> list[str]:
    """Name the places and the type of an exception, not its text: that may quote what a caller sent."""
    kind, _, trace = record.exc_info or (None, None, None)
    places = [kind.__name__ if kind else "?"]
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    return places


@lru_cache(maxsize=1)
def configure_logging(level: str) -> None:
    """Set our logger up, once for each level; hosts set the root logger to INFO, where httpx logs URLs."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of writes to a client that has just left, which is nothing to be warned of.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    log = logging.getLogger("glm_gateway")
    log.setLevel(level)
    if not any(isinstance(handler.formatter, JsonFormatter) for handler in log.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        log.addHandler(handler)
    log.propagate = False
