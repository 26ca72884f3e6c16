"""The time at which the host ends the request."""

from __future__ import annotations

import asyncio
import time

import msgspec
from starlette.requests import Request

from lib.settings import Settings


class _LambdaContext(msgspec.Struct):
    deadline: int | None = None
    """Milliseconds since the epoch."""


def deadline_of(request: Request, settings: Settings) -> float | None:
    """Return the end of the request in the loop's time, or None if the host sets no limit."""
    left_s = _lambda_left_s(request) if settings.on_lambda else None
    if left_s is None:
        left_s = settings.max_duration_s
    return None if left_s is None else asyncio.get_running_loop().time() + left_s


def _lambda_left_s(request: Request) -> float | None:
    """Read the rest of the invocation's time from Mangum's context or from the Web Adapter's header."""
    context = request.scope.get("aws.context")
    if context is not None:
        return float(context.get_remaining_time_in_millis()) / 1000
    try:
        read = msgspec.json.decode(request.headers.get("x-amzn-lambda-context", "{}"), type=_LambdaContext)
    except (msgspec.DecodeError, RecursionError):
        return None
    return None if read.deadline is None else read.deadline / 1000 - time.time()
