"""The services of a process, and the rule that chooses the upstreams of a chat (docs/official.md)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import msgspec

from lib.chat.caller import Caller
from lib.chat.names import Mode, read_name
from lib.chat.request import ChatRequest
from lib.errors import ConfigurationError, NotFound
from lib.settings import Settings, current
from lib.upstreams.condition import KeyHealth
from lib.upstreams.interface import (
    AccountDesk,
    Candidate,
    ImageMaker,
    SoundMaker,
    TokenCounter,
    Upstream,
    VectorMaker,
    VideoMaker,
)

if TYPE_CHECKING:
    from lib.upstreams.chatglm.gateway import Gateway
    from lib.upstreams.chatglm.media import ChatGLMMedia
    from lib.upstreams.chatglm.upstream import ChatGLMUpstream
    from lib.upstreams.official.gateway import OfficialGateway
    from lib.upstreams.official.media import OfficialMedia
    from lib.upstreams.official.upstream import OfficialUpstream


class ProcessServices:
    """The services of one event loop, under one set of settings. A cold start may lose all of it.

    Each service is imported and made at its first use: no request pays for another one's.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def gateway(self) -> Gateway:
        """The parts that all services of chatglm.cn share."""
        from lib.upstreams.chatglm.gateway import Gateway

        return Gateway(self.settings)

    @cached_property
    def official(self) -> OfficialGateway:
        """The parts that all services of the official API share."""
        from lib.upstreams.official.gateway import OfficialGateway

        return OfficialGateway(self.settings)

    @cached_property
    def web(self) -> ChatGLMUpstream:
        from lib.upstreams.chatglm.upstream import ChatGLMUpstream

        return ChatGLMUpstream(self.gateway)

    @cached_property
    def api(self) -> OfficialUpstream:
        from lib.upstreams.official.upstream import OfficialUpstream

        return OfficialUpstream(self.official)

    def open_upstreams(self) -> tuple[Upstream, ...]:
        """Make the upstreams that the owner's chats need. A chat by a key looks for accounts, too."""
        return (self.web, self.api) if self.settings.official_keys else (self.web,)

    async def upstreams_of(self, caller: Caller) -> tuple[Upstream, ...]:
        if not caller.official_keys:
            return (self.web,)
        return (self.web, self.api) if await self.web.has_accounts(caller) else (self.api,)

    async def candidates(self, chat: ChatRequest, caller: Caller) -> tuple[Candidate, ...]:
        upstream = read_name(chat.model).upstream
        if upstream == "api":
            _require(bool(caller.official_keys), chat, "a key of the official API: set GLM_API_KEYS")
            return (Candidate(self.api, chat),)
        if not caller.official_keys and upstream is None:
            return (Candidate(self.web, chat),)  # The account says what it lacks, if there is none.
        has_accounts = await self.web.has_accounts(caller)
        if upstream == "web":
            _require(has_accounts, chat, "an account: set CHATGLM_REFRESH_TOKENS")
        elif not has_accounts:
            await self.api.finds(chat.model, caller)  # Else a name that is new to us means the default model.
            return (Candidate(self.api, chat),)
        elif not await self._is_of_account(chat, caller):
            return (Candidate(self.api, chat),)
        return self._of_account(chat, caller)

    async def _is_of_account(self, chat: ChatRequest, caller: Caller) -> bool:
        """Apply the rule to a name without a prefix, for a caller with an account and a key."""
        if await self.web.offers(chat.model, caller) or not await self.api.finds(chat.model, caller):
            return True
        # The API costs money. So before it is asked, the store tells a new process what the account offers.
        return await self.web.offers(chat.model, caller, looks_up=True)

    def _of_account(self, chat: ChatRequest, caller: Caller) -> tuple[Candidate, ...]:
        """Return the account, and behind it FALLBACK_MODEL for the owner.

        No other upstream can continue a conversation that the account keeps.
        """
        first, model = Candidate(self.web, chat), self.settings.fallback_model
        if not (model and caller.is_owner and caller.official_keys) or chat.conversation_id:
            return (first,)
        # The name's words count there, too, but not the one for a search, which costs money there.
        words = _words_of(chat.model) if self.api.offers(model, caller) else ()
        other = msgspec.structs.replace(chat, model="-".join((f"api/{model}", *words)))
        return (first, Candidate(self.api, other, is_fallback=True))

    async def prove(self, caller: Caller) -> None:
        if caller.refresh_tokens or not caller.official_keys:
            await self.accounts.prove(caller)
        else:
            await self.official.prove(caller)

    async def keys(self, until: float) -> list[KeyHealth]:
        if not self.settings.official_keys:
            return []
        from lib.upstreams.official.check import check_keys

        return await check_keys(self.official, until)

    @property
    def images(self) -> tuple[ImageMaker, ...]:
        return self._official_media, self._media

    @property
    def videos(self) -> tuple[VideoMaker, ...]:
        return self._official_media, self._media

    @cached_property
    def tokenizer(self) -> TokenCounter:
        from lib.upstreams.official.tokenizer import Tokenizer

        return Tokenizer(self.official)

    @cached_property
    def vectors(self) -> VectorMaker:
        from lib.upstreams.official.vectors import OfficialVectors

        return OfficialVectors(self.official)

    @cached_property
    def sounds(self) -> SoundMaker:
        from lib.upstreams.official.sounds import OfficialSounds

        return OfficialSounds(self.official)

    @cached_property
    def accounts(self) -> AccountDesk:
        from lib.upstreams.chatglm.desk import AccountDesk

        return AccountDesk(self.gateway)

    @cached_property
    def _media(self) -> ChatGLMMedia:
        from lib.upstreams.chatglm.media import ChatGLMMedia

        return ChatGLMMedia(self.gateway)

    @cached_property
    def _official_media(self) -> OfficialMedia:
        from lib.upstreams.official.media import OfficialMedia

        return OfficialMedia(
            self.official,
            fetcher=lambda: self.gateway.fetcher,
            memory=lambda: self.gateway.memory,
            has_account=self.web.has_accounts,
        )

    async def aclose(self) -> None:
        if "gateway" in self.__dict__:
            await self.gateway.aclose()
        if "official" in self.__dict__:
            await self.official.aclose()


_MODES: dict[Mode, str] = {
    "thinking": "think",
    "deep_thinking": "deepthink",
    "deep_research": "deepresearch",
}


def _words_of(name: str) -> tuple[str, ...]:
    """Return the words for thinking and silence, as they can stand behind another model's name."""
    read = read_name(name)
    mode = _MODES.get(read.mode, "") if read.mode else ""
    return tuple(filter(None, (mode, "silent" if read.is_silent else "")))


def _require(has_it: bool, chat: ChatRequest, need: str) -> None:
    if not has_it:
        raise NotFound(
            f"The model {chat.model.strip()!r} needs {need}.", code="model_not_found", param="model"
        )


def prepare() -> None:
    """Import all that the first chat needs, and begin to read the certificate authorities.

    This is for a host that starts a process before its first request, and lets the start take its time.
    """
    with suppress(ConfigurationError):  # The first answer says so.
        ProcessServices(current()).open_upstreams()


_services: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, ProcessServices]] = WeakKeyDictionary()


def services_of(settings: Settings) -> ProcessServices:
    """Return the running loop's services for these settings. The first use makes them."""
    of_loop = _services.setdefault(asyncio.get_running_loop(), {})
    if settings not in of_loop:
        of_loop[settings] = ProcessServices(settings)
    return of_loop[settings]


def open_services(loop: asyncio.AbstractEventLoop) -> list[ProcessServices]:
    """List the services that a loop has made and not closed."""
    return list(_services.get(loop, {}).values())


async def try_store(settings: Settings) -> str | None:
    """Return a note if the store fails and may work later. Raise ConfigurationError if it cannot work."""
    from lib.upstreams.chatglm import store_trial

    return await store_trial.try_store(settings.store)


async def close_services() -> None:
    """Close everything that the running loop has opened, at the end of a server."""
    for services in _services.pop(asyncio.get_running_loop(), {}).values():
        await services.aclose()
