"""Which model names there are to choose from."""

from __future__ import annotations

from lib.chat.request import MAX_MODEL_CHARS
from lib.errors import NotFound
from lib.upstreams.interface import Call


async def list_models(call: Call) -> tuple[str, ...]:
    """Return the names of all upstreams' models, in the order of the upstreams."""
    names = [name for upstream in call.services.upstreams for name in await upstream.models(call)]
    return tuple(dict.fromkeys(names))


async def find_model(name: str, call: Call) -> str:
    """Return the name if a chat takes it, whether the lists have it or not."""
    is_served = any(upstream.serves(name) for upstream in call.services.upstreams)
    if len(name) <= MAX_MODEL_CHARS and (is_served or name in await list_models(call)):
        return name
    raise NotFound(
        f"There is no model {name[:MAX_MODEL_CHARS]!r}; GET /v1/models lists them.",
        code="model_not_found",
        param="model",
    )
