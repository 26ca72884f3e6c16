"""The wait for a reply's first content, which goes on after the stream has begun."""

from __future__ import annotations

import asyncio
from typing import Any

from lib.tasks import forget_result
from lib.upstreams.silence import MAX_SILENCE_S


async def wait_for_first(
    first: asyncio.Task[Any], accepted: asyncio.Future[Any], patience_s: float | None
) -> None:
    """Wait for the first content; with `patience_s` no longer than that after the upstream accepted.

    With it, wait no longer than a proxy does either: from then on the stream's heartbeats speak for it. Raise
    the refusal that ended the task meanwhile.
    """
    if patience_s is not None:
        await asyncio.wait({first, accepted}, timeout=MAX_SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({first}, timeout=patience_s)
    if first.done():
        first.result()


async def end_first(first: asyncio.Task[Any] | None) -> None:
    """End the task whose result no reader has taken, if there is one."""
    if first is None:
        return
    first.cancel()
    await asyncio.wait({first})
    forget_result(first)  # `wait_for_first` has raised its error, or no reader is left.
