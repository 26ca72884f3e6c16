"""Answers that carry files, and answers to requests that must not be repeated."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import IO, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lib.chat.media import Attempt
from lib.errors import AccountRefused, GatewayError, NoAccountAvailable, Overloaded
from lib.web.app import Endpoint, error_response
from lib.web.ending import told_as_error
from lib.web.guessing import WrongCredential
from lib.web.pieces import PiecesResponse
from lib.web.refusal import ErrorBody

READ_BYTES = 3 * 64 * 1024
"""The base64 of a multiple of three has no padding, so the pieces can be joined."""


POLL_AGAIN = {"openai-poll-after-ms": "2000", "cache-control": "no-store"}
"""OpenAI's SDKs ask again after this time. Nothing new comes earlier."""


def attempt_of(headers: Mapping[str, str]) -> Attempt:
    """Read the client's marks of a repetition. OpenAI's SDKs count theirs."""
    return Attempt(
        idempotency_key=headers.get("idempotency-key", ""),
        is_repeated=headers.get("x-stainless-retry-count", "0") != "0",
    )


class SizedFile(Protocol):
    @property
    def file(self) -> IO[bytes]: ...

    @property
    def size(self) -> int: ...


class Base64Response(PiecesResponse):
    """JSON with files in it. It owns the files, and encodes them while it reads them. Its length is known."""

    def __init__(
        self,
        texts: Sequence[bytes],
        files: Sequence[SizedFile],
        headers: dict[str, str],
        *,
        resources: AsyncExitStack,
    ) -> None:
        super().__init__(_joined(texts, files), headers, media_type="application/json", resources=resources)
        encoded = sum((file.size + 2) // 3 * 4 for file in files)
        self.headers["content-length"] = str(sum(map(len, texts)) + encoded)


async def _joined(texts: Sequence[bytes], files: Sequence[SizedFile]) -> AsyncIterator[bytes]:
    """Yield a text, a file, a text, and so on: there is one text more than files."""
    for text, file in zip(texts, files, strict=False):
        yield text
        encoded = _encoded(file.file)
        while piece := await asyncio.to_thread(next, encoded, b""):
            yield piece
    yield texts[-1]


def _encoded(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(READ_BYTES):
        yield base64.b64encode(piece)


def asked_once(endpoint: Endpoint, error_body: ErrorBody) -> Endpoint:
    """Forbid the SDKs to repeat a request that may already have a cost.

    OpenAI's SDKs repeat a request after a 409 or a 5xx, unless the answer says `x-should-retry: false`.
    They may repeat it if no account was available, because the upstream has not begun.
    """

    @functools.wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            with told_as_error():
                return await endpoint(request)
        except GatewayError as error:
            if isinstance(error, WrongCredential | AccountRefused):
                raise  # The app delays this answer.
            response = error_response(error, error_body)
            repeats_it = error.status == 409 or error.status >= 500
            if repeats_it and not isinstance(error, NoAccountAvailable | Overloaded):
                response.headers["x-should-retry"] = "false"
            return response

    return answer


class AnswerThen(Response):
    """A JSON answer. It does some work after the client has all of it."""

    media_type = "application/json"

    def __init__(
        self,
        content: bytes,
        status_code: int,
        headers: dict[str, str],
        *,
        then: Callable[[], Awaitable[None]] | None,
    ) -> None:
        super().__init__(content, status_code, headers)
        self._then = then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)
        if self._then is not None and scope["method"] != "HEAD":
            await self._then()
