"""The door: what a flow may ask of an upstream, and the `Call` that it hands to it.

An upstream is one service that generates: an account at chatglm.cn, or a key of the vendor's API. A flow
never imports from inside one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import IO, TYPE_CHECKING, Protocol

import msgspec

from lib.chat.caller import Caller
from lib.chat.events import ImageMade, ReplyEvent, Started
from lib.chat.media import Attempt, ImageRequest, VideoRequest, VideoState
from lib.chat.request import ChatRequest
from lib.settings import Settings
from lib.trace import Trace
from lib.upstreams.condition import (
    AccountHealth,
    AddedAccounts,
    ClockHealth,
    KeyHealth,
    OwnAccount,
    OwnAccounts,
    StoreHealth,
    TokenStatus,
)

if TYPE_CHECKING:  # A chat does not import them.
    from lib.chat.audio import SpeechRequest, TranscriptEvent, TranscriptionRequest
    from lib.chat.vectors import EmbeddingRequest, Embeddings, Ranking, RankingRequest

Batch = Sequence[ReplyEvent]
"""The events of one read of the upstream's stream."""


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """The things that an upstream does itself for one chat. The gateway makes up for the rest by stages."""

    tools: bool = False
    tool_choice: bool = False
    json_object: bool = False
    json_schema: bool = False
    stop: int = 0
    """So many stop sequences."""
    max_tokens: bool = False
    usage: bool = False
    messages: bool = False
    """It takes a list of messages; otherwise it flattens them into one text."""
    images: bool = False
    files: bool = False
    silent: bool = False
    """The model's name asks for an answer without reasoning and sources."""


class Reply(Protocol):
    """One accepted generation. Leaving its context stops it, cleans up and gives the account back."""

    @property
    def started(self) -> Started:
        """The upstream's answer so far, for headers; `events` begins with the final one."""
        ...

    @property
    def events(self) -> AsyncIterator[Batch]:
        """`Started`, content, one ending. Until the first content it may raise GatewayError instead."""
        ...

    async def again(self, words: str) -> AsyncIterator[Batch]:
        """Stop this turn and ask once more: same account, same conversation, same lease.

        The new turn's events have no `Started`.
        """
        ...


class Candidate(msgspec.Struct, frozen=True):
    """An upstream that may answer a chat, and the chat with the model's name in that upstream's words."""

    upstream: Upstream
    chat: ChatRequest
    is_fallback: bool = False
    """It answers only if the upstream before it cannot."""


class Upstream(Protocol):
    """A service that answers chats."""

    @property
    def name(self) -> str:
        """`web` or `api`, as in `x-glm-upstream`."""
        ...

    async def abilities(self, chat: ChatRequest, call: Call) -> Abilities | None:
        """Return None if this upstream does not serve the chat."""
        ...

    async def prove(self, call: Call) -> None:
        """Raise the refusal if the upstream has taken none of the caller's tokens, and takes none now."""
        ...

    def open(
        self, chat: ChatRequest, call: Call, *, patience_s: float | None
    ) -> AbstractAsyncContextManager[Reply]:
        """Enter when the first content is there, or `patience_s` after acceptance if that is earlier.

        Raises GatewayError until then. None waits for the first content however long it takes.
        """
        ...

    async def models(self, call: Call) -> Sequence[str]:
        """Return the names of the models that it offers to the caller."""
        ...

    def serves(self, name: str) -> bool:
        """Tell whether it serves a name that `models` does not list."""
        ...


class MadeImages(msgspec.Struct, frozen=True):
    images: tuple[ImageMade, ...]
    started: Started
    upstream: str
    """Its name, as in `x-glm-upstream`."""


class MadeFile(Protocol):
    """A fetched file; its context closes it."""

    @property
    def file(self) -> IO[bytes]: ...

    @property
    def size(self) -> int: ...


class ImageMaker(Protocol):
    """A service that draws."""

    name: str
    """The name of its upstream, as in `x-glm-upstream`."""

    async def draws(self, request: ImageRequest, call: Call) -> bool:
        """Tell whether the model's name means this service."""
        ...

    def open_images(self, request: ImageRequest, call: Call) -> AbstractAsyncContextManager[MadeImages]:
        """Enter when the images are made; leaving cleans up. Raise if not a single one was made."""
        ...

    def open_files(self, made: MadeImages, call: Call) -> AbstractAsyncContextManager[Sequence[MadeFile]]:
        """Fetch the images; leaving closes the files."""
        ...


class VideoMaker(Protocol):
    """A service that makes videos. Each video has an id that only its caller can use."""

    name: str
    """The name of its upstream, as in `x-glm-upstream`."""

    async def films(self, request: VideoRequest, call: Call) -> bool:
        """Tell whether the model's name means this service."""
        ...

    async def knows(self, video_id: str, call: Call) -> bool:
        """Tell whether this service made the id for this caller."""
        ...

    async def make(
        self, request: VideoRequest, call: Call, *, frame: IO[bytes] | None, attempt: Attempt
    ) -> VideoState:
        """Order a video once, and wait for it as long as the request allows."""
        ...

    async def look(self, video_id: str, call: Call) -> VideoState:
        """Raise NotFound for an id that this caller never got."""
        ...

    async def remove(self, video_id: str, call: Call) -> None: ...

    async def note_handed_out(self, video_id: str, call: Call) -> None:
        """An answer with the completed video was sent whole."""
        ...


class TokenCounter(Protocol):
    """A service that counts a prompt's tokens."""

    async def count(self, chat: ChatRequest, call: Call) -> int | None:
        """Return None if it cannot tell. It never raises GatewayError."""
        ...


class VectorMaker(Protocol):
    """A service that measures texts. Only the official API has it."""

    async def embed(self, request: EmbeddingRequest, call: Call) -> Embeddings:
        """Return a vector for each text, in the order of the texts."""
        ...

    async def rank(self, request: RankingRequest, call: Call) -> Ranking: ...


class Transcript(msgspec.Struct, frozen=True):
    started: Started
    events: AsyncIterator[TranscriptEvent]
    """Deltas, and one `TranscriptDone` at the end. They may raise GatewayError instead of it."""


class Speech(msgspec.Struct, frozen=True):
    started: Started
    pieces: AsyncIterator[bytes]
    """A sound in the form that the request names. They may raise GatewayError."""


class SoundMaker(Protocol):
    """A service that hears and speaks. Only the official API has it."""

    def open_transcript(
        self, request: TranscriptionRequest, recording: IO[bytes], call: Call
    ) -> AbstractAsyncContextManager[Transcript]:
        """Enter when the first words are there."""
        ...

    def open_speech(self, request: SpeechRequest, call: Call) -> AbstractAsyncContextManager[Speech]:
        """Enter when the first sound is there."""
        ...


class AccountDesk(Protocol):
    """Looks after the owner's accounts, and checks any refresh token."""

    async def check(self, refresh_tokens: tuple[str, ...], *, is_owners: bool) -> list[TokenStatus]:
        """Check each token, one after the other. No token is used up. The owner's checks have no budget."""
        ...

    async def check_own(self, caller: Caller) -> list[TokenStatus]:
        """Check each account of the caller; of the owner also those that were added at run time."""
        ...

    async def listed(self) -> OwnAccounts:
        """Return the owner's accounts as the store has them. No upstream is asked."""
        ...

    async def add(self, refresh_token: str) -> tuple[OwnAccount, bool]:
        """Add an account if the upstream takes its token. Return also if an earlier token was replaced."""
        ...

    async def remove(self, label: str) -> None:
        """Remove an account that was added at run time."""
        ...

    async def added(self, within_s: float) -> AddedAccounts:
        """Tell about the accounts that were added at run time, as far as the store answers in time."""
        ...

    async def prove(self, caller: Caller) -> None:
        """Raise the refusal if the upstream has taken none of the caller's tokens, and takes none now."""
        ...

    async def store_problem(self, within_s: float) -> str | None:
        """Return the store's problem, or None; a store that does not answer in time has one."""
        ...

    async def store(self) -> StoreHealth: ...

    async def clock(self, until: float) -> ClockHealth: ...

    async def accounts(self, until: float, *, is_fresh: bool) -> list[AccountHealth]: ...


class Services(Protocol):
    """The services of one event loop, under one set of settings."""

    @property
    def settings(self) -> Settings: ...

    async def upstreams_of(self, caller: Caller) -> Sequence[Upstream]:
        """Return the upstreams that serve the caller, in the order of their lists of models."""
        ...

    async def candidates(self, chat: ChatRequest, caller: Caller) -> Sequence[Candidate]:
        """Return the upstreams for a chat, in the order of asking. Raise NotFound if none has the model."""
        ...

    async def prove(self, caller: Caller) -> None:
        """Raise the refusal if no upstream has taken a token or key of the caller's, or takes one now."""
        ...

    async def keys(self, until: float) -> list[KeyHealth]:
        """Check each of the owner's keys of the official API, at the latest until then."""
        ...

    @property
    def images(self) -> Sequence[ImageMaker]:
        """The last one takes every name."""
        ...

    @property
    def videos(self) -> Sequence[VideoMaker]:
        """The last one takes every name."""
        ...

    @property
    def tokenizer(self) -> TokenCounter: ...

    @property
    def vectors(self) -> VectorMaker: ...

    @property
    def sounds(self) -> SoundMaker: ...

    @property
    def accounts(self) -> AccountDesk: ...


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request on its way. It is made once, at the edge, and handed down."""

    services: Services
    caller: Caller
    trace: Trace
    deadline_at: float | None = None
    """The host ends the request then, in the loop's time."""
    ending: Callable[[], AbstractContextManager[None]] = nullcontext
    """A context that turns the cancellation by the end of a server into ShuttingDown."""

    @property
    def settings(self) -> Settings:
        return self.services.settings
