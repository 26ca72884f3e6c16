"""Which model names there are to choose from."""

from __future__ import annotations

from lib.chat.caller import Caller
from lib.errors import NotFound
from lib.settings import Settings
from lib.upstreams.chatglm.accounts.callers import accounts_of
from lib.upstreams.chatglm.gateway import gateway_of
from lib.upstreams.chatglm.wire.models import is_agent_id, offered_names


async def list_models(caller: Caller, settings: Settings) -> tuple[str, ...]:
    """Return the upstream's models, each also with the suffixes that switch its mode."""
    gateway = gateway_of(settings)
    accounts = accounts_of(caller) if caller.refresh_tokens else ()
    return offered_names(await gateway.models.offered(accounts))


async def find_model(name: str, caller: Caller, settings: Settings) -> str:
    """Return the name if it is one of the list, or an agent's id."""
    if is_agent_id(name) or name in await list_models(caller, settings):
        return name
    raise NotFound(
        f"There is no model {name!r}; GET /v1/models lists them.", code="model_not_found", param="model"
    )
