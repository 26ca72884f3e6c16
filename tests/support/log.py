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
def written() -> Iterator[io.StringIO]:
    """Give what the gateway writes to its log, to the byte."""
    configure_logging("INFO")  # first: with our handler there already, the gateway would do without its own
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    log = logging.getLogger("glm_gateway")
    log.addHandler(handler)
    try:
        yield stream
    finally:
        log.removeHandler(handler)


@contextmanager
def logged() -> Iterator[list[dict[str, Any]]]:
    """Collect the lines of it, when the block has ended."""
    lines: list[dict[str, Any]] = []
    with written() as stream:
        try:
            yield lines
        finally:
            lines += [json.loads(line) for line in stream.getvalue().splitlines()]
