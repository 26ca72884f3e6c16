"""Which model names there are to choose from."""

from __future__ import annotations

from lib.errors import NotFound
from lib.upstreams.interface import Call


async def list_models(call: Call) -> tuple[str, ...]:
    """Return the names of all upstreams' models, in the order of the upstreams."""
    names = [name for upstream in call.services.upstreams for name in await upstream.models(call)]
    return tuple(dict.fromkeys(names))


async def find_model(name: str, call: Call) -> str:
    """Return the name if it is one of the list, or if an upstream serves it all the same."""
    if any(upstream.serves(name) for upstream in call.services.upstreams) or name in await list_models(call):
        return name
    raise NotFound(
        f"There is no model {name!r}; GET /v1/models lists them.", code="model_not_found", param="model"
    )
