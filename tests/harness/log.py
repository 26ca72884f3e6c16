"""Reading the gateway's log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lib.web.logs import JsonFormatter, configure_logging


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """Collect what the gateway writes to its log, in the very form in which it does."""
    configure_logging("INFO")  # first: with our handler there already, the gateway would do without its own
    lines: list[dict[str, Any]] = []
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    log = logging.getLogger("glm_gateway")
    log.addHandler(handler)
    try:
        yield lines
    finally:
        log.removeHandler(handler)
        lines += [json.loads(line) for line in stream.getvalue().splitlines()]
