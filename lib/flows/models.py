"""Which model names there are to choose from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from lib.chat.models import Listed
from lib.chat.request import MAX_MODEL_CHARS
from lib.errors import NotFound
from lib.upstreams.interface import Call, Upstream

OWNERS = {"web": "chatglm", "api": "z-ai"}
"""The vendor's own list names the owner of its models so."""


async def list_models(call: Call) -> tuple[Listed, ...]:
    """Return the models of all upstreams, each once, in the order of the upstreams."""
    upstreams = await call.services.upstreams_of(call.caller)
    # Together: no list waits for the other upstream's.
    async with asyncio.TaskGroup() as asking:
        lists = [asking.create_task(_names_of(upstream, call)) for upstream in upstreams]
    listed: dict[str, Listed] = {}
    for upstream, names in zip(upstreams, lists, strict=True):
        for name in names.result():
            listed.setdefault(name, Listed(name, OWNERS[upstream.name]))
    return tuple(listed.values())


async def _names_of(upstream: Upstream, call: Call) -> Sequence[str]:
    return await upstream.models(call)


async def find_model(name: str, call: Call) -> Listed:
    """Return the model if a chat takes its name, whether the lists have it or not."""
    if len(name) <= MAX_MODEL_CHARS:
        listed = {model.name: model for model in await list_models(call)}
        if name in listed:
            return listed[name]
        for upstream in await call.services.upstreams_of(call.caller):
            if upstream.serves(name):
                return Listed(name, OWNERS[upstream.name])
    raise NotFound(
        f"There is no model {name[:MAX_MODEL_CHARS]!r}; GET /v1/models lists them.",
        code="model_not_found",
        param="model",
    )
