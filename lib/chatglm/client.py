"""The calls to chatglm.cn; the only opener of connections to it.

Each call is signed anew. Whatever goes wrong leaves here as one of lib/errors.py, never as httpx's own.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from time import time
from typing import Any

import httpx
import msgspec

from lib.chatglm import protocol
from lib.chatglm.models import Target
from lib.chatglm.signing import sign
from lib.errors import (
    AccessTokenRefused,
    AccountRefused,
    GatewayError,
    InvalidRequest,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnreachable,
)

CALL_TIMEOUT_S = 20.0
"""For the calls that answer at once (refresh, delete, stop, models); they take well under a second."""

MAX_ANSWER_BYTES = 2 * 1024 * 1024
"""No JSON answer that we ask for comes near; a larger one is not read to its end."""

_TOKEN = re.compile(r"[!-~]+")
"""What a header can carry; anything else is no token, and would fail deep inside the HTTP client."""

NO_CONNECTION = "No connection to the upstream."
"""What is said where a request has not even been sent."""

KEEPALIVE_S = 60.0
"""A warm connection saves two round trips; the upstream itself closes idle ones after some minutes."""


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    """Return the process's one context: to read all certificate authorities takes 15 ms and more."""
    return httpx.create_ssl_context()


class Config(msgspec.Struct, frozen=True, kw_only=True):
    base_url: str
    sign_secret: str
    app_version: str
    user_agent: str
    assistant_id: str
    connect_timeout_s: float


class Session(msgspec.Struct, frozen=True):
    """One account's authority for one call."""

    access_token: str
    device_id: str

    def __repr__(self) -> str:
        return "Session(…)"


class Tokens(msgspec.Struct, frozen=True):
    """What a refresh gives. The refresh token is a new one, and the old one may be dead already."""

    access_token: str
    refresh_token: str
    is_guest: bool

    def __repr__(self) -> str:
        return f"Tokens(is_guest={self.is_guest})"


class UploadedFile(msgspec.Struct, frozen=True):
    """A file small enough to be held in memory."""

    name: str
    data: bytes
    content_type: str


class UserInfo(msgspec.Struct, frozen=True):
    is_guest: bool
    is_blocked: bool


class Answer(msgspec.Struct, frozen=True):
    """A whole answer, before anybody has said what it means."""

    status_code: int
    content_type: str
    body: bytes


class UpstreamStream:
    """An open answer stream; its owner closes it."""

    def __init__(self, response: httpx.Response, chunks: AsyncIterator[bytes], first: bytes) -> None:
        self._response = response
        self._chunks = chunks
        self._first = first

    async def read(self) -> bytes:
        """Return the next bytes as they arrive, empty at the end."""
        if self._first:
            first, self._first = self._first, b""
            return first
        return await _next_chunk(self._chunks)

    async def aclose(self) -> None:
        await self._response.aclose()


class ChatGLM:
    """The upstream as one object: stateless, but for its warm connections."""

    def __init__(
        self,
        config: Config,
        *,
        now: Callable[[], float] = time,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._config = config
        self._now = now
        self._new_id = new_id
        self._http = httpx.AsyncClient(
            # Time is kept by whoever reads: a chat may be silent for long, and has no total limit.
            timeout=httpx.Timeout(None, connect=config.connect_timeout_s),
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=20, keepalive_expiry=KEEPALIVE_S
            ),
            headers={"Accept-Encoding": "identity"},
            verify=tls or tls_context(),
            # All accounts share the connections; a cookie of one must never come with another's call.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    @property
    def assistant_id(self) -> str:
        """The main agent's, which serves where no other is named."""
        return self._config.assistant_id

    async def refresh(self, refresh_token: str, device_id: str) -> Tokens:
        """Exchange a refresh token; raises `AccountRefused` where the upstream no longer takes it."""
        if not _TOKEN.fullmatch(refresh_token):
            raise AccountRefused("What was given as a refresh token is none.", code="invalid_api_key")
        try:
            result = await self._call(protocol.REFRESH, Session(refresh_token, device_id), body={})
        except AccessTokenRefused as error:
            raise AccountRefused(
                "The upstream refused the refresh token (expired, rotated elsewhere, or logged out). "
                "Log in at chatglm.cn again and take the new chatglm_refresh_token."
            ) from error
        access, refreshed = _text(result, "access_token"), _text(result, "refresh_token")
        if not _TOKEN.fullmatch(access):
            raise UpstreamProtocolError("The upstream's refresh gave no access token.")
        return Tokens(access, refreshed or refresh_token, is_guest=result.get("is_guest") is True)

    async def user_info(self, session: Session) -> UserInfo:
        result = await self._call(protocol.USER_INFO, session)
        block = result.get("block_info")
        return UserInfo(
            is_guest=result.get("is_guest") is True,
            is_blocked=isinstance(block, dict) and bool(block.get("blocked")),
        )

    async def available_models(self, session: Session) -> tuple[str, ...]:
        """Return the `selected_model` names that this account is offered."""
        result = await self._call(protocol.AVAILABLE_MODELS, session)
        offered = result.get("models")
        entries = [entry for entry in offered if isinstance(entry, dict)] if isinstance(offered, list) else []
        return tuple(name for name in (_text(entry, "selected_model") for entry in entries) if name)

    async def start_chat(
        self,
        session: Session,
        prompt: str,
        target: Target,
        conversation_id: str,
        files: tuple[protocol.FileReference, ...] = (),
    ) -> UpstreamStream:
        """Ask, and return once the first bytes of an answer are there; a refusal raises what it means."""
        assistant_id = target.agent_id or self._config.assistant_id
        is_main = assistant_id == self._config.assistant_id
        referer = protocol.MAIN_REFERER if is_main else protocol.AGENT_REFERER + assistant_id
        headers = self._headers(session, referer) | {"Accept": "text/event-stream"}
        body = protocol.chat_body(
            prompt, target, assistant_id=assistant_id, conversation_id=conversation_id, files=files
        )
        request = self._http.build_request(
            "POST", self._url(protocol.CHAT_STREAM), headers=headers, content=body
        )
        with _errors_of_http():
            response = await self._http.send(request, stream=True)
        try:
            return await self._accepted(response)
        except BaseException:
            await response.aclose()
            raise

    async def _accepted(self, response: httpx.Response) -> UpstreamStream:
        chunks = response.aiter_bytes()
        first = await _next_chunk(chunks)
        # What it is shows in its first byte; its Content-Type has been missing and has been wrong.
        if response.status_code == 200 and first.lstrip()[:1] not in (b"{", b"<"):
            return UpstreamStream(response, chunks, first)
        content_type = response.headers.get("content-type", "")
        envelope = protocol.read_envelope(response.status_code, content_type, await _rest(first, chunks))
        if envelope.result is None:
            # Observed 2026: an unknown assistant_id is answered by a success without a result.
            raise InvalidRequest("The upstream knows no such agent.", param="model")
        message = "The upstream answered a chat with JSON instead of a stream."
        raise UpstreamProtocolError(message, retry="never")

    async def stop(self, session: Session, history_id: str) -> None:
        """End a running generation; its stream then closes with error 10024."""
        await self._call(protocol.STOP_STREAM, session, body={"history_id": history_id})

    async def delete_conversation(self, session: Session, conversation_id: str, agent_id: str | None) -> None:
        """Delete by the path of 2026, and by the older one where that fails."""
        assistant_id = agent_id or self._config.assistant_id
        try:
            await self._call(
                protocol.BULK_DELETE,
                session,
                body={"conversation_ids": [conversation_id], "assistant_id": assistant_id},
            )
        except AccessTokenRefused:
            raise
        except GatewayError:
            body = {"assistant_id": assistant_id, "conversation_id": conversation_id}
            await self._call(protocol.DELETE_2025, session, body=body)

    async def _call(self, path: str, session: Session, body: dict[str, Any] | None = None) -> dict[str, Any]:
        result = await self.call("GET" if body is None else "POST", path, session, body=body)
        return result if isinstance(result, dict) else {}

    async def call(
        self,
        method: str,
        path: str,
        session: Session,
        *,
        body: dict[str, Any] | None = None,
        file: UploadedFile | None = None,
        referer: str = protocol.MAIN_REFERER,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> Any:
        """Make one call of the kind that answers in JSON; return its `result`, whatever that is."""
        headers = self._headers(session, referer)
        if body is None:
            del headers["Content-Type"]
        request = self._http.build_request(
            method,
            self._url(path),
            headers=headers,
            content=None if body is None else msgspec.json.encode(body),
            files=None if file is None else {"file": (file.name, file.data, file.content_type)},
        )
        answer = await self._answer_to(request, timeout_s)
        return protocol.read_envelope(answer.status_code, answer.content_type, answer.body).result

    async def send_stream(
        self,
        path: str,
        session: Session,
        content: AsyncIterator[bytes],
        *,
        content_type: str,
        content_length: int,
        timeout_s: float,
    ) -> Answer:
        """Post a body piece by piece; return the answer as it came, whatever it means."""
        headers = self._headers(session, protocol.MAIN_REFERER)
        headers |= {"Content-Type": content_type, "Content-Length": str(content_length)}
        request = self._http.build_request("POST", self._url(path), headers=headers, content=content)
        return await self._answer_to(request, timeout_s)

    async def _answer_to(self, request: httpx.Request, timeout_s: float) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                with _errors_of_http():
                    response = await self._http.send(request, stream=True)
                try:
                    answer = await _rest(b"", response.aiter_bytes())
                finally:
                    await response.aclose()
        except TimeoutError:
            raise UpstreamTimeout(f"The upstream did not answer within {timeout_s:g} s.") from None
        return Answer(response.status_code, response.headers.get("content-type", ""), answer)

    def _url(self, path: str) -> str:
        return self._config.base_url + path

    def _headers(self, session: Session, referer: str) -> dict[str, str]:
        return {
            **protocol.app_headers(
                app_version=self._config.app_version,
                user_agent=self._config.user_agent,
                device_id=session.device_id,
                request_id=self._new_id(),
            ),
            **sign(int(self._now() * 1000), self._new_id(), self._config.sign_secret),
            "Authorization": f"Bearer {session.access_token}",
            "Content-Type": "application/json;charset=UTF-8",
            "Referer": referer,
        }


class _errors_of_http:  # noqa: N801 - used as a function; a class costs no generator per network read
    """Turn httpx's errors into ours."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: object) -> None:
        match error:
            case httpx.ConnectTimeout() | httpx.ConnectError():
                raise UpstreamUnreachable(NO_CONNECTION) from error
            case httpx.DecodingError():
                raise UpstreamProtocolError("The upstream's answer is compressed wrongly.") from error
            case httpx.HTTPError() | httpx.StreamError():
                raise UpstreamUnreachable("The connection to the upstream broke.") from error


async def _next_chunk(chunks: AsyncIterator[bytes]) -> bytes:
    with _errors_of_http():
        async for chunk in chunks:
            return chunk
    return b""


async def _rest(first: bytes, chunks: AsyncIterator[bytes]) -> bytes:
    pieces, size = [first], len(first)
    while chunk := await _next_chunk(chunks):
        pieces.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise UpstreamProtocolError("The upstream's answer is too large.")
    return b"".join(pieces)


def _text(result: dict[str, Any], name: str) -> str:
    value = result.get(name)
    return value if isinstance(value, str) else ""
