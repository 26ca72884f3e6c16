"""Answers that carry files, and answers to what must not be asked twice."""

from __future__ import annotations

import asyncio
import base64
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import IO, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from lib.chat.media import Attempt
from lib.errors import GatewayError, NoAccountAvailable, Overloaded
from lib.web.app import Endpoint, error_response
from lib.web.ending import told_as_error
from lib.web.guessing import WrongCredential
from lib.web.refusal import ErrorBody
from lib.web.streaming import SEND_TIMEOUT_S

READ_BYTES = 3 * 64 * 1024
"""A multiple of three: its base64 has no padding, so the pieces can be joined."""


POLL_AGAIN = {"openai-poll-after-ms": "2000", "cache-control": "no-store"}
"""How soon OpenAI's SDKs are to ask again: there is nothing new before that."""


def attempt_of(headers: Mapping[str, str]) -> Attempt:
    """Read the client's marks of a repetition; OpenAI's SDKs count theirs."""
    return Attempt(
        idempotency_key=headers.get("idempotency-key", ""),
        is_repeated=headers.get("x-stainless-retry-count", "0") != "0",
    )


class SizedFile(Protocol):
    @property
    def file(self) -> IO[bytes]: ...

    @property
    def size(self) -> int: ...


class Base64Response(Response):
    """JSON with files in it, encoded as they are read; owns the files."""

    media_type = "application/json"

    def __init__(
        self,
        texts: Sequence[bytes],
        files: Sequence[SizedFile],
        headers: dict[str, str],
        *,
        resources: AsyncExitStack,
    ) -> None:
        super().__init__(headers=headers)
        encoded = sum((file.size + 2) // 3 * 4 for file in files)
        self.headers["content-length"] = str(sum(map(len, texts)) + encoded)
        self._texts = texts
        self._files = files
        self._resources = resources

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            async for piece in self._pieces():
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            raise ClientDisconnect from None
        finally:
            await self._resources.aclose()

    async def _pieces(self) -> AsyncIterator[bytes]:
        for text, file in zip(self._texts, self._files, strict=False):
            yield text
            encoded = _encoded(file.file)
            while piece := await asyncio.to_thread(next, encoded, b""):
                yield piece
        yield self._texts[-1]


def _encoded(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(READ_BYTES):
        yield base64.b64encode(piece)


def asked_once(endpoint: Endpoint, error_body: ErrorBody) -> Endpoint:
    """Tell the SDKs not to repeat a request by themselves that may have cost something already.

    They repeat what ended in a 5xx, unless the answer says `x-should-retry: false`. Without an account
    nothing has begun.
    """

    @functools.wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            with told_as_error():
                return await endpoint(request)
        except GatewayError as error:
            if isinstance(error, WrongCredential):
                raise  # the app knows how long its answer waits
            response = error_response(error, error_body)
            if error.status >= 500 and not isinstance(error, NoAccountAvailable | Overloaded):
                response.headers["x-should-retry"] = "false"
            return response

    return answer


class AnswerThen(Response):
    """A JSON answer after which something is done, if it could be sent whole."""

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
