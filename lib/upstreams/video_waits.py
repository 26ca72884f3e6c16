"""How long a request waits for a video, and how often it looks."""

from __future__ import annotations

import asyncio

from lib.upstreams.interface import Call
from lib.upstreams.silence import stop_time

POLL_EVERY_S = 2.0
"""The upstream is asked for one video once in this time, also if several clients ask us."""
WAIT_JITTER = (1.01, 1.3)
"""POLL_EVERY_S is multiplied by a number in between: requests that wait together drift apart."""
MAX_WAIT_S = 1800.0
"""A request waits this long if no host ends it. A video for a free account takes minutes."""
MAX_LAMBDA_WAIT_S = 240.0
"""API Gateway ends a request that is silent for five minutes; the id of the ordered video would be lost."""
REPEATED_WAIT_S = 20.0
"""A repeated order waits so long for the first one's id: another instance may be about to get it."""


def wait_end(wait_s: float | None, call: Call) -> float:
    """Return the end of the wait, in the loop's time."""
    max_s = MAX_LAMBDA_WAIT_S if call.settings.on_lambda else MAX_WAIT_S
    wait_s = max_s if wait_s is None else min(wait_s, max_s)
    until = asyncio.get_running_loop().time() + wait_s
    return until if call.deadline_at is None else min(until, stop_time(call.deadline_at))
