"""chatglm.cn as an upstream: the door that flows use."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from lib.chat.caller import Caller
from lib.chat.models import find_name
from lib.chat.names import read_name
from lib.chat.request import ChatRequest
from lib.upstreams.chatglm.accounts.account import Account
from lib.upstreams.chatglm.accounts.callers import accounts_of
from lib.upstreams.chatglm.gateway import Gateway
from lib.upstreams.chatglm.reply import Reply, open_reply
from lib.upstreams.chatglm.wire.models import is_silent, offered_names
from lib.upstreams.interface import Abilities, Call


class ChatGLMUpstream:
    """One person's account, or several, at chatglm.cn."""

    name = "web"

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def abilities(self, chat: ChatRequest, _call: Call) -> Abilities | None:
        return Abilities(images=True, files=True, silent=is_silent(chat.model))

    async def prove(self, call: Call) -> None:
        if not call.caller.is_owner:
            await self._gateway.proofs.proven(accounts_of(call.caller), call.caller)

    def open(
        self, chat: ChatRequest, call: Call, *, patience_s: float | None
    ) -> AbstractAsyncContextManager[Reply]:
        return open_reply(self._gateway, chat, call, patience_s=patience_s)

    async def models(self, call: Call) -> tuple[str, ...]:
        """Return its models, each also with the suffixes that switch its mode."""
        accounts = await self._accounts(call.caller)
        return offered_names(await self._gateway.models.offered(accounts))

    async def _accounts(self, caller: Caller) -> tuple[Account, ...]:
        if caller.is_owner:  # The list of models serves without an account, too.
            return await self._gateway.roster.known(caller.refresh_tokens)
        return accounts_of(caller)

    async def has_accounts(self, caller: Caller) -> bool:
        """Tell whether the caller has an account, in the settings or added at run time."""
        return bool(caller.refresh_tokens) or (caller.is_owner and bool(await self._accounts(caller)))

    async def offers(self, name: str, caller: Caller, *, looks_up: bool = False) -> bool:
        """Tell whether a name is known to be the account's: a model of its list, or an agent's id.

        `looks_up`: the list of a new process may be in the store.
        """
        accounts = await self._accounts(caller)
        if looks_up:
            await self._gateway.models.look_up(accounts)
        known = self._gateway.models.known(accounts)
        return read_name(name).is_agent or find_name(name, known) is not None

    def serves(self, name: str) -> bool:
        """Take every name, an agent's id or the default model's, but those of the official API."""
        return not name.strip().lower().startswith("api/")
