"""The contract of a dialect: a module with these functions. It does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from lib.chat.answer import Answer
from lib.chat.events import ReplyEvent, Started
from lib.chat.request import ChatRequest
from lib.errors import GatewayError

OVERLOADED_NUMBERS = (1305, 1312)
"""The official API refuses with one of these numbers if the model itself is overloaded."""


class Address(msgspec.Struct, frozen=True):
    """The parts of a request's URL that a dialect may read."""

    params: Mapping[str, str] = {}
    """The variable parts of the path."""
    query: Mapping[str, str] = {}


def own_id(started: Started) -> str:
    """Return the upstream's own id of the answer."""
    return started.id


class Rendering(msgspec.Struct, frozen=True):
    """The facts about an answer that no event carries."""

    created: int
    """Unix seconds."""
    model: str
    """The model's name as the client wrote it, or the default model."""
    request_id: str = ""
    """The id that stands in the answer's headers; some dialects repeat it in their errors."""
    answer_id: Callable[[Started], str] = own_id
    """Makes the answer's id for the client. Some dialects seal the upstream's id in it."""
    clock: Callable[[], int] | None = None
    """Unix seconds, for a dialect that sends the time of an answer's end. None means `created`."""

    def now(self) -> int:
        return self.created if self.clock is None else self.clock()


class ErrorForm(msgspec.Struct, frozen=True):
    """A dialect's errors over HTTP, if they are more than an `error_body` under the error's own status.

    A dialect that needs one has it under the name `ERROR_FORM`.
    """

    body: Callable[[GatewayError, str], bytes]
    """Takes the request's id too."""
    status: Callable[[GatewayError], int]


class StreamForm(msgspec.Struct, frozen=True):
    """The form of a stream, for a dialect that has several: a request has its own as `stream_form`."""

    media_type: str
    heartbeat: bytes


class Asked(Protocol):
    """A parsed request. A dialect adds the fields that its own renderer needs."""

    @property
    def chat(self) -> ChatRequest: ...

    @property
    def stream(self) -> bool: ...


class Renderer(Protocol):
    """Turns the events of one reply into the bytes of a stream."""

    def feed(self, events: Sequence[ReplyEvent]) -> bytes:
        """Return the frames of these events. Nothing follows an ending.

        A `Failed` may come first, without a `Started`: it becomes the dialect's error event.
        """
        ...


AskedT = TypeVar("AskedT", bound=Asked)


class Dialect(Protocol[AskedT]):
    """One client's protocol for chats. A module satisfies it, and mypy checks this at each use."""

    HEARTBEAT: bytes
    """A frame that every client of this dialect ignores; it fills silences."""

    def parse(self, body: bytes, address: Address, /) -> AskedT:
        """Raise InvalidRequest, and nothing else, for any mistake in the request."""
        ...

    def renderer(self, asked: AskedT, how: Rendering, /) -> Renderer: ...

    def render(self, asked: AskedT, answer: Answer, how: Rendering, /) -> bytes:
        """Return the whole answer. Raise the error of a reply that failed."""
        ...

    def error_body(self, error: GatewayError, /) -> bytes: ...


class CountingDialect(Dialect[AskedT], Protocol[AskedT]):
    """A dialect that has an endpoint for counting a prompt's tokens."""

    def count(self, tokens: int, /) -> bytes:
        """Return the whole answer of that endpoint. Images and files are not in the count."""
        ...
